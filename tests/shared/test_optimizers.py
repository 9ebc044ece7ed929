from collections.abc import Callable, Iterator
from itertools import islice
from typing import get_args

import keras
import numpy as np
import pytest

from shared.optimizers import OneCycle, averaged_weights, build_optimizer, build_schedule
from shared.training.config import OptimizerConfig, OptimizerName

NAMES = get_args(OptimizerName)
START = np.array([1.0, -2.0, 0.5])
CURVATURE = np.array([1.0, 0.3, 2.0])
RATE = 0.1
STEPS = 6


def gradient(weights: np.ndarray) -> np.ndarray:
    """Of the quadratic `sum(CURVATURE * weights ** 2) / 2`."""
    return CURVATURE * weights


def config_of(name: str, **settings: object) -> OptimizerConfig:
    return OptimizerConfig(name=name, schedule="constant", learning_rate=RATE, **settings)


def path_of(config: OptimizerConfig) -> np.ndarray:
    """The weights after each of the first steps, `(STEPS, 3)`."""
    optimizer = build_optimizer(config, total_steps=STEPS)
    weights = keras.Variable(START, dtype="float32", name="kernel")
    path = []
    for _ in range(STEPS):
        optimizer.apply([keras.ops.cast(gradient(weights.numpy()), "float32")], [weights])
        path.append(weights.numpy())
    return np.stack(path)


def gradient_descent(momentum: float = 0.0, nesterov: bool = False) -> Iterator[np.ndarray]:
    """Sutskever et al., "On the importance of initialization and momentum", 2013."""
    weights, velocity = START, 0.0
    while True:
        slope = gradient(weights)
        velocity = momentum * velocity - RATE * slope
        weights = weights + (momentum * velocity - RATE * slope if nesterov else velocity)
        yield weights


def adam(weight_decay: float = 0.0) -> Iterator[np.ndarray]:
    """Kingma and Ba, 2015, as at the end of section 2; decay as Loshchilov and Hutter, 2019."""
    weights, first, second = START, 0.0, 0.0
    step = 0
    while True:
        step += 1
        slope = gradient(weights)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        rate = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        decayed = weights - RATE * weight_decay * weights
        weights = decayed - rate * first / (np.sqrt(second) + 1e-7)
        yield weights


def rmsprop(momentum: float = 0.0) -> Iterator[np.ndarray]:
    """Tieleman and Hinton, 2012."""
    weights, square, velocity = START, 0.0, 0.0
    while True:
        slope = gradient(weights)
        square = 0.9 * square + 0.1 * slope**2
        velocity = momentum * velocity + RATE * slope / np.sqrt(square + 1e-7)
        weights = weights - velocity
        yield weights


def lion() -> Iterator[np.ndarray]:
    """Chen et al., "Symbolic discovery of optimization algorithms", 2023."""
    weights, average = START, 0.0
    while True:
        slope = gradient(weights)
        weights = weights - RATE * np.sign(0.9 * average + 0.1 * slope)
        average = 0.99 * average + 0.01 * slope
        yield weights


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (config_of("sgd", momentum=0.0), gradient_descent()),
        (config_of("sgd", momentum=0.8, nesterov=False), gradient_descent(0.8)),
        (config_of("sgd", momentum=0.8, nesterov=True), gradient_descent(0.8, nesterov=True)),
        (config_of("adam"), adam()),
        (config_of("adamw"), adam()),
        (config_of("adamw", weight_decay=0.3), adam(weight_decay=0.3)),
        (config_of("rmsprop", momentum=0.0), rmsprop()),
        (config_of("rmsprop", momentum=0.5), rmsprop(0.5)),
        (config_of("lion"), lion()),
    ],
    ids=lambda value: f"{value.name}-{value.momentum}" if hasattr(value, "name") else "",
)
def test_steps_are_those_of_the_paper(config, expected):
    reference = np.stack(list(islice(expected, STEPS)))
    np.testing.assert_allclose(path_of(config), reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_lowers_a_quadratic(name):
    generator = np.random.default_rng(0)
    target = generator.normal(size=(4, 3)).astype("float32")
    weights = keras.Variable(np.zeros((4, 3)), dtype="float32", name="kernel")
    optimizer = build_optimizer(config_of(name), total_steps=20)
    assert type(optimizer).__name__.lower() == name
    for _ in range(20):
        optimizer.apply([weights - target], [weights])
    assert np.sum((weights.numpy() - target) ** 2) < 0.75 * np.sum(target**2)


def muon_update(shape: tuple[int, ...]) -> np.ndarray:
    """What Muon's first step adds to a kernel of this shape, as a matrix."""
    slope = keras.ops.cast(np.random.default_rng(0).normal(size=shape), "float32")
    kernel = keras.Variable(np.zeros(shape), dtype="float32", name="kernel")
    build_optimizer(config_of("muon"), total_steps=1).apply([slope], [kernel])
    return kernel.numpy().reshape(-1, shape[-1])


def test_muon_takes_a_convolution_for_a_matrix_and_orthogonalises_its_update():
    update = muon_update((3, 3, 4, 8))
    np.testing.assert_allclose(update, muon_update((36, 8)), rtol=1e-4, atol=1e-6)
    # Liu et al., 2025: the update is 0.2 times the root of the longer side times orthogonal.
    lengths = np.linalg.svd(update, compute_uv=False) / (RATE * 0.2 * np.sqrt(36))
    assert np.all((lengths > 0.6) & (lengths < 1.3))


def test_muon_leaves_small_kernels_to_adam():
    np.testing.assert_allclose(np.abs(muon_update((3, 3, 3, 8))), RATE / 4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_shrinks_kernels_and_nothing_else(name):
    layers = [keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    optimizer = build_optimizer(config_of(name, weight_decay=0.5), total_steps=1)
    zeros = [keras.ops.zeros(variable.shape) for variable in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    for variable in model.trainable_variables:
        expected = 2.0 * (1 - RATE * 0.5) if variable.name == "kernel" else 2.0
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize(
    ("clip_norm", "scale"), [(0.0, 1.0), (1.0, 0.2), (10.0, 1.0)], ids=["off", "clips", "lets by"]
)
def test_clipping_scales_all_gradients_by_their_joint_norm(clip_norm, scale):
    config = config_of("sgd", momentum=0.0, clip_norm=clip_norm)
    variables = [keras.Variable([0.0], name="a"), keras.Variable([0.0, 0.0], name="b")]
    gradients = [keras.ops.convert_to_tensor([3.0]), keras.ops.convert_to_tensor([0.0, 4.0])]
    build_optimizer(config, total_steps=1).apply(gradients, variables)
    np.testing.assert_allclose(variables[0].numpy(), [-3 * RATE * scale], rtol=1e-6)
    np.testing.assert_allclose(variables[1].numpy(), [0.0, -4 * RATE * scale], rtol=1e-6)


def rates(schedule: Callable[[int], keras.KerasTensor], steps: int) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(steps)])


@pytest.mark.parametrize("warmup_fraction", [0.0, 0.1, 0.5])
def test_warmup_and_cosine(warmup_fraction):
    total, peak = 50, 0.02
    warmup = round(warmup_fraction * total)
    steps = np.arange(total + 5)
    share = np.minimum((steps - warmup) / (total - warmup), 1)
    expected = np.where(
        steps < warmup, peak * steps / max(warmup, 1), peak * (1 + np.cos(np.pi * share)) / 2
    )
    config = OptimizerConfig(learning_rate=peak, warmup_fraction=warmup_fraction)
    actual = rates(build_schedule(config, total), total + 5)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


def half_cosine(share: np.ndarray) -> np.ndarray:
    """From 1 to 0 as `share` goes from 0 to 1."""
    return (1 + np.cos(np.pi * share)) / 2


def one_cycle(
    peak: float,
    total: int,
    warmup_fraction: float,
    course: Callable[[np.ndarray], np.ndarray] = half_cosine,
) -> np.ndarray:
    """PyTorch's `OneCycleLR` with two phases, `div_factor` 25 and `final_div_factor` 1e4."""
    steps = np.arange(total)
    start, end = peak / 25, peak / 25 / 1e4
    top = warmup_fraction * total - 1
    rise = peak + (start - peak) * course(steps / top)
    fall = end + (peak - end) * course((steps - top) / (total - 1 - top))
    return np.where(steps <= top, rise, fall)


@pytest.mark.parametrize(("total", "warmup_fraction"), [(100, 0.3), (7, 0.5), (40, 0.1)])
@pytest.mark.parametrize(
    ("schedule", "course"),
    [("one_cycle", half_cosine), ("one_cycle_linear", lambda share: 1 - share)],
)
def test_one_cycle(schedule, course, total, warmup_fraction):
    config = OptimizerConfig(schedule=schedule, learning_rate=0.4, warmup_fraction=warmup_fraction)
    actual = rates(build_schedule(config, total), total)
    expected = one_cycle(0.4, total, warmup_fraction, course)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("linear", [False, True])
def test_one_cycle_is_exact_where_it_turns(linear):
    schedule = OneCycle(peak=0.5, total_steps=100, warmup_fraction=0.3, linear=linear)
    assert float(schedule(0)) == pytest.approx(0.5 / 25, rel=1e-6)
    assert float(schedule(29)) == 0.5
    assert float(schedule(99)) == pytest.approx(0.5 / 25 / 1e4, rel=1e-6)
    assert float(schedule(1000)) == float(schedule(99))


@pytest.mark.parametrize("schedule", ["one_cycle", "one_cycle_linear", "warmup_cosine"])
@pytest.mark.parametrize("total", [1, 2])
def test_schedules_of_the_shortest_runs_are_finite(schedule, total):
    config = OptimizerConfig(schedule=schedule, warmup_fraction=0.0)
    actual = rates(build_schedule(config, total), total)
    assert np.all((actual >= 0) & (actual <= config.learning_rate * (1 + 1e-6)))


def test_one_cycle_survives_serialisation():
    schedule = OneCycle(0.3, 40, 0.25, start_divisor=10.0, end_divisor=100.0, linear=True)
    serialized = keras.optimizers.schedules.serialize(schedule)
    restored = keras.optimizers.schedules.deserialize(serialized)
    assert type(restored) is OneCycle
    np.testing.assert_array_equal(rates(restored, 40), rates(schedule, 40))


def test_the_optimizer_follows_its_schedule():
    config = OptimizerConfig(name="sgd", momentum=0.0, schedule="one_cycle", warmup_fraction=0.5)
    optimizer = build_optimizer(config, total_steps=8)
    weights = keras.Variable([0.0])
    path = [0.0]
    for _ in range(8):
        optimizer.apply([keras.ops.ones((1,))], [weights])
        path.append(float(weights.numpy()[0]))
    np.testing.assert_allclose(-np.diff(path), one_cycle(config.learning_rate, 8, 0.5), atol=1e-8)


def fitted(average_decay: float, steps: int) -> tuple[keras.Model, list[list[np.ndarray]]]:
    """A model after some training steps, and its trainable weights after each of them."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    config = config_of("sgd", average_decay=average_decay)
    model.compile(build_optimizer(config, steps), loss="mean_squared_error")
    generator = np.random.default_rng(0)
    history = []
    for _ in range(steps):
        model.train_on_batch(generator.normal(size=(4, 3)), generator.normal(size=(4, 2)))
        history.append([variable.numpy() for variable in model.trainable_variables])
    return model, history


def assert_weights(model: keras.Model, expected: list[np.ndarray]) -> None:
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)


def test_averaged_weights_are_the_moving_average_until_the_end_or_an_exception():
    model, history = fitted(average_decay=0.7, steps=5)
    average = history[0]
    for weights in history[1:]:
        average = [0.7 * a + 0.3 * w for a, w in zip(average, weights, strict=True)]
    assert not np.allclose(average[0], history[-1][0], atol=1e-3)
    for _ in range(2):
        with averaged_weights(model):
            assert_weights(model, average)
        assert_weights(model, history[-1])
    with pytest.raises(KeyError), averaged_weights(model):
        raise KeyError
    assert_weights(model, history[-1])


def test_without_an_average_nothing_happens():
    model, history = fitted(average_decay=0.0, steps=2)
    with averaged_weights(model):
        np.testing.assert_array_equal(model.trainable_variables[0].numpy(), history[-1][0])
    np.testing.assert_array_equal(model.trainable_variables[0].numpy(), history[-1][0])


def test_the_average_is_found_behind_loss_scaling():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    inner = build_optimizer(config_of("sgd", momentum=0.0, average_decay=0.5), total_steps=2)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), loss="mean_squared_error")
    history = []
    for _ in range(2):
        model.train_on_batch(np.ones((1, 1)), np.full((1, 1), 10.0))
        history.append(model.trainable_variables[0].numpy())
    with averaged_weights(model):
        assert_weights(model, [(history[0] + history[1]) / 2])
    assert_weights(model, [history[1]])
