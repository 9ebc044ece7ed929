"""What the readers of texts have in common: checks of every text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from data.readers.lines import Findings
from data.readers.utterances.findings import SPLIT_NAMES, is_name
from data.texts import Text, TextFields

UNLABELLED_NAMES = ("unsupervised", "unsup", "unlabelled", "unlabeled")
"""What folders and public sets call the texts that have no labels."""

_MAX_SHOWN = 60


@dataclass
class TextFindings(Findings):
    """The texts of some files, and everything that is wrong with them.

    Args:
        fields: Which columns hold what.
        labelled: Whether the texts need labels; without, none are read.
        texts: The texts that can be used.
    """

    fields: TextFields = TextFields()
    labelled: bool = True
    texts: list[Text] = field(default_factory=list)

    def add(self, text: Text) -> None:
        """Takes a text, or notes what is wrong with it.

        White space around the text and its labels goes, as do labels that it has already.

        Args:
            text: A text as it stands in the file; its split under any of `SPLIT_NAMES`.
        """
        tidy = _tidy(text)
        faults = list(self._faults(tidy))
        for fault in faults:
            self.error(text.where, fault)
        if not faults:
            self.texts.append(replace(tidy, split=SPLIT_NAMES[tidy.split]))

    def _faults(self, text: Text) -> Iterator[str]:
        if not text.text:
            yield "empty text"
        if "\0" in text.text:
            yield f"NUL character in the text {_beginning(text.text)!r}; remove it"
        if not _is_utf8(text.text):
            yield (
                f"the text {_beginning(text.text)!r} holds half a surrogate pair; "
                "write the character itself"
            )
        if self.labelled and not text.labels and not self.fields.separator:
            yield "no label; expected one for each text"
        for label in text.labels:
            if not is_name(label):
                yield f"label {label!r}; expected one line of text that is not empty"
        if text.split not in SPLIT_NAMES:
            yield f"unknown split {text.split!r}; expected one of {', '.join(SPLIT_NAMES)}"


def _tidy(text: Text) -> Text:
    labels = dict.fromkeys(label.strip() for label in text.labels)
    split = text.split.strip().lower()
    return replace(text, text=text.text.strip(), labels=tuple(labels), split=split)


def _beginning(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _is_utf8(text: str) -> bool:
    """JSON can spell halves of surrogate pairs, which no file of text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
