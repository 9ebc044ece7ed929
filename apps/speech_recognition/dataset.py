"""Where recordings come from, and how training recordings are varied."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import data
from apps.speech_recognition.config import Config
from apps.speech_recognition.model import samples, seconds_per_step
from apps.speech_recognition.preprocess import AudioPreprocess
from shared.layers.noise_augmentation import Babble, ColoredNoise, Reverberation
from shared.layers.waveform_augmentation import Gain, Shift, Speed, WaveformAugmentation
from shared.training.app import Split

KINDS = {"transcription": "transcripts", "keywords": "keywords"}
SAMPLES = 4
SPEED_CHANCE = 0.8


def load(config: Config) -> data.Survey:
    """Reads and checks the data that `config.data` names.

    Returns:
        Splits of recordings as bytes of WAV files, with a keyword each or, as annotation
        `transcripts`, with what is said; and every problem found. The labels are the keywords, or
        the characters of the training transcripts.

    Raises:
        data.DataError: The data cannot be found or split; lists everything that is wrong.
    """
    splits = data.load(
        config.data,
        kind=KINDS[config.task],
        fields=_fields(config),
        validation_fraction=config.split.validation_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
    )
    return data.survey_recordings(splits, seconds_per_character=seconds_per_step(config))


def load_split(
    config: Config, split: str
) -> tuple[tuple[str, ...], data.Split, Sequence[data.Problem]]:
    """Reads examples to evaluate a model on.

    Args:
        config: The configuration that the model was trained with, and the data to read.
        split: `train`, `validation` or `test`, as training would cut them, or `all`.

    Returns:
        The data's keywords, none for transcription; the usable examples and the problems found.
    """
    if split == "all":
        labels, examples = data.load_all(
            config.data, kind=KINDS[config.task], fields=_fields(config)
        )
        checked, found = data.check_recordings(examples, labels)
        return _classes(config, labels), checked, found
    survey = load(config)
    return _classes(config, survey.splits.labels), getattr(survey.splits, split), survey.problems


def prepare(
    config: Config, preprocess: AudioPreprocess, labels: tuple[str, ...]
) -> Callable[[dict[str, tf.Tensor]], tuple[Any, Any]]:
    """A map from a raw example to the network's inputs and target.

    Returns:
        A function of the bytes of a WAV file and its text that gives `waveform` float32
        `(samples,)` and `length` int32, and the target: for transcription the numbers of the
        characters, int32 `(characters,)`, without those that training lacks; for keywords float32
        `(classes,)`.
    """
    alphabet = tf.constant(labels, tf.string, (len(labels),))

    def prepare_example(example: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        features, _ = preprocess(example["input"][None])
        inputs = {name: values[0] for name, values in features.items()}
        if config.task == "keywords":
            return inputs, tf.one_hot(example["label"], len(labels))
        characters = tf.strings.unicode_split(example["transcripts"], "UTF-8")
        # The row of each character among the labels; none for one that training lacks.
        numbers = tf.where(characters[:, None] == alphabet)[:, 1]
        return inputs, tf.cast(numbers, tf.int32)

    return prepare_example


@keras.saving.register_keras_serializable("quartet.speech_recognition")
class RecordingAugmentation(keras.layers.Layer):
    """Changes training recordings as speakers, rooms and microphones do.

    Args:
        steps: Layers that change waveforms with their lengths, in order.

    Call arguments:
        inputs: `waveform` float32 `(batch, samples)` and `length` int32 `(batch,)`.
        targets: Any.
        training: bool. Without it nothing is changed.
    """

    def __init__(self, steps: Sequence[WaveformAugmentation], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = list(steps)

    def call(self, inputs: Any, targets: Any, training: bool = False) -> tuple[Any, Any]:
        waveform, length = inputs["waveform"], inputs["length"]
        for step in self.steps:
            waveform, length = step(waveform, length, training=training)
        return {"waveform": waveform, "length": length}, targets


def build_augmentation(
    config: Config, preprocess: AudioPreprocess, labels: tuple[str, ...]
) -> RecordingAugmentation | None:
    """The random changes of training recordings, or None if they are off."""
    settings, rate = config.augmentation, config.audio.sample_rate
    speeds = [1 + share * settings.speed for share in (-1, -0.5, 0.5, 1)]
    gain = (-settings.gain_decibels, settings.gain_decibels)
    shift = samples(config.audio, settings.shift_milliseconds)
    steps = [
        (settings.speed, lambda: Speed(speeds, probability=SPEED_CHANCE)),
        (settings.shift_milliseconds, lambda: Shift(shift)),
        (settings.reverberation, lambda: Reverberation(rate, probability=settings.reverberation)),
        (settings.babble, lambda: Babble(settings.snr_decibels, settings.babble)),
        (settings.noise, lambda: ColoredNoise(settings.snr_decibels, probability=settings.noise)),
        (settings.gain_decibels, lambda: Gain(gain)),
    ]
    chosen = [build() for amount, build in steps if amount]
    return RecordingAugmentation(chosen) if chosen else None


def write_samples(split: Split, labels: tuple[str, ...], folder: Path) -> list[str]:
    """Writes a few recordings as files and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, example in enumerate(split.read(None).take(SAMPLES).as_numpy_iterator()):
        path = folder / f"{index + 1}.wav"
        path.write_bytes(example["input"])
        paths.append(str(path))
    return paths


def _classes(config: Config, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that examples have; transcripts have other characters in every data set."""
    return labels if config.task == "keywords" else ()


def _fields(config: Config) -> data.RecordingFields:
    recording = config.recording
    return data.RecordingFields(
        text=recording.text_field,
        speaker=recording.speaker_field,
        keywords=recording.words,
        silence_fraction=recording.silence_fraction,
        test_speakers=config.split.test_speakers,
    )
