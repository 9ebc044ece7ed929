"""What holds for every app in the table, and that the table is complete."""

import importlib
import inspect
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

from apps import APPS
from shared.training.app import App
from shared.training.config import RunConfig, from_dict, to_dict

FILES = ("config", "dataset", "preprocess", "model", "train", "evaluate", "export", "predict")
PUBLIC = {
    "config": ["Config", "PRESETS"],
    "dataset": ["load", "load_split", "prepare", "build_augmentation", "write_samples"],
    "preprocess": ["build_preprocess"],
    "model": ["build_model", "build_loss"],
    "train": ["build_app"],
    "evaluate": ["evaluate"],
    "export": ["SIGNATURES", "build_signatures", "calibrate", "reference", "build_warmup"],
    "predict": ["Prediction", "predict"],
}


def module(app: str, name: str) -> ModuleType:
    return importlib.import_module(f"apps.{app}.{name}")


def configurations(app: str) -> list[RunConfig]:
    """The presets, and the quick one for every other task that the app has."""
    presets = module(app, "config").PRESETS
    tasks = get_args(get_type_hints(type(presets["quick"])).get("task"))
    return [*presets.values(), *(replace(presets["quick"], task=task) for task in tasks)]


def test_the_table_names_every_app() -> None:
    folders = Path(importlib.import_module("apps").__file__).parent.glob("*/train.py")
    assert sorted(APPS) == sorted(path.parent.name for path in folders)


@pytest.mark.parametrize("app", APPS)
class TestEveryApp:
    def test_has_the_same_files(self, app: str) -> None:
        folder = Path(module(app, "train").__file__).parent
        found = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert found == set(FILES)
        assert (folder / "README.md").exists()
        assert (folder / "records").is_dir()

    @pytest.mark.parametrize("name", FILES)
    def test_has_the_same_public_names_in_the_same_order(self, app: str, name: str) -> None:
        source = inspect.getsource(module(app, name))
        places = []
        for public in PUBLIC[name]:
            assert hasattr(module(app, name), public)
            starts = (f"\ndef {public}(", f"\nclass {public}", f"\n{public} =")
            places.append(max(source.find(start) for start in starts))
        assert -1 not in places
        assert places == sorted(places)

    def test_is_a_full_table_of_contents(self, app: str) -> None:
        built: App[RunConfig] = module(app, "train").build_app()
        assert built.name == app
        assert set(built.presets) == {"quick", "best"}
        for config in configurations(app):
            task = built.task(config)
            assert all("error" in expected.outputs for expected in task.signatures.values())
            assert task.input_name in task.signatures["serving_default"].inputs
            names = [f"validation_{name}" for name in (*task.metrics, *task.validation_metrics)]
            assert config.training.monitor in ("validation_loss", *names)

    def test_presets_survive_json(self, app: str) -> None:
        for preset in module(app, "config").PRESETS.values():
            assert from_dict(type(preset), to_dict(preset)) == preset

    def test_public_functions_are_documented(self, app: str) -> None:
        for name in FILES:
            found = module(app, name)
            assert found.__doc__
            for public, value in vars(found).items():
                own = getattr(value, "__module__", "") == found.__name__
                if own and callable(value) and not public.startswith("_"):
                    assert inspect.getdoc(value), f"{name}.{public}"
