"""What can be set for natural language understanding, and the two presets."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from annotated_types import Ge, MinLen

from shared.training.config import (
    Checked,
    ConfigError,
    Count,
    Fraction,
    HoldOutConfig,
    LossConfig,
    NotNegative,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
)


@dataclass(frozen=True)
class TextConfig(Checked):
    """How a sentence becomes the network's input."""

    max_characters: Count = 1000
    """Longest sentence; a longer one has an error for its answer."""
    minimum_count: Count = 1
    """Words that occur less often in training are known by their characters alone."""
    word_characters: Annotated[int, Ge(2)] = 16
    """Characters of a word that are looked at; of a longer one, its beginning and end."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """Word and character features, a bidirectional LSTM, an intent head and a slot head."""

    word_size: Count = 64
    """Numbers that stand for a word."""
    character_size: Count = 32
    """Numbers that stand for a character."""
    character_filters: Count = 48
    """Patterns of characters that are looked for, of each width."""
    character_widths: Annotated[tuple[Count, ...], MinLen(1)] = (3, 5)
    """Widths of these patterns, in characters."""
    units: Count = 160
    """Units of the LSTM in each direction."""
    layers: Count = 1
    """LSTM layers, one on top of the other."""
    dropout: Fraction = 0.4
    """Share of the features that is dropped in training, before and after each LSTM."""


@dataclass(frozen=True)
class AugmentationConfig(Checked):
    """Random changes of training sentences; none of them happens at prediction."""

    word_dropout: NotNegative = 0.25
    """A word seen n times is hidden with the chance a / (a + n), where a is this number, so that
    the network learns to read unknown words by their characters."""
    swapped_slots: Fraction = 0.3
    """Chance of each slot to get the words of another slot of its name."""
    adversarial: NotNegative = 0.0
    """Length of a change of a sentence's word vectors that makes the loss grow most, relative to
    that of one of them; each batch is learnt with and without it, in twice the time (0 = none)."""


@dataclass(frozen=True)
class OutOfScopeConfig(Checked):
    """When a sentence is answered as out of scope; chosen on validation sentences."""

    largest_cost: Fraction = 0.01
    """Largest share of the sentences in scope that may lose their right answer, so that others are
    rejected; without out-of-scope sentences to learn from, none does."""


@dataclass(frozen=True)
class Config(RunConfig):
    """Trains a model that names the intent of a sentence and finds its slots."""

    data: str = "home_assistant"
    """home_assistant, atis, snips, clinc_oos, or a path: .jsonl with spans, Rasa .yml, a folder
    with seq.in, seq.out and label, .conll columns, Snips .json, or a template .grammar."""
    text: TextConfig = field(default_factory=TextConfig)
    split: HoldOutConfig = field(default_factory=HoldOutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    out_of_scope: OutOfScopeConfig = field(default_factory=OutOfScopeConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss.name != "cross_entropy":
            raise ConfigError(
                f"--loss.name is {self.loss.name}; intents and slots are trained with "
                "cross_entropy. Leave the flag out."
            )
        if self.training.xla:
            raise ConfigError(
                "--training.xla does not go with sentences of different lengths, which the LSTM "
                "packs. Leave the flag out."
            )


QUICK = Config(
    augmentation=AugmentationConfig(adversarial=0.3),
    optimizer=OptimizerConfig(
        name="muon",
        learning_rate=0.01,
        momentum=0.95,
        warmup_fraction=0.05,
        average_decay=0.995,
    ),
    training=TrainingConfig(
        epochs=4,
        minimum_steps=870,
        batch_size=32,
        monitor="validation_sentence_accuracy",
        op_threads=1,
    ),
)
BEST = replace(
    QUICK,
    model=ModelConfig(dropout=0.5),
    optimizer=replace(QUICK.optimizer, average_decay=0.998),
    training=replace(QUICK.training, epochs=10, minimum_steps=2800),
)
PRESETS = {"quick": QUICK, "best": BEST}
