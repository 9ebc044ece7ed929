"""What can be set for natural language processing, and the two presets."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Interval

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

TaskName = Literal["classification", "language_model"]


@dataclass(frozen=True)
class TextConfig(Checked):
    """Where texts are found in the data, and how one becomes the network's input."""

    text_field: str = ""
    """Column or feature with the text; several, with commas between, are joined ("" = guess)."""
    label_field: str = ""
    """Column or feature with the label ("" = guess)."""
    label_separator: str = ""
    """What stands between the labels of a text that may have several ("" = it has one)."""
    max_tokens: Annotated[int, Ge(2)] = 400
    """Tokens that the network reads; of a longer text, its beginning and three times as much of
    its end. A language model reads the beginning."""
    vocabulary: Count = 30000
    """The most frequent words of the training texts are known."""
    minimum_count: Count = 2
    """Words that occur less often are unknown, or cut into pieces."""
    pieces: Annotated[int, Ge(0)] = 0
    """Pieces, learnt from the other words of the training texts, that other words are cut into
    (0 = they are unknown)."""


@dataclass(frozen=True)
class SplitConfig(HoldOutConfig):
    """How missing splits are made, and how much of the training texts is used."""

    train_texts: Annotated[int, Ge(0)] = 0
    """Train on so many of the training texts, drawn by the seed (0 = all)."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """Word vectors, a bidirectional LSTM and, for classes, a bag of n-grams beside it."""

    word_size: Count = 128
    """Numbers that stand for a word."""
    units: Count = 128
    """Units of the LSTM in each direction."""
    dropout: Fraction = 0.4
    """Share of the features that is dropped in training, before and after the LSTM."""
    recurrent_dropout: Fraction = 0.0
    """Share of the LSTM's recurrent weights that is dropped in training."""
    ngrams: Annotated[int, Interval(ge=0, le=5)] = 2
    """Longest n-grams, in words, of the linear classifier beside the network (0 = none)."""
    ngram_bits: Annotated[int, Interval(ge=8, le=24)] = 20
    """N-grams share 2 to the power of this many weights per class; fewer if that is room enough."""


@dataclass(frozen=True)
class AugmentationConfig(Checked):
    """Random changes of training texts; none of them happens at prediction."""

    word_dropout: Fraction = 0.1
    """Share of the words that the network sees as unknown."""
    adversarial: NotNegative = 0.0
    """Length of a change of a text's word vectors that makes the loss grow most, relative to that
    of one of them; each batch is learnt with and without it, in twice the time (0 = none)."""


@dataclass(frozen=True)
class LanguageModelConfig(Checked):
    """What a language model has in place of the classifier's settings."""

    dropout: Fraction = 0.1
    """Share of the features that is dropped in training, before and after the LSTM."""
    sampled_words: Count = 1024
    """Words that a batch is compared with in training, instead of the whole vocabulary."""


@dataclass(frozen=True)
class FineTuningConfig(Checked):
    """How the layers of a pretrained language model are trained on."""

    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 0.8
    """Learning rate of the LSTM relative to that of the new layers, and of the word vectors
    relative to that of the LSTM."""
    unfreeze_fraction: Fraction = 0.1
    """Share of all steps after which the word vectors are trained, too; the LSTM after half."""


@dataclass(frozen=True)
class Config(RunConfig):
    """Trains a classifier of texts, or a language model that scores and continues them."""

    data: str = "reviews"
    """reviews, imdb_reviews, trec, ag_news_subset, glue/sst2, yelp_polarity_reviews, tfds:NAME, or
    a path: a .csv, .tsv or .jsonl table, a folder with one folder of .txt files per class, or for
    a language model any .txt files."""
    task: TaskName = "classification"
    """One label or several per text, or the next word."""
    pretrained: str = ""
    """Run folder of a language model whose word vectors and LSTM a classifier starts from."""
    text: TextConfig = field(default_factory=TextConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss.name != "cross_entropy":
            raise ConfigError(
                f"--loss.name is {self.loss.name}; texts are classified with cross_entropy. Leave "
                "the flag out."
            )
        if self.training.xla:
            raise ConfigError(
                "--training.xla does not go with texts of different lengths, which the LSTM packs. "
                "Leave the flag out."
            )
        has_one_label = self.task == "classification" and not self.text.label_separator
        if self.training.class_weights and not has_one_label:
            raise ConfigError(
                "--training.class_weights is for texts with one label each. Leave the flag out."
            )
        if self.pretrained and self.task == "language_model":
            raise ConfigError(
                "--pretrained is for classification; a language model is trained from the start. "
                "Leave one of the flags out."
            )


QUICK = Config(
    model=ModelConfig(dropout=0.3),
    augmentation=AugmentationConfig(word_dropout=0.05),
    optimizer=OptimizerConfig(name="muon", learning_rate=0.02, momentum=0.95, average_decay=0.99),
    training=TrainingConfig(epochs=2, minimum_steps=700, batch_size=64, op_threads=1),
)
BEST = replace(
    QUICK,
    text=TextConfig(max_tokens=600),
    model=ModelConfig(units=256, dropout=0.3),
    augmentation=AugmentationConfig(adversarial=0.5),
)
PRESETS = {"quick": QUICK, "best": BEST}
