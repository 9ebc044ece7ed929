"""Data sets by name or path as splits of raw examples, and the checks before training on them."""

from data.catalogue import NAMES, load, load_all
from data.checks import Survey, check_readable, survey
from data.splits import DataError, Problem, Split, Splits
from data.text_checks import check_texts, survey_texts
from data.texts import Text, TextFields
from data.utterance_checks import check_utterances, survey_utterances

__all__ = [
    "NAMES",
    "DataError",
    "Problem",
    "Split",
    "Splits",
    "Survey",
    "Text",
    "TextFields",
    "check_readable",
    "check_texts",
    "check_utterances",
    "load",
    "load_all",
    "survey",
    "survey_texts",
    "survey_utterances",
]
