"""Understands sentences: `python -m apps.nlu.predict "turn on the light" …`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from rich.text import Text

from shared.serving.client import Model

APP = "nlu"
SLOT_OUTPUTS = ("slot_names", "slot_values", "slot_starts", "slot_ends", "slot_scores")
SURE = 0.9
"""From this score on, an answer stands alone; below it, with its score and the next best."""
SHOWN_CHARACTERS = 60
COLORS = ("green", "yellow", "blue", "magenta", "cyan", "bright_red", "orange3", "medium_purple")
# What would move the cursor or colour the terminal.
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "�")


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
    """1 less the probability of the best intent in scope."""
    slots: tuple[Slot, ...]
    """The slots, in order."""
    error: str
    """Empty, or why the sentence has no answer: a short code and the reason."""

    def __str__(self) -> str:
        return self.__rich__().plain

    def __rich__(self) -> Text:
        if self.error:
            return Text(f"{_shorten(self.input)!r}: error: {self.error}", style="red")
        if self.intent not in self.intents:
            return self._rejection()
        text = Text.assemble((self.intent, "bold"), f" {self.intent_score:.1%}")
        if self.intent_score < SURE and len(self.intents) > 1:
            text.append(f" (or {self.intents[1]} {self.intent_scores[1]:.1%})", style="dim")
        return text.append("  ").append_text(self._marked())

    def _rejection(self) -> Text:
        nearest = zip(self.intents[:3], self.intent_scores, strict=False)
        listed = ", ".join(f"{intent} {score:.1%}" for intent, score in nearest)
        sentence = f"  {self.input.translate(_CONTROLS)}"
        return Text.assemble(
            (self.intent, "bold red"),
            f" {self.intent_score:.1%}{sentence}",
            (f"  (nearest: {listed})", "dim"),
        )

    def _marked(self) -> Text:
        """The sentence with `[value](name)` for its slots."""
        sentence, position, text = self.input.translate(_CONTROLS), 0, Text()
        for slot in self.slots:
            color = COLORS[crc32(slot.name.encode()) % len(COLORS)]
            doubt = f" {slot.score:.1%}" if slot.score < SURE else ""
            text.append(sentence[position : slot.start])
            text.append(f"[{sentence[slot.start : slot.end]}]", style=f"bold {color}")
            text.append(f"({slot.name}{doubt})", style=color)
            position = slot.end
        return text.append(sentence[position:])


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
    # Half a surrogate pair becomes bytes that are no UTF-8, which the model refuses for this row.
    texts = [sentence.encode("utf-8", "surrogatepass") for sentence in sentences]
    outputs = model.predict(text=texts)
    return [
        Prediction(
            input=sentence,
            intent=_text(outputs["intent"][row]),
            intent_score=float(outputs["intent_score"][row]),
            intents=tuple(map(_text, outputs["intents"][row])),
            intent_scores=tuple(map(float, outputs["intent_scores"][row])),
            out_of_scope_score=float(outputs["out_of_scope_score"][row]),
            slots=_slots({name: outputs[name][row] for name in SLOT_OUTPUTS}),
            error=_text(outputs["error"][row]),
        )
        for row, sentence in enumerate(sentences)
    ]


def _slots(columns: Mapping[str, Sequence[Any]]) -> tuple[Slot, ...]:
    """The slots of one sentence, without the padding."""
    return tuple(
        Slot(_text(name), _text(value), int(start), int(end), float(score))
        for name, value, start, end, score in zip(*columns.values(), strict=True)
        if name
    )


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


if __name__ == "__main__":
    # Imported here, as a client needs no command line.
    from shared.serving.predict_main import predict_main

    predict_main(APP, predict, __doc__)
