"""Understands sentences: `python -m apps.nlu.predict "turn on the light" …`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.serving.client import Model
from shared.serving.predict_main import predict_main

APP = "nlu"


@dataclass(frozen=True)
class Slot:
    """A part of a sentence that has a name."""

    name: str
    value: str
    """Its words, as they stand in the sentence."""
    start: int
    """Position of the first character, in code points."""
    end: int
    """Position behind the last character."""
    score: float
    """Probability that there is exactly this slot."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one sentence."""

    input: str
    """The sentence."""
    intent: str
    """What the speaker wants, or `out_of_scope`; empty if there is an error."""
    intent_score: float
    """Its calibrated probability."""
    intents: tuple[str, ...]
    """The most probable intents, best first."""
    intent_scores: tuple[float, ...]
    """Their calibrated probabilities."""
    out_of_scope_score: float
    """Probability that none of the intents fits."""
    slots: tuple[Slot, ...]
    """The slots, in order."""
    error: str
    """Empty, or why the sentence has no answer: a short code and the reason."""


def predict(sentences: Sequence[str], model: Model) -> list[Prediction]:
    """Asks a model about sentences.

    Args:
        sentences: Texts. One that cannot be read, such as an empty one, gets an `error` of its own.
        model: `load_saved_model(path)`, or `RestModel(url, "nlu")`.

    Returns:
        One prediction per sentence, in order.

    Raises:
        ServerError: The server did not answer.
    """
    outputs = model.predict(text=list(sentences))
    raise NotImplementedError


if __name__ == "__main__":
    predict_main(APP, predict, __doc__)
