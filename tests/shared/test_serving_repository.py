import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import shared
from shared.serving.config_files import (
    BatchingParameters,
    ConfigFileError,
    ModelServerConfig,
    MonitoringConfig,
    read_config,
)
from shared.serving.repository import (
    RepositoryError,
    list_versions,
    promote,
    prune,
    roll_back,
)
from shared.training.command_line import RunOptions

ROOT = Path(shared.__file__ or "").parents[1]
CONFIG = """# A comment
# of two lines.
model_config_list {
  config { name: "nlu" base_path: "/models/nlu" version_labels { key: "stable" value: 2 } }
  config { name: "nlp" base_path: "/models/nlp" }
}
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Versions 1, 2, 3 and 10 of nlu, of which the second is stable, and none of nlp."""
    (tmp_path / "models.config").write_text(CONFIG)
    for version in (1, 2, 3, 10):
        extra = tmp_path / "nlu" / str(version) / "assets.extra"
        extra.mkdir(parents=True)
        test = {"accuracy": version / 100}
        (extra / "metrics.json").write_text(json.dumps({"test": test}))
    (tmp_path / "nlu" / ".staging-x").mkdir()
    return tmp_path


def labels(models: Path, app: str = "nlu") -> dict[str, int]:
    config = read_config(models / "models.config", ModelServerConfig).model_config_list.config
    return dict(next(entry for entry in config if entry.name == app).version_labels)


def test_versions_are_listed_with_labels_and_metrics(models: Path) -> None:
    found = list_versions(models)
    assert [row["version"] for row in found] == [1, 2, 3, 10]
    assert [row["labels"] for row in found] == [[], ["stable"], [], []]
    assert found[3]["test"] == {"accuracy": 0.1}


def test_a_version_is_promoted_and_rolled_back(models: Path) -> None:
    promote(models, "nlu", 10)
    promote(models, "nlu", 1, "canary")
    assert labels(models) == {"stable": 10, "canary": 1}
    assert roll_back(models, "nlu") == 3
    assert labels(models) == {"stable": 3, "canary": 1}
    assert labels(models, "nlp") == {}
    assert (models / "models.config").read_text().startswith("# A comment\n# of two lines.\nmodel")


def test_old_versions_are_deleted_unless_labelled(models: Path) -> None:
    assert prune(models, "nlu", keep=1) == [1, 3]
    assert sorted(path.name for path in (models / "nlu").iterdir()) == [".staging-x", "10", "2"]


def test_what_cannot_be_done(models: Path) -> None:
    for work, message in (
        (lambda: promote(models, "nlu", 4), "no version 4; it has 1, 2, 3, 10"),
        (lambda: promote(models, "none", 1), "no model 'none'; it has nlu, nlp"),
        (lambda: promote(models, "nlp", 1), "it has none"),
        (lambda: roll_back(models, "nlu", "canary"), "no version of nlu is labelled canary"),
    ):
        with pytest.raises(RepositoryError, match=message):
            work()
    promote(models, "nlu", 1)
    with pytest.raises(RepositoryError, match="no version before 1, which is stable"):
        roll_back(models, "nlu")


def test_a_broken_configuration_is_named_with_its_line(models: Path) -> None:
    (models / "models.config").write_text("model_config_list {\n  confg {}\n}")
    with pytest.raises(ConfigFileError, match=r"models\.config: 2:3 .*confg.*ModelServerConfig"):
        list_versions(models)


def test_the_command_line(models: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shared.serving.repository", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    shown = run("list", "--models", str(models)).stdout
    assert "stable" in shown and "accuracy 0.02" in shown
    assert run("promote", "nlu", "3", "--models", str(models)).returncode == 0
    assert labels(models)["stable"] == 3
    refused = run("rollback", "none", "--models", str(models))
    assert refused.returncode == 2 and refused.stderr.startswith("error: models.config has no")


def test_the_files_of_the_repository_are_what_the_server_expects() -> None:
    folder = ROOT / "saved_models"
    config = read_config(folder / "models.config", ModelServerConfig).model_config_list.config
    from apps import APPS

    assert [entry.name for entry in config] == list(APPS)
    for entry in config:
        assert entry.base_path == f"/models/{entry.name}"
        assert set(entry.version_labels) == {"stable", "canary"}
    batching = read_config(folder / "batching.config", BatchingParameters)
    assert batching.max_batch_size.value > 1 and batching.num_batch_threads.value > 0
    monitoring = read_config(folder / "monitoring.config", MonitoringConfig).prometheus_config
    assert monitoring.enable and monitoring.path == "/monitoring/prometheus/metrics"


def test_a_first_training_makes_what_the_configuration_names() -> None:
    folder = ROOT / "saved_models"
    config = read_config(folder / "models.config", ModelServerConfig).model_config_list.config
    assert RunOptions().saved_models == Path(folder.name)
    for entry in config:
        assert import_module(f"apps.{entry.name}.train").build_app().name == entry.name
        assert set(entry.version_labels.values()) == {1}  # What `publish` begins with.


def test_every_path_of_the_configuration_is_there_after_the_demo() -> None:
    folder = ROOT / "saved_models"
    config = read_config(folder / "models.config", ModelServerConfig).model_config_list.config
    models = {folder / Path(e.base_path).relative_to("/models"): e.version_labels for e in config}
    trained = [model for model in models if model.exists()]
    if not trained:
        pytest.skip("needs the models of `make demo`")
    for model in trained:
        for version in models[model].values():
            assert (model / str(version) / "saved_model.pb").exists(), model


def test_compose_and_kubernetes_mount_what_is_there() -> None:
    import yaml

    folder = ROOT / "saved_models"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["serving"]
    deployment, service = yaml.safe_load_all((folder / "kubernetes.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == compose["image"]
    for flags in (compose["command"], container["args"]):
        files = [flag.partition("=/models/")[2] for flag in flags if "=/models/" in flag]
        assert files and all((folder / name).exists() for name in files)
    assert container["resources"]["limits"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert {port["port"] for port in service["spec"]["ports"]} == {8500, 8501}
    version = compose["image"].partition(":")[2]
    requirements = (ROOT / "requirements.lock").read_text()
    assert f"tensorflow-serving-api=={version}" in requirements
