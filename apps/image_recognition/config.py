"""What can be set for image recognition, and the two presets."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MinLen

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

Activation = Literal[
    "relu", "sigmoid", "tanh", "gelu", "silu", "elu", "selu", "leaky_relu", "mish", "hard_silu",
    "softplus", "celu", "relu6",
]  # fmt: skip


@dataclass(frozen=True)
class ImageConfig(Checked):
    """How a picture becomes the network's input."""

    size: Annotated[int, Ge(0)] = 0
    """Height and width in pixels (0 = the data's own size, between 16 and 64; if mixed, 64)."""
    color: Literal["auto", "grey", "rgb"] = "auto"
    """Channels of the input (auto = grey if every training picture is)."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How a picture of another aspect ratio is made to fit."""


@dataclass(frozen=True)
class SplitConfig(HoldOutConfig):
    """How missing splits are made, and what is accepted as data."""

    max_unreadable: Fraction = 0.05
    """Largest share of unreadable files in a split that is left out rather than refused."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The convolutional network with residual blocks."""

    widths: Annotated[tuple[Count, ...], MinLen(1)] = (8, 32, 64, 128)
    """Channels of each stage; every stage but the first halves height and width."""
    blocks: tuple[Annotated[int, Ge(0)], ...] = (0, 1, 1, 0)
    """Residual blocks of each stage."""
    activation: Activation = "relu"
    """Activation of every hidden layer."""
    dropout: Fraction = 0.0
    """Share of the pooled features that is dropped in training."""
    mirror_average: bool = False
    """Answer with the mean over a picture and its mirror image, where augmentation.flip mirrors;
    costs twice the time."""


@dataclass(frozen=True)
class AugmentationConfig(Checked):
    """Random changes of training pictures; none of them happens at prediction."""

    shift: Fraction = 0.03
    """Largest shift, as a share of height and width, at least one pixel (0 = off)."""
    flip: Literal["auto", "always", "never"] = "auto"
    """Mirror left and right (auto = unless the class names are digits or single letters)."""
    cutout: Fraction = 0.0
    """Largest erased area, as a share of the picture."""
    mixup: NotNegative = 0.0
    """Blend pictures in pairs: alpha of the beta distribution (0 = off)."""
    cutmix: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Paste a part of one picture into another: upper end of the mixing weight (0 = off)."""
    rand_augment: Annotated[int, Interval(ge=0, le=10)] = 0
    """Further random changes of colour and geometry per picture (0 = off)."""


@dataclass(frozen=True)
class Config(RunConfig):
    """Trains an image classifier and exports it from file bytes to labels."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, or a path: a folder with one
    folder of pictures per class, or a .csv, .tsv or .jsonl table with path,label[,split]."""
    image: ImageConfig = field(default_factory=ImageConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        stages = len(self.model.widths)
        if len(self.model.blocks) != stages:
            raise ConfigError(
                f"--model.blocks has {len(self.model.blocks)} numbers and --model.widths {stages}. "
                "Pass one number of each per stage."
            )
        if self.loss.name == "mean_squared_error" and self.loss.label_smoothing:
            raise ConfigError(
                "--loss.label_smoothing goes with --loss.name cross_entropy; with "
                "mean_squared_error pass 0."
            )


def mirrors(config: Config, labels: tuple[str, ...]) -> bool:
    """Whether a mirrored picture keeps its class: digits and letters turn into others."""
    characters = all(len(label) == 1 or label.isdecimal() for label in labels)
    return {"always": True, "never": False, "auto": not characters}[config.augmentation.flip]


QUICK = Config(
    model=ModelConfig(mirror_average=True),
    augmentation=AugmentationConfig(cutout=0.15),
    loss=LossConfig(label_smoothing=0.1),
    optimizer=OptimizerConfig(
        name="muon",
        learning_rate=0.015,
        momentum=0.9,
        weight_decay=0.1,
        schedule="one_cycle_linear",
        warmup_fraction=0.2,
        average_decay=0.98,
    ),
    training=TrainingConfig(
        epochs=4, minimum_steps=250, batch_size=128, monitor="validation_accuracy"
    ),
)
BEST = replace(
    QUICK,
    split=SplitConfig(validation_fraction=0.02),
    model=ModelConfig(widths=(16, 48, 96, 192), blocks=(0, 1, 1, 1), mirror_average=True),
    augmentation=AugmentationConfig(shift=0.07, cutout=0.15),
    optimizer=replace(QUICK.optimizer, warmup_fraction=0.15),
    training=replace(
        QUICK.training, epochs=20, minimum_steps=6000, monitor="validation_loss", xla=True
    ),
)
PRESETS = {"quick": QUICK, "best": BEST}
