"""The serving graph: audio bytes or waveforms in, transcripts or keywords out."""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from apps.speech_recognition.config import Config
from apps.speech_recognition.dataset import prepare
from apps.speech_recognition.model import build_transcriber
from shared.export.classes import CLASSES, answer_classes, calibrate_classes
from shared.export.verification import Expected, Tensor
from shared.export.warmup import Request
from shared.layers.transcriber import Transcriber, spell
from shared.metrics import error_rates
from shared.training.app import Trained
from shared.training.batching import Batches

REFERENCE_BATCH = 32
WARMUP_RATE = 16000
TRANSCRIBED = {
    "transcript": Tensor("string"),
    "confidence": Tensor("float32"),
    "words": Tensor("string", "batch words"),
    "word_starts": Tensor("float32", "batch words"),
    "word_ends": Tensor("float32", "batch words"),
    "word_scores": Tensor("float32", "batch words"),
    "num_words": Tensor("int32"),
    "seconds": Tensor("float32"),
    "error": Tensor("string"),
}
NAMED = {**CLASSES, "seconds": Tensor("float32"), "error": Tensor("string")}
BYTES = {"audio_bytes": Tensor("string")}
WAVEFORM = {
    "waveform": Tensor("float32", "batch samples"),
    "length": Tensor("int32"),
    "sample_rate": Tensor("int32"),
}
SIGNATURES = {
    "transcription": {
        "serving_default": Expected(BYTES, TRANSCRIBED),
        "waveform": Expected(WAVEFORM, TRANSCRIBED),
    },
    "keywords": {
        "serving_default": Expected(BYTES, NAMED),
        "waveform": Expected(WAVEFORM, NAMED),
    },
}
Head = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def build_signatures(
    trained: Trained[Config],
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The functions that a server offers.

    Returns:
        `serving_default`, from `audio_bytes` string `(batch,)`, and `waveform`, from `waveform`
        float32 `(batch, samples)`, `length` and `sample_rate` int32 `(batch,)`.
        A model for transcription gives `transcript`, its `confidence`, which is the geometric mean
        of its characters' probabilities, `words`, `word_starts`, `word_ends` in seconds and
        `word_scores` `(batch, words)`, padded with "", -1 and 0, and `num_words`. One for keywords
        gives `label`, `score`; `labels`, `scores` `(batch, k)`, the most probable first;
        `probabilities` `(batch, classes)` in the order of `labels.txt`. Both give the recording's
        `seconds` and `error`; a row with an error has empty texts and zeros.
    """
    head = _build_head(trained)

    def answer(inputs: dict[str, tf.Tensor], errors: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = head(trained.model(inputs, training=False), errors == "")
        seconds = tf.cast(inputs["length"], tf.float32) / trained.preprocess.sample_rate
        return {**answers, "seconds": seconds, "error": errors}

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.string, name="audio_bytes")], autograph=False
    )
    def serving_default(audio_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(*trained.preprocess(audio_bytes))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.float32, name="waveform"),
            tf.TensorSpec((None,), tf.int32, name="length"),
            tf.TensorSpec((None,), tf.int32, name="sample_rate"),
        ],
        autograph=False,
    )
    def waveform(
        waveform: tf.Tensor, length: tf.Tensor, sample_rate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return answer(*trained.preprocess.convert(waveform, length, sample_rate))

    return {"serving_default": serving_default, "waveform": waveform}


def calibrate(
    trained: Trained[Config], validation: Batches
) -> tuple[dict[str, float], dict[str, float]]:
    """Fits the temperature of keywords' scores on validation recordings.

    Returns:
        The temperature, for transcription nothing; and the validation metrics.
    """
    if trained.config.task == "keywords":
        return calibrate_classes(trained, validation)
    transcriber = build_transcriber(trained.config, trained.preprocess, trained.labels)
    read = tf.function(transcriber.decode, reduce_retracing=True, autograph=False)
    wanted, found = [], []
    for inputs, targets in validation.epoch():
        labels = read(trained.model.predict_on_batch(inputs)).labels
        found += spell(labels.numpy(), trained.labels)
        wanted += spell(np.asarray(targets), trained.labels)
    return {}, error_rates(wanted, found)


def reference(trained: Trained[Config], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The in-memory model's answers for WAV files, `(batch,)` bytes, by the path of training."""
    prepare_example = prepare(trained.config, trained.preprocess, trained.labels)
    example = {"label": 0, "transcripts": ""}
    batches = (
        tf.data.Dataset.from_tensor_slices(inputs)
        .map(lambda file: prepare_example({"input": file, **example})[0])
        .padded_batch(REFERENCE_BATCH)
    )
    head = tf.function(_build_head(trained), reduce_retracing=True, autograph=False)
    parts = [
        head(trained.model.predict_on_batch(batch), batch["length"] > 0)
        for batch in batches.as_numpy_iterator()
    ]
    names = {"transcript", "confidence", "label", "probabilities"} & parts[0].keys()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def build_warmup(files: np.ndarray) -> list[Request]:
    """Warm-up requests from WAV files: alone, as a batch, and as a waveform."""
    second = np.zeros((1, WARMUP_RATE), np.float32)
    length = np.array([WARMUP_RATE], np.int32)
    return [
        ("serving_default", {"audio_bytes": files[:1]}),
        ("serving_default", {"audio_bytes": files[:8]}),
        ("waveform", {"waveform": second, "length": length, "sample_rate": length}),
    ]


def _build_head(trained: Trained[Config]) -> Head:
    """From logits and whether each row was heard to answers."""
    if trained.config.task == "keywords":
        temperature = trained.calibration["temperature"]
        return lambda logits, heard: answer_classes(logits, trained.labels, temperature, heard)
    transcriber = build_transcriber(trained.config, trained.preprocess, trained.labels)
    return partial(_transcribe, transcriber)


def _transcribe(
    transcriber: Transcriber, logits: tf.Tensor, heard: tf.Tensor
) -> dict[str, tf.Tensor]:
    found = transcriber(logits)
    return {
        "transcript": found.transcripts,
        "confidence": tf.where(heard, found.confidences, 0.0),
        "words": found.words,
        "word_starts": found.starts,
        "word_ends": found.ends,
        "word_scores": found.scores,
        "num_words": found.counts,
    }
