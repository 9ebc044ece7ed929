"""A run that is killed and gone on with ends in the weights of a run that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps.image_recognition.config import QUICK, AugmentationConfig, ModelConfig
from apps.image_recognition.train import build_app
from shared.training.checkpoint import Progress
from shared.training.command_line import RunOptions
from shared.training.config import ConfigError
from shared.training.reproducibility import prepare_process
from shared.training.run import train
from shared.training.run_folder import open_run_folder, write_json

CONFIG = replace(
    QUICK,
    data="",  # `photos`
    model=ModelConfig(widths=(8,), blocks=(1,), dropout=0.2),
    augmentation=AugmentationConfig(mixup=0.2),
    optimizer=replace(QUICK.optimizer, average_decay=0.9),
    training=replace(
        QUICK.training,
        epochs=4,
        minimum_steps=0,
        batch_size=16,
        patience=3,
        checkpoint_seconds=1e-3,
        xla=False,
    ),
)
SEED = 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark, grey and bright pictures, of which six batches train."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(SEED)
    for label, brightness in (("dark", 60), ("grey", 128), ("bright", 200)):
        (folder / label).mkdir()
        for number in range(40):
            pixels = generator.normal(brightness, 40, (8, 8)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def run(photos: Path, folder: Path, seed: int = SEED, resume: bool = False) -> Progress:
    """Trains as the train script does, without the export."""
    app = build_app()
    options = RunOptions(run=folder, resume=resume)
    opened, config = open_run_folder(
        app.name, replace(CONFIG, data=str(photos), seed=seed), options
    )
    prepare_process(config)
    return train(app, config, app.load(config), opened)[1]


def start_and_kill(folder: Path, config: Path, pattern: str) -> None:
    """Runs the real script and kills it, without warning, at a checkpoint of that name."""
    words = ["-m", "apps.image_recognition.train", f"--run={folder}", f"--config={config}"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list((folder / "checkpoints").glob(pattern)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def last_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    with np.load(sorted((folder / "checkpoints").glob("*.npz"))[-1]) as archive:
        return {name: archive[name] for name in archive.files}


def without_seconds(progress: np.ndarray) -> dict[str, object]:
    state = json.loads(str(progress))
    for row in (state, *state["history"]):
        row.pop("seconds")
    return state


def assert_equal_runs(found: Path, expected: Path) -> None:
    left, right = last_checkpoint(found), last_checkpoint(expected)
    assert left.keys() == right.keys()
    assert without_seconds(left.pop("progress")) == without_seconds(right.pop("progress"))
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert run(photos, folder).epoch == 4
    return folder


def test_a_killed_run_ends_as_one_that_was_left_alone(
    photos: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "killed"
    start_and_kill(folder, uninterrupted / "config.json", "000001-*5.npz")
    newest = sorted((folder / "checkpoints").glob("*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    capsys.readouterr()
    run(photos, folder, resume=True)
    messages = capsys.readouterr().err.replace("\n", " ")
    assert "falling back to the one before" in messages
    assert "going on at epoch 2" in messages
    assert_equal_runs(folder, uninterrupted)


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(
    photos: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run(photos, tmp_path / "again")
    assert_equal_runs(tmp_path / "again", uninterrupted)
    run(photos, tmp_path / "other", seed=1)
    other = last_checkpoint(tmp_path / "other")["model/0"]
    assert np.any(other != last_checkpoint(uninterrupted)["model/0"])


def test_resuming_a_run_whose_training_is_complete_trains_no_further(
    photos: Path, uninterrupted: Path
) -> None:
    before = last_checkpoint(uninterrupted)
    assert run(photos, uninterrupted, resume=True).epoch == 4
    np.testing.assert_array_equal(
        last_checkpoint(uninterrupted)["optimizer/0"], before["optimizer/0"]
    )


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no unfinished run"):
        open_run_folder("app", CONFIG, RunOptions(runs=tmp_path, resume=True))
    folder, _ = open_run_folder("app", CONFIG, RunOptions(runs=tmp_path))
    with pytest.raises(ConfigError, match="already holds a run"):
        open_run_folder("app", CONFIG, RunOptions(run=folder.path))
    write_json(folder.path / "metrics.json", {})
    with pytest.raises(ConfigError, match="is finished"):
        open_run_folder("app", CONFIG, RunOptions(run=folder.path, resume=True))


def test_the_newest_unfinished_run_is_resumed(tmp_path: Path) -> None:
    older, _ = open_run_folder("app", replace(CONFIG, seed=7), RunOptions(runs=tmp_path))
    newer, _ = open_run_folder("app", CONFIG, RunOptions(runs=tmp_path))
    assert newer.path != older.path
    write_json(newer.path / "metrics.json", {})
    found, config = open_run_folder("app", CONFIG, RunOptions(runs=tmp_path, resume=True))
    assert (found, config.seed) == (older, 7)
