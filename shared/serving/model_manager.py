"""Which versions of which models are loaded, kept as the files say while requests come in."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc import StatusCode
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec

from shared.serving.config_files import ModelServerConfig, read_config
from shared.serving.servable import Servable
from shared.serving.status import ServingError

State = ModelVersionStatus.State
Load = Callable[[str, Path], Servable]
Report = Callable[[str], None]
PLATFORM = "tensorflow"


@dataclass
class _Version:
    """One version: what is known of it, and the loaded model while it is there."""

    state: int = State.START
    error: str = ""
    servable: Servable | None = None


@dataclass
class _Model:
    base_path: Path
    policy: Any
    labels: Mapping[str, int]
    versions: dict[int, _Version] = field(default_factory=dict)


class ModelManager:
    """Loads the versions that a configuration asks for, and finds them for requests.

    A new version is loaded before an old one goes, and one that requests still use stays until
    they are answered.

    Args:
        config: `models.config`; it is read again on every look.
        root: What paths in it that do not exist here are looked for under: the configuration names
            them as a container has them, `/models/nlp`.
        load: Makes a `Servable` of a model's name and a version's folder.
        report: Is told of what is loaded, dropped and failing.
    """

    def __init__(self, config: Path, root: Path, load: Load, report: Report) -> None:
        self._config, self._root = config, root
        self._load, self._report = load, report
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def watch(self, seconds: float) -> threading.Thread:
        """Looks for changes again and again, in a thread that ends with `stop`."""

        def look() -> None:
            while not self._stopped.wait(seconds):
                try:
                    self.refresh()
                except OSError as error:  # A folder that cannot be read now may be next time.
                    self._report(f"kept the models as they are: {error}")

        thread = threading.Thread(target=look, name="model manager", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Ends `watch`."""
        self._stopped.set()

    def refresh(self) -> None:
        """Reads the configuration, loads what is new and drops what is no longer asked for.

        A configuration that cannot be read changes nothing.
        """
        try:
            wanted = read_models(self._config, self._root)
        except ValueError as error:
            self._report(f"kept the models as they are: {error}")
            return
        with self._lock:
            for name in [name for name in self._models if name not in wanted]:
                del self._models[name]
                self._report(f"{name}: dropped")
            for name, model in wanted.items():
                known = self._models.setdefault(name, model)
                known.base_path, known.policy = model.base_path, model.policy
                known.labels = model.labels
        known_models = [(name, self._models[name]) for name in wanted]
        for _, model in known_models:
            for number in _aspired_versions(model):
                # A request that comes before its turn is told to wait.
                model.versions.setdefault(number, _Version())
        for name, model in known_models:
            self._refresh_model(name, model)

    def _refresh_model(self, name: str, model: _Model) -> None:
        aspired = _aspired_versions(model)
        for number in aspired:
            version = model.versions.setdefault(number, _Version())
            is_dropped = version.state == State.END and not version.error
            if version.state == State.START or is_dropped:
                self._load_version(name, model, number)
        loaded = [number for number in aspired if model.versions[number].servable]
        for number, version in model.versions.items():
            # Without a new version that works, the old one goes on.
            if number not in aspired and version.servable and (loaded or not aspired):
                version.servable, version.state = None, State.END
                self._report(f"{name}: dropped version {number}")

    def _load_version(self, name: str, model: _Model, number: int) -> None:
        version = model.versions[number] = _Version(State.LOADING)
        try:
            folder = next(p for p in _version_folders(model.base_path) if int(p.name) == number)
            version.servable = self._load(name, folder)
            version.state = State.AVAILABLE
            self._report(f"{name}: loaded version {number}")
        except Exception as error:  # Whatever is wrong with a model, the others are served.
            version.state, version.error = State.END, str(error) or type(error).__name__
            self._report(f"{name}: version {number} cannot be loaded: {version.error}")

    def find(self, spec: ModelSpec) -> Servable:
        """The loaded version that a request asks for: by number, by label, or the newest.

        Raises:
            ServingError: There is none.
        """
        chosen = spec.WhichOneof("version_choice")
        model = self._models.get(spec.name)
        number = self._number(spec) if model else None
        for known, version in sorted(model.versions.items(), reverse=True) if model else ():
            if version.servable and number in (None, known):
                return version.servable
        if model and model.versions and not chosen and self._is_loading(model):
            raise ServingError(StatusCode.UNAVAILABLE, f"{spec.name} is being loaded")
        asked = f"Specific({spec.name}, {number})" if chosen else f"Latest({spec.name})"
        raise ServingError(StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")

    def _number(self, spec: ModelSpec) -> int | None:
        chosen = spec.WhichOneof("version_choice")
        if chosen == "version":
            return spec.version.value
        if not chosen:
            return None
        label = spec.version_label
        labels = self._models[spec.name].labels
        if label not in labels:
            raise ServingError(
                StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {label}",
            )
        return labels[label]

    @staticmethod
    def _is_loading(model: _Model) -> bool:
        waiting = (State.START, State.LOADING)
        return any(version.state in waiting for version in list(model.versions.values()))

    def status(self, spec: ModelSpec) -> list[ModelVersionStatus]:
        """What is known of the versions of a model, or of the one that is asked for.

        Raises:
            ServingError: There is none.
        """
        model = self._models.get(spec.name)
        number = self._number(spec) if model else None
        versions = model.versions if model else {}
        found = [
            _status(known, version)
            for known, version in sorted(versions.items(), reverse=True)
            if number in (None, known)
        ]
        if not found:
            which = "any versions" if number is None else f"version {number}"
            raise ServingError(StatusCode.NOT_FOUND, f"Could not find {which} of model {spec.name}")
        return found

    def names(self) -> list[str]:
        """The models of the configuration."""
        return sorted(self._models)


def read_models(config: Path, root: Path) -> dict[str, _Model]:
    """Reads `models.config`.

    Raises:
        ConfigFileError: It cannot be read.
        ValueError: A model has another platform, or two have one name.
    """
    models: dict[str, _Model] = {}
    for entry in read_config(config, ModelServerConfig).model_config_list.config:
        if entry.name in models or not entry.name:
            raise ValueError(f"{config}: two models named {entry.name!r}, or one without a name")
        if entry.model_platform not in ("", PLATFORM):
            raise ValueError(
                f"{config}: {entry.name} has the platform {entry.model_platform}; expected "
                f"{PLATFORM}"
            )
        base_path = Path(entry.base_path)
        if not base_path.exists():
            base_path = root / base_path.name
        models[entry.name] = _Model(
            base_path, entry.model_version_policy, dict(entry.version_labels)
        )
    return models


def _version_folders(base_path: Path) -> list[Path]:
    return [path for path in base_path.glob("*") if path.name.isdecimal() and path.is_dir()]


def _aspired_versions(model: _Model) -> list[int]:
    """The versions that the policy wants, newest first; by default the newest alone."""
    present = sorted({int(path.name) for path in _version_folders(model.base_path)}, reverse=True)
    policy = model.policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return present
    if choice == "specific":
        return [number for number in present if number in policy.specific.versions]
    count = policy.latest.num_versions if choice == "latest" else 1
    return present[: max(count, 1)]


def _status(number: int, version: _Version) -> ModelVersionStatus:
    status = ModelVersionStatus(version=number, state=version.state)
    status.status.SetInParent()
    if version.error:
        status.status.error_code = StatusCode.UNKNOWN.value[0]
        status.status.error_message = version.error
    return status
