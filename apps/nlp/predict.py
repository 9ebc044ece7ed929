"""Classifies, scores or continues texts: `python -m apps.nlp.predict "what a lovely kettle" …`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from shared.serving.client import Model, ServerError

APP = "nlp"
SHOWN_CHARACTERS = 60
NUMBER_OF_LABELS = 3
EXPLAINED_WORDS = 400
EXPLAIN_BATCH = 64
_WORD = re.compile(r"\w+|[^\w\s]")
# What would move the cursor or colour the terminal.
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "�")


@dataclass(frozen=True)
class PredictOptions:
    """What to do with the texts."""

    explain: bool = False
    """Mark the words that carried the decision: what the score would lose without each."""
    generate: bool = False
    """Continue the texts (language models)."""
    max_tokens: int = 50
    """Words that are added at most."""
    temperature: float = 0.8
    """Below 1 the likeliest words are taken more often, at 0 always."""
    top_k: int = 0
    """Take one of so many of the likeliest words (0 = all)."""
    top_p: float = 0.95
    """Take one of the likeliest words that together have this probability."""
    seed: int = 0
    """Fixes the continuation."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one text."""

    input: str
    """The text."""
    label: str
    """The most probable label; empty for a language model or if there is an error."""
    score: float
    """Its calibrated probability; of a continuation, the mean probability of its words."""
    labels: tuple[str, ...]
    """The labels of the text: one, or as many as have a probability of one half or more."""
    candidates: tuple[tuple[str, float], ...]
    """The most probable labels with their probabilities, best first."""
    words: tuple[tuple[int, int, float], ...]
    """With `explain`, start and end of each word, and the probability's loss without it."""
    continuation: str
    """With `generate`, the text with what was added."""
    perplexity: float
    """How many words a language model hesitates between; 0 for a classifier."""
    num_tokens: int
    """Words and marks of the text, or of what was added."""
    num_unknown: int
    """Those of them that the model does not know."""
    truncated: bool
    """Whether the middle or the end of the text was not read."""
    error: str
    """Empty, or why the text has no answer: a short code and the reason."""

    def __str__(self) -> str:
        return self.__rich__().plain

    def __rich__(self) -> Text:
        if self.error:
            return Text(f"{_shorten(self.input)!r}: error: {self.error}", style="red")
        if self.perplexity:
            heading = Text(f"perplexity {self.perplexity:.1f}  ", style="bold")
            return heading.append_text(self._marked())
        if not self.candidates:
            added = self.continuation.removeprefix(self.input)
            return Text.assemble((self.input.translate(_CONTROLS), "dim"), added)
        scores = dict(self.candidates)
        shown = ", ".join(f"{label} {scores[label]:.1%}" for label in self.labels)
        others = [(n, s) for n, s in self.candidates[:NUMBER_OF_LABELS] if n not in self.labels]
        rest = ", ".join(f"{name} {score:.1%}" for name, score in others)
        return Text.assemble(
            (shown or "none", "bold"), (f" (or {rest})" if rest else "", "dim"), "  "
        ).append_text(self._marked())

    def _marked(self) -> Text:
        """The beginning of the text; all of it, with the words that count, if it is explained."""
        if not self.words:
            return Text(_shorten(self.input.translate(_CONTROLS)))
        largest = max((abs(weight) for *_, weight in self.words), default=0.0)
        text, position = Text(), 0
        shown = self.input.translate(_CONTROLS)
        for start, end, weight in self.words:
            text.append(shown[position:start])
            text.append_text(_mark(shown[start:end], weight, largest))
            position = end
        return text.append(shown[position:])


def predict(
    texts: Sequence[str], model: Model, options: PredictOptions | None = None
) -> list[Prediction]:
    """Asks a model about texts.

    Args:
        texts: Texts. One that cannot be read, such as an empty one, gets an `error` of its own.
        model: `load_saved_model(path)`, or `RestModel(url, "nlp")`.
        options: Whether to explain the answers or to continue the texts.

    Returns:
        One prediction per text, in order.

    Raises:
        ServerError: The server did not answer, or the model does not continue texts.
    """
    options = options or PredictOptions()
    # Half a surrogate pair becomes bytes that are no UTF-8, which the model refuses for this row.
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    if options.generate:
        outputs = _generate(encoded, model, options)
        return [_continued(text, outputs, row) for row, text in enumerate(texts)]
    outputs = model.predict(text=encoded)
    predictions = [_answered(text, outputs, row) for row, text in enumerate(texts)]
    if options.explain and "label" in outputs:
        return [replace(one, words=explain(one, model)) for one in predictions]
    return predictions


def explain(prediction: Prediction, model: Model) -> tuple[tuple[int, int, float], ...]:
    """What each word does for an answer, found by leaving it out.

    Occlusion, as Zeiler and Fergus, https://arxiv.org/abs/1311.2901, did with pictures: it needs
    nothing but answers, so that a server can be asked, too.

    Args:
        prediction: A classifier's answer.
        model: The model that gave it.

    Returns:
        Start and end of each word, and what the probability of the label loses without it; nothing
        for a text that has no answer. Of a long text, the beginning is explained.
    """
    if prediction.error:
        return ()
    text = prediction.input
    spans = [match.span() for match in _WORD.finditer(text)][:EXPLAINED_WORDS]
    losses: list[float] = []
    for first in range(0, len(spans), EXPLAIN_BATCH):
        batch = spans[first : first + EXPLAIN_BATCH]
        outputs = model.predict(text=[(text[:a] + text[b:]).encode() for a, b in batch])
        for row in range(len(batch)):
            candidates = _candidates(outputs, row)
            losses.append(prediction.score - candidates.get(prediction.label, 0.0))
    return tuple((*span, loss) for span, loss in zip(spans, losses, strict=True))


def _generate(prompts: Sequence[bytes], model: Model, options: PredictOptions) -> Mapping[str, Any]:
    try:
        return model.predict("generate", prompt=prompts, **_sampling(options, len(prompts)))
    except KeyError as error:
        raise ServerError(
            f"The model has no signature {error}; --generate is for language models: "
            "python -m apps.nlp.train --task language_model --data …"
        ) from error


def _answered(text: str, outputs: Mapping[str, Any], row: int) -> Prediction:
    is_classified = "label" in outputs
    candidates = _candidates(outputs, row) if is_classified else {}
    count = int(outputs["num_labels"][row]) if is_classified else 0
    return Prediction(
        input=text,
        label=_text(outputs["label"][row]) if is_classified else "",
        score=float(outputs["score"][row]) if is_classified else 0.0,
        labels=tuple(candidates)[:count],
        candidates=tuple(candidates.items()),
        words=(),
        continuation="",
        perplexity=0.0 if is_classified else float(outputs["perplexity"][row]),
        num_tokens=int(outputs["num_tokens"][row]),
        num_unknown=int(outputs["num_unknown"][row]),
        truncated=bool(outputs["truncated"][row]),
        error=_text(outputs["error"][row]),
    )


def _continued(text: str, outputs: Mapping[str, Any], row: int) -> Prediction:
    return Prediction(
        input=text,
        label="",
        score=float(outputs["score"][row]),
        labels=(),
        candidates=(),
        words=(),
        continuation=_text(outputs["text"][row]),
        perplexity=0.0,
        num_tokens=int(outputs["num_tokens"][row]),
        num_unknown=0,
        truncated=False,
        error=_text(outputs["error"][row]),
    )


def _candidates(outputs: Mapping[str, Any], row: int) -> dict[str, float]:
    names, scores = outputs["labels"][row], outputs["scores"][row]
    pairs = ((_text(name), float(score)) for name, score in zip(names, scores, strict=True))
    return {name: score for name, score in pairs if name}


def _sampling(options: PredictOptions, size: int) -> dict[str, Any]:
    names = ("max_tokens", "temperature", "top_k", "top_p")
    # Each text has a seed of its own, so that equal prompts go on differently.
    seeds = {"seed": [options.seed + row for row in range(size)]}
    return {name: [getattr(options, name)] * size for name in names} | seeds


def _mark(word: str, weight: float, largest: float) -> Text:
    """A word with its share of the decision: in colour, the strongest in brackets."""
    strength = abs(weight) / largest if largest else 0.0
    if strength < 0.2:
        return Text(word)
    sign, color = ("+", "green") if weight > 0 else ("-", "red")
    style = f"bold {color}" if strength > 0.6 else color
    return Text(f"[{word} {sign}{abs(weight):.0%}]" if strength > 0.4 else word, style=style)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


if __name__ == "__main__":
    # Imported here, as a client needs no command line.
    from shared.serving.predict_main import predict_main

    predict_main(APP, predict, __doc__, PredictOptions())
