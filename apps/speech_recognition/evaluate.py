"""Evaluates an exported model of speech: `python -m apps.speech_recognition.evaluate --help`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.speech_recognition.train import build_app
from shared.metrics import classification_metrics, error_rates, uncalibrated
from shared.training.app import Evaluation, Split
from shared.training.evaluation import Answers, answer_split, evaluate_main
from shared.training.report import Clip, Section, classification_sections
from shared.training.speech_report import Hearing, Word, clip, error_rate_sections

if TYPE_CHECKING:
    import keras

    from shared.export.saved_model import ServedModel
    from shared.training.batching import Batches

BATCH = 32
SHOWN_MISTAKES = 12
TRANSCRIPTS = "transcripts"
SPEAKERS = "speakers"


def evaluate(model: "ServedModel", split: Split) -> Evaluation:
    """Metrics, report sections and mistakes of a served model on one split.

    Args:
        model: In memory or reloaded.
        split: Recordings, with keywords in the order of `model.labels`, or with transcripts.

    Returns:
        For transcription, word and character error rate, as fractions; for keywords, accuracy and
        the like. The report's sections; every mistake, the most confident first.
    """
    answers = answer_split(model, split, "audio_bytes", BATCH)
    if "transcript" in answers.outputs:
        return _evaluate_transcripts(answers, split)
    return _evaluate_keywords(model, answers, split)


def validate(model: "keras.Model", validation: "Batches") -> dict[str, float]:
    """Metrics of a model in training, by the likeliest characters.

    Returns:
        `wer` and `cer`, or the `accuracy` of keywords, over all validation recordings.
    """
    # Imported here, so that --help is answered without loading TensorFlow.
    from shared.layers.ctc_decoding import greedy_decode
    from shared.layers.transcriber import spell

    pairs = [
        (model.predict_on_batch(inputs), np.asarray(targets))
        for inputs, targets in validation.epoch()
    ]
    if model.output_shape[1:] == pairs[0][1].shape[1:]:
        right = sum((p.argmax(axis=1) == targets.argmax(axis=1)).sum() for p, targets in pairs)
        return {"accuracy": float(right) / validation.examples}
    alphabet = model.get_layer("characters").alphabet
    wanted = [text for _, targets in pairs for text in spell(targets, alphabet)]
    labels = [greedy_decode(logits).labels.numpy() for logits, _ in pairs]
    found = [text for rows in labels for text in spell(rows, alphabet)]
    return error_rates(wanted, found)


def _evaluate_transcripts(answers: Answers, split: Split) -> Evaluation:
    hearings = _read_hearings(answers, split)
    metrics = error_rates([h.reference for h in hearings], [h.transcript for h in hearings])
    wrong = [row for row, hearing in enumerate(hearings) if hearing.edits]
    order = sorted(wrong, key=lambda row: (-hearings[row].edits, -hearings[row].confidence))
    clips = _clips(split, hearings, order[:SHOWN_MISTAKES])
    text = f"{len(wrong):,} of {len(hearings):,} recordings have a mistake in their transcript. "
    text += "These have the most; errors.jsonl has all. The spectrogram shows where each word was "
    text += "heard."
    sections = [Section("Worst mistakes", text, clips=clips)] if clips else []
    best = [row for row in range(len(hearings)) if row not in set(wrong) and hearings[row].words]
    errors = [_describe(hearings[row]) for row in order]
    heard = _clips(split, hearings, best[:2])
    sections += error_rate_sections(hearings) + (
        [Section("Well heard", clips=heard)] if heard else []
    )
    return Evaluation(metrics, sections, errors)


def _evaluate_keywords(model: "ServedModel", answers: Answers, split: Split) -> Evaluation:
    answered = answers.outputs["error"] == b""
    probabilities = answers.outputs["probabilities"]
    classes = len(model.labels)
    # A recording without an answer is wrong: its label is the least likely one, by a little.
    unsure = 1 - 1e-3 * np.eye(classes)[answers.labels]
    unsure /= unsure.sum(axis=1, keepdims=True)
    probabilities = np.where(answered[:, None], probabilities, unsure)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != answers.labels)
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    hearings = _read_keywords(model, answers, split)
    clips = _clips(split, hearings, order[:SHOWN_MISTAKES])
    text = "The most confident wrong answers; errors.jsonl has all."
    sections = [Section("Worst mistakes", text, clips=clips)] if clips else []
    before = uncalibrated(probabilities, model.calibration["temperature"])
    sections += classification_sections(model.labels, before, probabilities, answers.labels)
    sections += error_rate_sections(hearings)
    errors = [_describe(hearings[row]) for row in order]
    return Evaluation(classification_metrics(probabilities, answers.labels), sections, errors)


def _read_hearings(answers: Answers, split: Split) -> list[Hearing]:
    outputs = answers.outputs
    columns = [outputs[name] for name in ("words", "word_starts", "word_ends", "word_scores")]
    return [
        Hearing(
            id=answers.ids[row],
            reference=_text(split.annotations[TRANSCRIPTS][row]),
            transcript=_text(outputs["transcript"][row]),
            words=[
                Word(_text(word), float(start), float(end), float(score))
                for word, start, end, score in zip(*(c[row] for c in columns), strict=True)
                if word
            ],
            confidence=float(outputs["confidence"][row]),
            seconds=float(outputs["seconds"][row]),
            speaker=_text(split.annotations[SPEAKERS][row]),
            error=_text(outputs["error"][row]),
        )
        for row in range(len(answers.ids))
    ]


def _read_keywords(model: "ServedModel", answers: Answers, split: Split) -> list[Hearing]:
    outputs = answers.outputs
    return [
        Hearing(
            id=answers.ids[row],
            reference=model.labels[answers.labels[row]],
            transcript=_text(outputs["label"][row]),
            words=[],
            confidence=float(outputs["score"][row]),
            seconds=float(outputs["seconds"][row]),
            speaker=_text(split.annotations[SPEAKERS][row]),
            error=_text(outputs["error"][row]),
        )
        for row in range(len(answers.ids))
    ]


def _clips(
    split: Split, hearings: Sequence[Hearing], rows: Sequence[int] | np.ndarray
) -> list[Clip]:
    """Recordings to see and to hear; those that cannot be read are left out.

    Every model's are shown by the spectrogram of the default settings, so that they look alike.
    """
    # Imported here, so that --help is answered without loading TensorFlow.
    import tensorflow as tf

    from apps.speech_recognition.config import AudioConfig
    from apps.speech_recognition.model import build_spectrogram
    from apps.speech_recognition.preprocess import AudioPreprocess

    audio = AudioConfig()
    preprocess = AudioPreprocess(audio.sample_rate, audio.longest_seconds)
    layer = build_spectrogram(audio)
    files = {
        row: example["input"]
        for row, example in enumerate(split.read(None).as_numpy_iterator())
        if row in set(rows)
    }
    clips = []
    for row in rows:
        inputs, errors = preprocess(tf.constant([files[row]]))
        if errors.numpy()[0] == b"":
            values = layer(inputs["waveform"])[0].numpy()
            clips.append(clip(hearings[row], files[row], values))
    return clips


def _describe(hearing: Hearing) -> dict[str, Any]:
    return {
        "id": hearing.id,
        "speaker": hearing.speaker,
        "seconds": round(hearing.seconds, 3),
        "transcript": hearing.reference,
        "predicted": hearing.transcript,
        "confidence": round(hearing.confidence, 6),
        "words_wrong": hearing.edits,
        "error": hearing.error,
    }


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


if __name__ == "__main__":
    evaluate_main("speech_recognition", build_app, __doc__)
