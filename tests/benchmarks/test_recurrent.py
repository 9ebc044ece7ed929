"""LSTM and GRU on the CPU, side by side with Keras' and PyTorch's; `make bench` measures anew.

All are measured with one thread for each op of TensorFlow, which is what the recurrent apps train
with, and with as many as there are cores. PyTorch, which has all cores in both, is the extra
`bench`; without it, its columns are left out.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.environment import prepare_tensorflow
from shared.files import write_atomically
from shared.layers.recurrent import GRU, LSTM
from tests.benchmarks.records import ROOT, hardware, origin

RECORD = Path(__file__).parent / "records" / "recurrent.json"
SIZES = [(32, 12, 200, 200), (32, 50, 128, 128), (32, 200, 128, 128), (16, 100, 256, 256)]
LAYERS = {"LSTM": LSTM, "GRU": GRU}
OP_THREADS = (1, 0)  # 0 is one for each core
SECONDS = 6.0  # to spend on each pass of each case
REPETITIONS = (10, 60)  # at least, at most

Pass = Callable[[], Any]


class Case(NamedTuple):
    """One layer at one size, with its data; rows are between half and all of `time` long."""

    layer: str
    bidirectional: bool
    batch: int
    time: int
    features: int
    units: int

    @property
    def lengths(self) -> np.ndarray:
        lengths = np.random.default_rng(0).integers(self.time // 2, self.time + 1, self.batch)
        lengths[0] = self.time
        return lengths

    @property
    def inputs(self) -> np.ndarray:
        shape = (self.batch, self.time, self.features)
        return np.random.default_rng(1).normal(size=shape).astype(np.float32)

    @property
    def output_gradient(self) -> np.ndarray:
        shape = (self.batch, self.time, self.units * (2 if self.bidirectional else 1))
        return np.random.default_rng(2).normal(size=shape).astype(np.float32)


@pytest.mark.benchmark
def test_faster_than_keras_and_pytorch() -> None:
    results = [row for threads in OP_THREADS for row in _measure_alone(threads)]
    versions = {**origin()["versions"], **_torch_version()}
    values = {
        "command": "python -m pytest -m benchmark tests/benchmarks/test_recurrent.py",
        "unit": "milliseconds; speedup is another's median over that of quartet; op_threads 0 is "
        "one for each core",
        "results": results,
        "hardware": hardware(),
        **origin(),
        "versions": versions,
        "load_average": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }
    RECORD.parent.mkdir(exist_ok=True)
    write_atomically(RECORD, json.dumps(values, indent=1) + "\n")
    assert max(row["max_abs_difference"] for row in results) < 1e-4
    assert _find_slower(results) == []
    if "torch" not in versions:
        pytest.skip("compared with Keras only: PyTorch is missing, install the extra `bench`")


def _find_slower(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bidirectional cases where Keras or PyTorch, at its best, is as fast as ours at its best."""
    half = len(results) // 2
    slower = []
    for one, all_cores in zip(results[:half], results[half:], strict=True):
        best = {
            name: min(row["milliseconds"][name]["median"] for row in (one, all_cores))
            for name in one["milliseconds"]
        }
        others = [best[name] for name in ("keras", "torch_packed") if name in best]
        if one["bidirectional"] and best["quartet"] >= min(others):
            slower.append({**one, "milliseconds": best})
    return slower


def _measure_alone(threads: int) -> list[dict[str, Any]]:
    """Measures in a process of its own, as TensorFlow makes its threads when it starts."""
    words = ["-m", "tests.benchmarks.test_recurrent", str(threads)]
    environment = {**os.environ, **({"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {})}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measure(threads: int) -> list[dict[str, Any]]:
    prepare_tensorflow()
    cases = [
        Case(layer, bidirectional, *size)
        for bidirectional in (True, False)
        for layer in LAYERS
        for size in SIZES
    ]
    return [{"op_threads": threads, **row} for case in cases for row in _measure_case(case)]


def _measure_case(case: Case) -> list[dict[str, Any]]:
    """Rows for the forward pass, and for forward and backward together."""
    options, difference = _tensorflow_options(case)
    options |= _torch_options(case)
    rows = []
    for index, name in enumerate(("forward", "forward_and_backward")):
        seconds = _interleave({option: passes[index] for option, passes in options.items()})
        milliseconds = {option: _summary(values) for option, values in seconds.items()}
        own = milliseconds["quartet"]["median"]
        speedup = {
            option: round(values["median"] / own, 2)
            for option, values in milliseconds.items()
            if option != "quartet"
        }
        medians = {option: values["median"] for option, values in milliseconds.items()}
        print(*case, name, medians, file=sys.stderr)
        rows.append(
            {
                **case._asdict(),
                "pass": name,
                "milliseconds": milliseconds,
                "speedup": speedup,
                "max_abs_difference": difference,
            }
        )
    return rows


def _interleave(passes: Mapping[str, Pass]) -> dict[str, list[float]]:
    """Seconds of each option, measured in turn, so that a busy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    least, most = REPETITIONS
    end = time.monotonic() + SECONDS
    for repetition in range(most):
        if repetition >= least and time.monotonic() > end:
            break
        for name, run in passes.items():
            run()  # Untimed: caches warm, and the threads of the option before asleep.
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _summary(seconds: list[float]) -> dict[str, float]:
    values = [1000 * value for value in seconds]
    summary = {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values),
        "min": min(values),
    }
    return {name: round(value, 2) for name, value in summary.items()} | {"n": len(values)}


def _tensorflow_options(case: Case) -> tuple[dict[str, tuple[Pass, Pass]], float]:
    """Passes of our layer and Keras', and how far their outputs are apart with equal weights."""
    shape = (case.batch, case.time, case.features)
    ours = LAYERS[case.layer](case.units, bidirectional=case.bidirectional)
    theirs = getattr(keras.layers, case.layer)(case.units, return_sequences=True, use_cudnn=False)
    if case.bidirectional:
        theirs = keras.layers.Bidirectional(theirs)
    ours.build(shape)
    theirs.build(shape)
    ours.set_weights(theirs.get_weights())
    options = {"quartet": _tensorflow_passes(ours, case), "keras": _tensorflow_passes(theirs, case)}
    mask = np.arange(case.time)[:, None] < case.lengths[:, None, None]
    outputs = [forward().numpy() * mask for forward, _ in options.values()]
    return options, float(np.abs(outputs[0] - outputs[1]).max())


def _tensorflow_passes(layer: keras.Layer, case: Case) -> tuple[Pass, Pass]:
    inputs, output_gradient = tf.constant(case.inputs), tf.constant(case.output_gradient)
    mask = tf.sequence_mask(case.lengths, case.time)
    weights = [weight.value for weight in layer.trainable_variables]

    @tf.function(autograph=False)
    def forward() -> tf.Tensor:
        return layer(inputs, mask=mask)

    @tf.function(autograph=False)
    def forward_and_backward() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, mask=mask)
        return tape.gradient(outputs, [inputs, *weights], output_gradients=output_gradient)

    return forward, forward_and_backward


def _torch_version() -> dict[str, str]:
    try:
        import torch
    except ImportError:
        return {}
    return {"torch": torch.__version__}


def _torch_options(case: Case) -> dict[str, tuple[Pass, Pass]]:
    if not _torch_version():
        return {}
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(os.cpu_count() or 1)
    layer = getattr(torch.nn, case.layer)(
        case.features, case.units, batch_first=True, bidirectional=case.bidirectional
    )
    inputs = torch.tensor(case.inputs, requires_grad=True)
    lengths, output_gradient = torch.tensor(case.lengths), torch.tensor(case.output_gradient)

    def packed() -> torch.Tensor:
        sequence = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(layer(sequence)[0], batch_first=True)[0]

    def passes(run: Callable[[], torch.Tensor]) -> tuple[Pass, Pass]:
        def forward_and_backward() -> None:
            inputs.grad = None
            layer.zero_grad()
            run().backward(output_gradient)

        return torch.no_grad()(run), forward_and_backward

    return {"torch_packed": passes(packed), "torch_unpacked": passes(lambda: layer(inputs)[0])}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
