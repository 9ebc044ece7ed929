import os
from pathlib import Path

import keras
import numpy as np
import pytest

from shared.training.checkpoint import CheckpointError, Checkpoints, Progress

PROGRESS = Progress(
    epoch=3,
    step=7,
    sums={"loss": 1.5, "accuracy": 0.1 + 0.2},
    best=0.25,
    wait=2,
    stopped=True,
    seconds=12.5,
    history=[{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.3}],
)


def checkpoints_of(folder: Path, value: float, shape: tuple[int, ...] = (2, 3)) -> Checkpoints:
    weights = [keras.Variable(np.full(shape, value), dtype="float32"), keras.Variable([value])]
    steps = keras.Variable(int(value), dtype="int64")
    return Checkpoints(folder, {"model": weights, "optimizer": [steps], "augmentation": []})


def values(checkpoints: Checkpoints) -> list[np.ndarray]:
    return [v.numpy() for group in checkpoints.variables.values() for v in group]


def best(value: float) -> list[np.ndarray]:
    return [np.full((2, 3), value, "float32"), np.float32([value])]


def save_two(folder: Path) -> tuple[Path, Path]:
    """Checkpoints of epoch 1 with values 1 and of epoch 2 with values 2."""
    paths = [
        checkpoints_of(folder, value).save(Progress(epoch=value), best(value)) for value in (1, 2)
    ]
    return paths[0], paths[1]


def assert_restores(folder: Path, value: int) -> None:
    checkpoints = checkpoints_of(folder, 9)
    progress, best_weights = checkpoints.restore()
    assert progress == Progress(epoch=value)
    for array in values(checkpoints) + best_weights:
        np.testing.assert_array_equal(array, np.full_like(array, value))
    assert len(best_weights) == 2


def test_everything_comes_back_as_it_was(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(0)
    for variable in [*model.variables, *optimizer.variables]:
        variable.assign(generator.uniform(0, 9, variable.shape).astype(variable.dtype))
    checkpoints = Checkpoints(
        tmp_path / "new", {"model": model.variables, "optimizer": optimizer.variables}
    )
    best_weights = [generator.normal(size=w.shape).astype("float32") for w in model.get_weights()]
    saved = values(checkpoints)
    checkpoints.save(PROGRESS, best_weights)
    for variable in [*model.variables, *optimizer.variables]:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    progress, restored = checkpoints.restore()
    assert progress == PROGRESS
    for actual, expected in zip(values(checkpoints), saved, strict=True):
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == expected.dtype
    for actual, expected in zip(restored, best_weights, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_before_the_first_epoch_there_are_no_best_weights(tmp_path):
    checkpoints = checkpoints_of(tmp_path, 1)
    checkpoints.save(Progress(step=5), [])
    assert checkpoints.restore() == (Progress(step=5), [])


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    (tmp_path / ".partial-1.npz").write_bytes(b"left by a killed process")
    (tmp_path / "notes.npz").write_bytes(b"not ours")
    assert checkpoints_of(tmp_path, 1).restore() is None
    assert checkpoints_of(tmp_path / "missing", 1).restore() is None


def test_the_newest_two_are_kept(tmp_path):
    checkpoints = checkpoints_of(tmp_path, 1)
    places = [(0, 5), (0, 10), (1, 0), (9, 99), (10, 0)]
    for epoch, step in places:
        checkpoints.save(Progress(epoch=epoch, step=step), [])
    assert checkpoints.restore()[0] == Progress(epoch=10)
    assert [path.name for path in checkpoints.paths()] == [
        "000009-00000099.npz",
        "000010-00000000.npz",
    ]
    assert sorted(os.listdir(tmp_path)) == [path.name for path in checkpoints.paths()]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\0" * len(data),
        lambda data: b"garbage " * 100,
        lambda data: data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2),
    ],
    ids=["empty", "one byte", "half", "all but a byte", "zeros", "garbage", "half zeros"],
)
def test_a_damaged_file_is_passed_over_with_a_warning(tmp_path, capsys, damage):
    _, newest = save_two(tmp_path)
    newest.write_bytes(damage(newest.read_bytes()))
    assert_restores(tmp_path, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "warning" in captured.err
    assert str(newest) in captured.err


def test_no_flipped_bit_is_taken_for_weights(tmp_path):
    """The archive's checksums cover what matters; bits that nobody reads may flip unnoticed."""
    _, newest = save_two(tmp_path)
    whole = newest.read_bytes()
    passed_over = 0
    for position in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        newest.write_bytes(damaged)
        checkpoints = checkpoints_of(tmp_path, 9)
        epoch = checkpoints.restore()[0].epoch
        for array in values(checkpoints):
            np.testing.assert_array_equal(array, np.full_like(array, epoch))
        passed_over += epoch == 1
    assert passed_over > len(whole) / 22


def test_only_damaged_files_are_an_error_that_names_each(tmp_path):
    paths = save_two(tmp_path)
    for path in paths:
        path.write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="without --resume") as caught:
        checkpoints_of(tmp_path, 9).restore()
    assert all(str(path) in str(caught.value) for path in paths)


def test_a_checkpoint_of_another_model_is_an_error_and_changes_nothing(tmp_path):
    save_two(tmp_path)
    other = Checkpoints(tmp_path, {"model": [keras.Variable(np.zeros((2, 3))), keras.Variable(0)]})
    with pytest.raises(CheckpointError, match=r"is \(\), stored as \(1,\)"):
        other.restore()
    for array in values(other):
        np.testing.assert_array_equal(array, np.zeros_like(array))


def test_a_checkpoint_with_too_few_variables_is_an_error(tmp_path):
    save_two(tmp_path)
    larger = checkpoints_of(tmp_path, 9)
    larger.variables = {**larger.variables, "augmentation": [keras.Variable(0)]}
    with pytest.raises(CheckpointError, match="augmentation/0"):
        larger.restore()


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    def fail_to_sync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    checkpoints_of(tmp_path, 1).save(Progress(epoch=1), best(1))
    monkeypatch.setattr(os, "fsync", fail_to_sync)
    with pytest.raises(CheckpointError, match=r"000002-00000000\.npz.*No space left.*--resume"):
        checkpoints_of(tmp_path, 2).save(Progress(epoch=2), best(2))
    assert os.listdir(tmp_path) == ["000001-00000000.npz"]
    assert_restores(tmp_path, 1)
