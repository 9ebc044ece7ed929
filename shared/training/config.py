"""The configuration that every app shares: frozen dataclasses, checked when they are made."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

Positive = Annotated[float, Interval(gt=0, lt=math.inf)]
NotNegative = Annotated[float, Interval(ge=0, lt=math.inf)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]
Count = Annotated[int, Ge(1)]

OptimizerName = Literal["sgd", "adam", "adamw", "muon", "lion", "rmsprop", "adagrad", "nadam"]
ScheduleName = Literal["constant", "warmup_cosine", "one_cycle", "one_cycle_linear"]
LossName = Literal["cross_entropy", "mean_squared_error"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says what was passed and what to pass."""


@dataclass(frozen=True)
class Checked:
    """A dataclass whose fields are held to the ranges in their annotations."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        problems = [
            f"{item.name} is {getattr(self, item.name)!r}, expected {expectation}"
            for item in fields(self)
            for expectation in _broken(getattr(self, item.name), hints[item.name])[:1]
        ]
        if problems:
            raise ConfigError("; ".join(problems) + ".")


@dataclass(frozen=True)
class LossConfig(Checked):
    """What training makes small."""

    name: LossName = "cross_entropy"
    """Cross-entropy between label and softmax, or the squared error of the probabilities."""
    label_smoothing: Fraction = 0.0
    """Share of the label's probability that is spread over all classes (0 = off)."""


@dataclass(frozen=True)
class OptimizerConfig(Checked):
    """How weights follow the gradient."""

    name: OptimizerName = "adamw"
    """sgd is plain gradient descent, with momentum if given; muon covers convolutions, too."""
    learning_rate: Positive = 1e-3
    """Step size at the peak of the schedule."""
    momentum: Fraction = 0.9
    """Share of the last update that is kept (sgd, rmsprop and muon)."""
    nesterov: bool = True
    """Look ahead along the momentum (sgd)."""
    weight_decay: NotNegative = 0.0
    """Share of each weight that decays per step, multiplied by the learning rate."""
    clip_norm: NotNegative = 0.0
    """Largest allowed norm of all gradients together (0 = off)."""
    schedule: ScheduleName = "warmup_cosine"
    """Course of the learning rate over the run."""
    warmup_fraction: Fraction = 0.1
    """Share of all steps in which the learning rate rises to its peak."""
    average_decay: Fraction = 0.0
    """Decay of the running average of the weights that is evaluated and exported (0 = off)."""


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """How long and how training runs."""

    epochs: Count = 10
    """Passes over the training examples."""
    minimum_steps: Annotated[int, Ge(0)] = 0
    """Small sets are passed over more often, until this many steps are made."""
    batch_size: Count = 64
    """Examples per step."""
    monitor: str = "validation_loss"
    """Validation metric that picks the best epoch; a name with loss or error is made small."""
    patience: Annotated[int, Ge(0)] = 0
    """Epochs without improvement after which training stops (0 = never)."""
    class_weights: bool = False
    """Weigh each class by its rarity, so that rare classes count as much as common ones."""
    precision: Precision = "float32"
    """Number format of the computation; weights stay float32."""
    xla: bool = False
    """Compile the training step with XLA."""
    cache_gigabytes: NotNegative = 2.0
    """Preprocessed training examples up to this size stay in memory; larger sets stream."""
    op_threads: Annotated[int, Ge(0)] = 0
    """Threads that share the work of one op (0 = one for each core). The steps of a recurrent layer
    are too small to be shared out."""
    checkpoint_seconds: Positive = 30.0
    """Time between checkpoints, which --resume goes on from."""


@dataclass(frozen=True)
class HoldOutConfig(Checked):
    """How missing splits are made."""

    validation_fraction: Annotated[float, Interval(gt=0, lt=0.5)] = 0.1
    """Share of the training examples for validation, where the data has no such split."""
    test_fraction: Annotated[float, Interval(gt=0, lt=0.5)] = 0.2
    """Share of all examples for testing, where the data has no such split."""


@dataclass(frozen=True)
class RunConfig(Checked):
    """What every app's configuration has; an app adds its own groups."""

    data: str = ""
    """A data set's name or the path of your own data; the app's README lists the forms."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Fixes initial weights, splits, order and augmentation."""
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


Config = TypeVar("Config", bound=RunConfig)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    return json.loads(json.dumps(asdict(config)))


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """The configuration that `to_dict` wrote.

    Raises:
        ConfigError: Every unknown field, wrong type and value out of range, all at once.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError("\n".join(map(_explain, error.errors()))) from error


def read_config(kind: type[Config], path: Path) -> Config:
    """Reads a configuration file, or the `config.json` of a run or an exported model.

    Raises:
        ConfigError: The file is missing, is not JSON, or holds what `from_dict` refuses.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--config {path}: {error}. Pass the config.json of a run or of an exported model."
        ) from error
    try:
        return from_dict(kind, values.get("config", values) if isinstance(values, dict) else values)
    except ConfigError as error:
        raise ConfigError(f"--config {path}:\n{error}") from error


def _broken(value: Any, hint: Any) -> list[str]:
    """What the annotation expects and the value is not."""
    limits: list[object] = []
    for limit in getattr(hint, "__metadata__", ()):
        limits.extend(limit if isinstance(limit, Interval) else [limit])
    broken = [words for limit in limits if (words := _expectation(value, limit))]
    kind = get_args(hint)[0] if limits else hint
    if get_origin(kind) is tuple:
        item_hint = get_args(kind)[0]
        broken += [f"each {words}" for item in value for words in _broken(item, item_hint)]
    return list(dict.fromkeys(broken))


def _expectation(value: Any, limit: object) -> str:
    match limit:
        case Gt(gt=bound) if not value > bound:
            return f"more than {bound}"
        case Ge(ge=bound) if not value >= bound:
            return f"at least {bound}"
        case Lt(lt=bound) if not value < bound:
            return f"less than {bound}"
        case Le(le=bound) if not value <= bound:
            return f"at most {bound}"
        case MinLen(min_length=bound) if len(value) < bound:
            return f"{bound} or more of them"
    return ""


def _explain(problem: Any) -> str:
    if problem["type"] == "value_error":
        return f"  {problem['ctx']['error']}"
    place = ".".join(map(str, problem["loc"])) or "configuration"
    return f"  {place} is {problem['input']!r}: {problem['msg']}."
