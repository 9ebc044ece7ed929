"""What tests of several packages share: one small image model, trained and published once."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from apps.image_recognition.config import PRESETS, Config, ModelConfig
from apps.image_recognition.train import build_app
from shared.training.app import App
from shared.training.command_line import RunOptions
from shared.training.config import TrainingConfig
from shared.training.run import run


@dataclass(frozen=True)
class TrainedRun:
    """One finished run: the app, its configuration, what `run` returned and where it wrote."""

    app: App[Config]
    config: Config
    result: dict[str, Any]
    runs: Path
    saved_models: Path

    @property
    def model(self) -> Path:
        return Path(self.result["path"])

    @property
    def run(self) -> Path:
        return Path(self.result["run"])


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Digits, one epoch, a network of two narrow stages: read it, never change it."""
    folder = tmp_path_factory.mktemp("image_run")
    config = replace(
        PRESETS["quick"],
        model=ModelConfig(widths=(4, 8)),
        training=TrainingConfig(epochs=1),
    )
    app = build_app()
    options = RunOptions(runs=folder / "runs", saved_models=folder / "saved_models")
    result = run(app, config, options)
    return TrainedRun(app, config, result, options.runs, options.saved_models)
