"""Writes down speech, or names keywords: `python -m apps.speech_recognition.predict FILE…`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from shared.files import read_files
from shared.serving.client import Model, connect
from shared.serving.microphone import record
from shared.serving.subtitles import Word, to_subrip

if TYPE_CHECKING:
    import numpy as np

APP = "speech_recognition"
NLU = "nlu"
SURE = 0.9
"""From this score on, a word stands alone; below it, it is shown in doubt."""
_OUTPUTS = ("words", "word_starts", "word_ends", "word_scores")
# What would move the cursor or colour the terminal.
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "�")


@dataclass(frozen=True)
class PredictOptions:
    """What to do with the recordings."""

    format: Literal["text", "srt"] = "text"
    """Print transcripts, or subtitles (SubRip)."""
    nlu: str = ""
    """Understand the transcripts: an exported model of NLU, or the URL of a server that has it."""
    window_seconds: float = 30.0
    """Longer recordings are heard in windows of at most this length, cut where it is quiet."""
    microphone: float = 0.0
    """Record so many seconds from the microphone, too (needs the package sounddevice)."""

    def inputs(self) -> list[str]:
        """Further inputs: the file that was recorded."""
        return [record(self.microphone)] if self.microphone else []


@dataclass(frozen=True)
class Meaning:
    """What NLU makes of a transcript."""

    intent: str
    """What the speaker wants."""
    score: float
    """Its calibrated probability."""
    slots: tuple[tuple[str, str], ...]
    """Name and words of each slot, in order."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one recording."""

    input: str
    """The file."""
    transcript: str = ""
    """What is said; of a model for keywords, the word."""
    confidence: float = 0.0
    """Geometric mean of the characters' probabilities, or the keyword's calibrated probability."""
    words: tuple[Word, ...] = ()
    """The words with their times in seconds; none from a model for keywords."""
    candidates: tuple[tuple[str, float], ...] = ()
    """The most probable keywords with their probabilities, best first."""
    seconds: float = 0.0
    """Length of the recording."""
    meaning: Meaning | None = None
    """With `nlu`, what is meant."""
    error: str = ""
    """Empty, or why the recording has no answer: a short code and the reason."""

    def __str__(self) -> str:
        return self.__rich__().plain

    def __rich__(self) -> Text:
        if self.error:
            return Text(f"{self.input}: error: {self.error}", style="red")
        text = Text(f"{self.input}: ", style="dim")
        for word in self.words:
            text.append(word.text.translate(_CONTROLS), "" if word.score >= SURE else "yellow")
            text.append(" ")
        if not self.words:
            text.append(f"{self.transcript.translate(_CONTROLS) or '(nothing)'} ", "bold")
        text.append(f" {self.confidence:.1%}", style="dim")
        others = ", ".join(f"{label} {score:.1%}" for label, score in self.candidates[1:3])
        text.append(f" (or {others})" if others else "", style="dim")
        return text.append_text(self._meaning()) if self.meaning else text

    def _meaning(self) -> Text:
        assert self.meaning
        slots = "".join(f"  {name}: {value}" for name, value in self.meaning.slots)
        return Text.assemble(
            "\n  → ", (self.meaning.intent, "bold"), f" {self.meaning.score:.1%}{slots}"
        )


@dataclass(frozen=True)
class Subtitles(Prediction):
    """The answer for one recording, shown as subtitles."""

    def __rich__(self) -> Text:
        return super().__rich__() if self.error else Text(to_subrip(self.words))


def predict(
    files: Sequence[str | Path], model: Model, options: PredictOptions | None = None
) -> list[Prediction]:
    """Asks a model about recordings.

    Args:
        files: Paths. WAV files go to the model as they are; others are decoded here. A file
            that is missing or no recording gets an `error` of its own.
        model: `load_saved_model(path)`, or `RestModel(url, "speech_recognition")`.
        options: How to hear long recordings, whether to understand them, what to show.

    Returns:
        One prediction per file, in order.

    Raises:
        ServerError: The server did not answer.
    """
    options = options or PredictOptions()
    contents, unreadable = read_files(files)
    predictions: list[Prediction] = []
    whole: list[int] = []
    for index, (file, content, error) in enumerate(zip(files, contents, unreadable, strict=True)):
        predictions.append(Prediction(str(file), error=error))
        if error:
            continue
        if _is_short_wave(file, content, options.window_seconds):
            whole.append(index)
        else:
            predictions[index] = _hear_long(str(file), model, options.window_seconds)
    outputs = model.predict(audio_bytes=[contents[index] for index in whole]) if whole else {}
    for row, index in enumerate(whole):
        predictions[index] = _answer(str(files[index]), outputs, row)
    if options.nlu:
        predictions = _understand(predictions, _open_nlu(options.nlu))
    if options.format == "srt":
        return [Subtitles(**_values(prediction)) for prediction in predictions]
    return predictions


def _is_short_wave(file: str | Path, content: bytes, window_seconds: float) -> bool:
    """Whether the model shall read the file itself, as it does with all that looks like WAV."""
    if content[:4] not in (b"RIFF", b"RF64", b"RIFX") and content:
        return False
    # Imported here, so that --help is answered at once.
    import soundfile

    try:
        return soundfile.info(str(file)).duration <= window_seconds
    except (RuntimeError, OSError):
        return True


def _hear_long(file: str, model: Model, window_seconds: float) -> Prediction:
    """Decodes a recording here, and asks about it window by window."""
    try:
        samples, rate = _decode(file)
    except Exception as error:  # Each decoder has its own.
        return Prediction(file, error=f"unreadable: {error or type(error).__name__}")
    # Imported here, so that a client of short recordings starts at once.
    from shared.serving.windows import find_windows

    joined = Prediction(file)
    for start, end in find_windows(samples, int(window_seconds * rate)):
        window = samples[start:end]
        outputs = model.predict(
            "waveform", waveform=[window.tolist()], length=[len(window)], sample_rate=[rate]
        )
        joined = _join(joined, _answer(file, outputs, 0), start / rate)
    return joined


def _decode(file: str) -> "tuple[np.ndarray, int]":
    """Samples of one channel, float32 `(samples,)`, and their rate."""
    # Imported here, so that --help is answered at once.
    import soundfile

    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        return samples.mean(axis=1), rate
    except soundfile.LibsndfileError:
        # It asks ffmpeg, too, and takes a while to import.
        import librosa

        samples, rate = librosa.load(file, sr=None, mono=True)
        return samples, int(rate)


def _join(before: Prediction, window: Prediction, offset: float) -> Prediction:
    """A recording with one more window, which begins at `offset` seconds."""
    if before.error or window.error:
        return replace(before, error=before.error or window.error)
    words = tuple(replace(w, start=w.start + offset, end=w.end + offset) for w in window.words)
    seconds = before.seconds + window.seconds
    shares = before.confidence * before.seconds + window.confidence * window.seconds
    return replace(
        window,
        transcript=f"{before.transcript} {window.transcript}".strip(),
        confidence=shares / seconds if seconds else window.confidence,
        words=before.words + words,
        seconds=seconds,
    )


def _answer(file: str, outputs: Mapping[str, Any], row: int) -> Prediction:
    error, seconds = _text(outputs["error"][row]), float(outputs["seconds"][row])
    if "label" in outputs:
        pairs = zip(outputs["labels"][row], outputs["scores"][row], strict=True)
        candidates = tuple((_text(label), float(score)) for label, score in pairs if label)
        return Prediction(
            file,
            transcript=_text(outputs["label"][row]),
            confidence=float(outputs["score"][row]),
            candidates=candidates,
            seconds=seconds,
            error=error,
        )
    columns = [outputs[name][row] for name in _OUTPUTS]
    return Prediction(
        file,
        transcript=_text(outputs["transcript"][row]),
        confidence=float(outputs["confidence"][row]),
        words=tuple(
            Word(_text(word), round(float(start), 3), round(float(end), 3), float(score))
            for word, start, end, score in zip(*columns, strict=True)
            if word
        ),
        seconds=seconds,
        error=error,
    )


@cache
def _open_nlu(place: str) -> Model:
    if "://" in place:
        return connect(place, NLU)
    # Imported here, as a client needs no command line.
    from shared.serving.predict_main import open_model

    return open_model(Path(place))


def _understand(predictions: Sequence[Prediction], nlu: Model) -> list[Prediction]:
    """The predictions with what is meant, where anything was said."""
    said = [index for index, prediction in enumerate(predictions) if prediction.transcript]
    understood = list(predictions)
    if not said:
        return understood
    outputs = nlu.predict(text=[predictions[index].transcript for index in said])
    for row, index in enumerate(said):
        names, values = outputs["slot_names"][row], outputs["slot_values"][row]
        slots = [(_text(n), _text(v)) for n, v in zip(names, values, strict=True) if n]
        intent, score = _text(outputs["intent"][row]), float(outputs["intent_score"][row])
        meaning = Meaning(intent, score, tuple(slots))
        understood[index] = replace(predictions[index], meaning=meaning)
    return understood


def _values(prediction: Prediction) -> dict[str, Any]:
    return {item.name: getattr(prediction, item.name) for item in fields(prediction)}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    # Imported here, as a client needs no command line.
    from shared.serving.predict_main import predict_main

    predict_main(APP, predict, __doc__, PredictOptions())
