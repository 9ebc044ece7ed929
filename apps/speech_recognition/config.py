"""What can be set for speech recognition, and the two presets."""

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
    Positive,
    RunConfig,
    TrainingConfig,
)

TaskName = Literal["transcription", "keywords"]
Probability = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class RecordingConfig(Checked):
    """Where recordings and their words are found in the data."""

    text_field: str = ""
    """Column or feature with the word or transcript ("" = guess)."""
    speaker_field: str = ""
    """Column or feature with the speaker ("" = guess)."""
    words: tuple[str, ...] = ()
    """Keywords to tell apart; all other words become one class, unknown (none = all words)."""
    silence_fraction: Fraction = 0.1
    """Examples of silence, cut from _background_noise_, relative to all others (keywords)."""


@dataclass(frozen=True)
class SplitConfig(HoldOutConfig):
    """How missing splits are made: by speaker, where the speakers are known."""

    test_speakers: tuple[str, ...] = ()
    """Test on the recordings of these speakers, and train on none of them."""


@dataclass(frozen=True)
class AudioConfig(Checked):
    """How sound becomes a log-mel spectrogram."""

    sample_rate: Annotated[int, Ge(1000)] = 16000
    """Samples per second that the network hears; recordings of other rates are converted."""
    mel_bins: Count = 80
    """Frequency bands."""
    window_milliseconds: Positive = 25.0
    """Length of sound that a frame sees."""
    hop_milliseconds: Positive = 10.0
    """Time between frames."""
    longest_seconds: Positive = 60.0
    """Longest recording; a longer one has an error for its answer."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """Convolutions that shorten the spectrogram, and bidirectional LSTMs above them."""

    filters: Count = 24
    """Filters of each convolution."""
    time_strides: Annotated[tuple[Count, ...], MinLen(1)] = (2, 2)
    """Stride in time of each convolution; their product is the frames per step of the LSTM."""
    units: Count = 192
    """Units of each LSTM in each direction."""
    layers: Count = 2
    """LSTM layers, one on top of the other."""
    dropout: Fraction = 0.2
    """Share of the features that is dropped in training, before each LSTM and behind the last."""


@dataclass(frozen=True)
class AugmentationConfig(Checked):
    """Random changes of training recordings; none of them happens at prediction."""

    speed: Annotated[float, Interval(ge=0, lt=0.5)] = 0.1
    """Recordings are played up to this much faster or slower."""
    noise: Probability = 0.15
    """Chance of added noise, from white to brown."""
    babble: Probability = 0.05
    """Chance of added voices: other recordings of the batch."""
    snr_decibels: tuple[float, float] = (10.0, 30.0)
    """Smallest and largest ratio of signal to noise or voices."""
    reverberation: Probability = 0.1
    """Chance of the echo of a room."""
    gain_decibels: NotNegative = 6.0
    """Recordings are up to this much louder or softer."""
    shift_milliseconds: NotNegative = 100.0
    """Longest silence that is put in front."""
    frequency_masks: Annotated[int, Ge(0)] = 2
    """Bands of the spectrogram that are hidden (SpecAugment)."""
    frequency_width: Annotated[int, Ge(0)] = 15
    """Mel bins of the widest of them."""
    time_masks: Annotated[int, Ge(0)] = 2
    """Stretches of the spectrogram that are hidden (SpecAugment)."""
    time_width: Annotated[int, Ge(0)] = 30
    """Frames of the longest of them."""


@dataclass(frozen=True)
class DecodingConfig(Checked):
    """How a transcript is found among the network's answers."""

    beam_width: Annotated[int, Ge(0)] = 0
    """Transcripts that are followed side by side (0 = the likeliest character of each frame)."""
    ngram_order: Annotated[int, Interval(ge=0, le=12)] = 6
    """Characters of the longest n-grams of training transcripts that guide the beam (0 = none)."""
    ngram_weight: NotNegative = 0.5
    """Weight of the n-grams' log-probability beside the network's."""
    length_bonus: NotNegative = 0.5
    """Added to the log-probability for each character, as n-grams favour short transcripts."""


@dataclass(frozen=True)
class Config(RunConfig):
    """Trains a model that writes down speech, or names the word in a clip."""

    data: str = "voice_commands"
    """voice_commands, spoken_digit, speech_commands, yes_no, librispeech, ljspeech, tfds:NAME, or
    a path: a folder with one folder of recordings per word, a .csv, .tsv or .jsonl manifest of
    recordings and their texts, or a folder with train.csv and test.csv of this form."""
    task: TaskName = "transcription"
    """The words that are said, with their times, or one of a few keywords per clip."""
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.training.xla:
            raise ConfigError(
                "--training.xla does not go with recordings of different lengths, which the LSTM "
                "packs. Leave the flag out."
            )
        if self.task == "transcription" and self.training.class_weights:
            raise ConfigError(
                "--training.class_weights is for --task keywords. Leave one of the flags out."
            )
        if self.task == "transcription" and self.loss != LossConfig():
            raise ConfigError(
                "--loss is for --task keywords; transcription is trained with CTC. Leave the flag "
                "out."
            )


QUICK = Config(
    audio=AudioConfig(mel_bins=64),
    model=ModelConfig(filters=16, units=160, dropout=0.1),
    # In few epochs, much variety costs more than it gives.
    augmentation=AugmentationConfig(
        noise=0.0, babble=0.0, reverberation=0.0, frequency_masks=1, time_masks=1, time_width=10
    ),
    decoding=DecodingConfig(beam_width=16),
    optimizer=OptimizerConfig(
        name="muon",
        learning_rate=0.01,
        momentum=0.95,
        warmup_fraction=0.05,
        clip_norm=50.0,
        average_decay=0.99,
    ),
    training=TrainingConfig(epochs=8, minimum_steps=700, batch_size=16, op_threads=1),
)
BEST = replace(
    QUICK,
    audio=AudioConfig(),
    model=ModelConfig(),
    augmentation=AugmentationConfig(),
    decoding=DecodingConfig(),
    # Without weight decay, Muon's steps saturate the LSTM in a run as long as this.
    optimizer=replace(QUICK.optimizer, learning_rate=0.008, weight_decay=0.1, average_decay=0.995),
    training=replace(QUICK.training, epochs=20, minimum_steps=2500, cache_gigabytes=4.0),
)
PRESETS = {"quick": QUICK, "best": BEST}
