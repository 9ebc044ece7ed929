"""Report sections about recordings: what was heard, when, and where the mistakes are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from shared.metrics import align_words, error_rates
from shared.training.plots import INK, ORANGE, STYLE, build_panels
from shared.training.report import Clip, Section, Table

LENGTH_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf)
LISTED_CONFUSIONS = 30
LISTED_SPEAKERS = 100
_INCHES_PER_SECOND, _NARROWEST, _WIDEST, _HEIGHT = 2.0, 4.0, 10.0, 2.2
_OPERATIONS = {"substitute": "taken for", "delete": "left out", "insert": "heard in addition"}


@dataclass(frozen=True)
class Word:
    """A word that was heard.

    Attributes:
        text: The word.
        start: Where it begins, in seconds.
        end: Where it ends, in seconds.
        score: Its probability.
    """

    text: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class Hearing:
    """What was said in a recording and what was heard.

    Attributes:
        id: What a person needs to find the recording.
        reference: What was said.
        transcript: What was heard.
        words: The words that were heard, with their times.
        confidence: Probability of the transcript's characters.
        seconds: Length of the recording.
        speaker: Who spoke, "" if that is unknown.
        error: Empty, or why there is no transcript.
    """

    id: str
    reference: str
    transcript: str
    words: Sequence[Word]
    confidence: float
    seconds: float
    speaker: str
    error: str

    @property
    def edits(self) -> int:
        """Words that are wrong, left out or heard in addition."""
        pairs = align_words(self.reference, self.transcript)
        return sum(pair.operation != "equal" for pair in pairs)


@rc_context(STYLE)
def spectrogram(values: np.ndarray, seconds: float, words: Sequence[Word]) -> Figure:
    """Draws a spectrogram with the words above the time at which they were heard.

    Args:
        values: float `(frames, mel_bins)`, logarithmic.
        seconds: Length of the recording.
        words: The words that were heard.
    """
    width = float(np.clip(_INCHES_PER_SECOND * seconds, _NARROWEST, _WIDEST))
    figure, [axes] = build_panels(1, width=width, height=_HEIGHT)
    low, high = np.percentile(values, [5, 99.5])
    axes.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        extent=(0, max(seconds, 0.01), 0, values.shape[1]),
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-6),
    )
    top = values.shape[1]
    for word in words:
        axes.axvspan(word.start, word.end, ymin=0.97, color=ORANGE, linewidth=0)
        for edge in (word.start, word.end):
            axes.axvline(edge, color=ORANGE, linewidth=0.7, alpha=0.8)
        middle = (word.start + word.end) / 2
        axes.text(middle, top * 1.03, word.text, color=INK, ha="center", va="bottom", fontsize=8)
    axes.set(xlabel="seconds", ylabel="mel bin", xlim=(0, max(seconds, 0.01)))
    return figure


def clip(hearing: Hearing, audio: bytes, values: np.ndarray) -> Clip:
    """A recording to see and to hear, with what was said above what was heard.

    Args:
        hearing: What was said and heard.
        audio: Bytes of the WAV file.
        values: Its log-mel spectrogram, float `(frames, mel_bins)`.
    """
    heading = f"{hearing.edits} words wrong, confidence {hearing.confidence:.1%}: {hearing.id}"
    return Clip(
        heading + (f": error: {hearing.error}" if hearing.error else ""),
        audio,
        spectrogram(values, hearing.seconds, hearing.words),
        compare(hearing),
    )


def compare(hearing: Hearing) -> Table:
    """Sets what was said above what was heard, word by word; differences are marked."""
    pairs = align_words(hearing.reference, hearing.transcript)
    # A keyword stands for the whole clip, with one score.
    scores = iter([word.score for word in hearing.words] or [hearing.confidence])
    heard = [f"{p.hypothesis} {next(scores):.0%}" if p.hypothesis else "" for p in pairs]
    return Table(
        ("", *(str(number) for number in range(1, len(pairs) + 1))),
        [("said", *(pair.reference for pair in pairs)), ("heard", *heard)],
        marked={(1, n) for n, pair in enumerate(pairs, start=1) if pair.operation != "equal"},
    )


def error_rate_sections(hearings: Sequence[Hearing]) -> list[Section]:
    """Error rates by length and, where they are known, by speaker, and the commonest mistakes."""
    groups: dict[str, list[Hearing]] = {
        _name_length(index): [] for index in range(len(LENGTH_EDGES) - 1)
    }
    for hearing in hearings:
        index = int(np.searchsorted(LENGTH_EDGES, hearing.seconds, side="right")) - 1
        groups[_name_length(index)].append(hearing)
    sections = [_group_section("Error rates by length", "seconds", groups)]
    speakers: dict[str, list[Hearing]] = {}
    for hearing in hearings:
        speakers.setdefault(hearing.speaker, []).append(hearing)
    if len(speakers) > 1:
        worst = sorted(speakers.items(), key=lambda item: -_rates(item[1])["wer"])
        sections.append(
            _group_section("Error rates by speaker", "speaker", dict(worst[:LISTED_SPEAKERS]))
        )
    return [*sections, *_confusions_section(hearings)]


def _name_length(index: int) -> str:
    low, high = LENGTH_EDGES[index : index + 2]
    return f"{low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}"


def _group_section(title: str, name: str, groups: Mapping[str, Sequence[Hearing]]) -> Section:
    rows: list[tuple[str | int | float, ...]] = [
        (group or "unknown", len(members), *_rates(members).values())
        for group, members in groups.items()
        if members
    ]
    columns = (name, "recordings", "word error rate", "character error rate")
    text = "Words, or characters, that are wrong, left out or heard in addition, per one said."
    return Section(title, text, tables=[Table(columns, rows)])


def _rates(hearings: Sequence[Hearing]) -> dict[str, float]:
    return error_rates([h.reference for h in hearings], [h.transcript for h in hearings])


def _confusions_section(hearings: Sequence[Hearing]) -> list[Section]:
    counts = Counter(
        (pair.reference, _OPERATIONS[pair.operation], pair.hypothesis)
        for hearing in hearings
        for pair in align_words(hearing.reference, hearing.transcript)
        if pair.operation != "equal"
    )
    rows = [(*pair, count) for pair, count in counts.most_common(LISTED_CONFUSIONS)]
    if not rows:
        return []
    columns = ("said", "", "heard", "times")
    return [Section("Commonest mistakes", tables=[Table(columns, rows)])]
