"""What an app is: a table of functions that the one sequence in `run` calls in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol

from shared.training.config import Config

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from tensorflow.types.experimental import GenericFunction

    from shared.export.saved_model import ServedModel
    from shared.export.verification import Expected
    from shared.export.warmup import Request
    from shared.optimizers import LayerRates
    from shared.training.batching import Batches, Prepare
    from shared.training.report import Section
    from shared.training.sequence_batching import Vary

Labels = tuple[str, ...]


class Split(Protocol):
    """Raw examples: elements `{"input", "label", "id"}` and annotations, as `data.Split` has."""

    @property
    def size(self) -> int: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def annotations(self) -> Mapping[str, np.ndarray]: ...

    def read(self, seed: int | None = None) -> tf.data.Dataset: ...


class Splits(Protocol):
    """Train, validation and test examples with their labels, as `data.Splits` has them."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Labels: ...

    @property
    def train(self) -> Split: ...

    @property
    def validation(self) -> Split: ...

    @property
    def test(self) -> Split: ...


class Problem(Protocol):
    """Something found in the data before training, as `data.Problem` has it."""

    @property
    def severity(self) -> str: ...

    @property
    def where(self) -> str: ...

    @property
    def message(self) -> str: ...


class Survey(Protocol):
    """Checked splits and what the check found, as `data.Survey` has it."""

    @property
    def splits(self) -> Splits: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def facts(self) -> Mapping[str, np.ndarray]: ...

    def raise_errors(self) -> None: ...


@dataclass(frozen=True)
class Trained(Generic[Config]):
    """A trained model with all that its serving graph needs."""

    config: Config
    labels: Labels
    preprocess: keras.Layer
    model: keras.Model
    calibration: Mapping[str, float] = field(default_factory=dict)
    """What was set after training, such as a temperature."""
    validation: Mapping[str, float] = field(default_factory=dict)
    """Metrics on the validation examples, with the calibration."""


@dataclass(frozen=True)
class Evaluation:
    """What a model got right and wrong on one split."""

    metrics: dict[str, float]
    sections: list[Section]
    """The report's sections, in order."""
    errors: list[dict[str, Any]]
    """The worst mistakes, worst first, as `errors.jsonl` lists them."""


@dataclass(frozen=True)
class Task:
    """What an app is trained for: it may offer several tasks, of which a configuration is one."""

    headline: str
    """The test metric that stands for the rest, such as accuracy."""
    signatures: Mapping[str, Expected]
    """What the exported signatures must look like."""
    input_name: str
    """The input of `serving_default` that takes a raw example."""
    metrics: tuple[str, ...] = ()
    """Names of the Keras metrics that are followed during training."""
    validation_metrics: tuple[str, ...] = ()
    """Names of the metrics that `App.validate` gives."""


@dataclass(frozen=True)
class App(Generic[Config]):
    """An application: its name, and one function per step of the sequence."""

    name: str
    """Its folder under apps/, saved_models/ and runs/."""
    presets: Mapping[str, Config]
    task: Callable[[Config], Task]
    """Says what a configuration trains for."""
    load: Callable[[Config], Survey]
    """Reads and checks the data to train on."""
    load_split: Callable[[Config, str], tuple[Labels, Split, Sequence[Problem]]]
    """Reads the examples of `train`, `validation`, `test` or `all`, to evaluate on."""
    build_preprocess: Callable[[Config, Survey], keras.Layer]
    """Makes the layer from raw input to model input, adapted to the training examples."""
    prepare: Callable[[Config, keras.Layer, Labels], Prepare]
    """Makes the map from one raw example to the model's `(input, target)`; arrays of unknown
    length are batched by length and padded, inputs with 0 and targets with -1."""
    build_augmentation: Callable[[Config, keras.Layer, Labels], keras.Layer | None]
    """Makes the layer that changes a training batch `(inputs, targets)`, or None."""
    build_model: Callable[[Config, keras.Layer, Labels], keras.Model]
    build_loss: Callable[[Config, keras.Model], Any]
    """Makes the loss, or losses by output; some are functions of the model's weights."""
    calibrate: Callable[[Trained[Config], Batches], tuple[dict[str, float], dict[str, float]]]
    """Fits what is set on validation batches after training, such as a temperature; gives it and
    the validation metrics with it."""
    build_signatures: Callable[[Trained[Config]], dict[str, GenericFunction]]
    """Makes the serving graph: raw input to labels."""
    reference: Callable[[Trained[Config], np.ndarray], dict[str, np.ndarray]]
    """Answers of the in-memory model for raw inputs, by the path of training."""
    build_warmup: Callable[[np.ndarray], list[Request]]
    """Makes the requests that a server replays before it serves, from raw examples."""
    evaluate: Callable[[ServedModel, Split], Evaluation]
    """Metrics, mistakes and report sections of a served model on one split."""
    write_samples: Callable[[Split, Labels, Path], list[str]]
    """Gives a few inputs for `predict`, as files written to a folder or as words."""
    build_variation: Callable[[Config], Vary | None] | None = None
    """Makes the function that changes whole training sequences anew in each epoch, or None."""
    validate: Callable[[keras.Model, Batches], Mapping[str, float]] | None = None
    """Further validation metrics after every epoch, from the model and validation batches."""
    baseline: Callable[[Config, Splits], Mapping[str, float]] | None = None
    """Test metrics of a simple model that is trained on the same examples, to compare with."""
    build_layer_rates: Callable[[Config], LayerRates | None] | None = None
    """Makes the learning rates of pretrained layers relative to that of the new ones, or None."""
    keep: Callable[[Trained[Config], Path], None] | None = None
    """Writes what later runs may start from to the run's folder."""
    user_errors: tuple[type[Exception], ...] = ()
    """Errors that the user can mend: shown without a traceback."""
