"""Data sets by name or path as splits of raw examples, and the checks before training on them."""

from data.audio import read_audio
from data.catalogue import NAMES, load, load_all
from data.checks import Survey, check_readable, survey
from data.recording_checks import check_recordings, survey_recordings
from data.recordings import Recording, RecordingFields
from data.splits import DataError, Problem, Split, Splits
from data.text_checks import check_texts, survey_texts
from data.texts import Text, TextFields
from data.utterance_checks import check_utterances, survey_utterances

__all__ = [
    "NAMES",
    "DataError",
    "Problem",
    "Recording",
    "RecordingFields",
    "Split",
    "Splits",
    "Survey",
    "Text",
    "TextFields",
    "check_readable",
    "check_recordings",
    "check_texts",
    "check_utterances",
    "load",
    "load_all",
    "read_audio",
    "survey",
    "survey_recordings",
    "survey_texts",
    "survey_utterances",
]
