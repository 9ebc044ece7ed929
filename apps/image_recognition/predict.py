"""Names what is in pictures: `python -m apps.image_recognition.predict PHOTO…`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.files import read_files
from shared.serving.client import Model

APP = "image_recognition"


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture."""

    input: str
    """The file."""
    label: str
    """The most probable class; empty if there is an error."""
    score: float
    """Its calibrated probability."""
    labels: tuple[str, ...]
    """The most probable classes, best first."""
    scores: tuple[float, ...]
    """Their calibrated probabilities."""
    error: str
    """Empty, or why the file has no answer: a short code and the reason."""

    def __str__(self) -> str:
        if self.error:
            return f"{self.input}: error: {self.error}"
        others = zip(self.labels[1:], self.scores[1:], strict=True)
        tail = ", ".join(f"{label} {score:.1%}" for label, score in others)
        return f"{self.input}: {self.label} {self.score:.1%}" + (f"  ({tail})" if tail else "")


def predict(files: Sequence[str | Path], model: Model) -> list[Prediction]:
    """Asks a model about image files.

    Args:
        files: Paths. A file that is missing or no picture gets an `error` of its own.
        model: `load_saved_model(path)`, or `RestModel(url, "image_recognition")`.

    Returns:
        One prediction per file, in order.

    Raises:
        ServerError: The server did not answer.
    """
    contents, errors = read_files(files)
    outputs = model.predict(image_bytes=contents)
    return [
        Prediction(
            input=str(file),
            label=_text(outputs["label"][row]),
            score=float(outputs["score"][row]),
            labels=tuple(map(_text, outputs["labels"][row])),
            scores=tuple(map(float, outputs["scores"][row])),
            error=errors[row] or _text(outputs["error"][row]),
        )
        for row, file in enumerate(files)
    ]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    # Imported here, as a client needs no command line.
    from shared.serving.predict_main import predict_main

    predict_main(APP, predict, __doc__)
