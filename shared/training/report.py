"""The report of a training run: one HTML file that a person would rather look at than numbers."""

import base64
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from shared.files import write_atomically
from shared.metrics import confusion, most_confused, per_class, reliability
from shared.training import plots

Cell = str | int | float
_MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_PIXELATED_BELOW = 96  # pixels; narrower pictures are enlarged with sharp pixels


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Headings.
        rows: Cells, as many in a row as there are columns. Integers are grouped by thousands,
            floats have four decimals, NaN is a dash.
        marked: Row and column of the cells to mark as wrong.

    Raises:
        ValueError: If a row has not one cell for each column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    marked: Collection[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"The row {row!r} has {len(row)} cells for the columns {self.columns!r}; "
                    "expected one cell for each column."
                )


@dataclass(frozen=True)
class Picture:
    """A picture of a gallery.

    Attributes:
        image: Bytes of a PNG or JPEG file.
        caption: Heading below the picture.
        details: Names and values below the caption, such as `("predicted", "cat")`.
    """

    image: bytes
    caption: str = ""
    details: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Passage:
    """A text in which some parts are marked.

    Attributes:
        heading: What is said of it.
        text: The text; line breaks are kept.
        marks: Start, end and weight of parts in order, none of which overlap; a positive weight is
            green and a negative one red, the stronger the farther from 0, up to 1.
    """

    heading: str
    text: str
    marks: Sequence[tuple[int, int, float]] = ()

    @property
    def pieces(self) -> list[tuple[str, float]]:
        """The text in pieces, each with its weight; 0 where nothing is marked."""
        pieces, position = [], 0
        for start, end, weight in self.marks:
            pieces += [(self.text[position:start], 0.0), (self.text[start:end], weight)]
            position = end
        return [
            (piece, weight) for piece, weight in (*pieces, (self.text[position:], 0.0)) if piece
        ]


@dataclass(frozen=True)
class Clip:
    """A recording to see and to hear.

    Attributes:
        heading: What is said of it.
        audio: Bytes of a WAV file.
        figure: A matplotlib figure of it.
        table: What stands below it.
    """

    heading: str
    audio: bytes
    figure: Figure
    table: Table


@dataclass(frozen=True)
class Section:
    """A part of a report, with an entry in its table of contents.

    Attributes:
        title: Heading.
        text: A paragraph below it; line breaks are kept.
        figures: Matplotlib figures; the label of a figure is its caption.
        tables: Tables.
        gallery: Pictures, shown as a grid.
        passages: Texts, one below the other.
        clips: Recordings, one below the other.
    """

    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    gallery: Sequence[Picture] = ()
    passages: Sequence[Passage] = ()
    clips: Sequence[Clip] = ()


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        title: Heading.
        subtitle: A line below it, such as the data, the date and the model.
        tiles: Names and values of the headline figures, such as `("accuracy", "98.4 %")`.
        sections: The parts, in order.
    """

    title: str
    subtitle: str
    tiles: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def write_report(report: Report, path: Path) -> None:
    """Writes a report as one HTML file that loads nothing from elsewhere.

    The file appears complete or not at all: a failure leaves an older file as it was.

    Args:
        report: What to write. All texts are escaped.
        path: The file; missing folders are made.

    Raises:
        ValueError: If a picture is neither PNG nor JPEG.
        OSError: If the file cannot be written.
    """
    html = _environment().get_template("report.html.jinja").render(report=report)
    # A file name may hold bytes that are no UTF-8; it shows with question marks.
    write_atomically(path, html.encode("utf-8", errors="replace"))


def classification_sections(
    labels: Sequence[str],
    probabilities_before: np.ndarray,
    probabilities_after: np.ndarray,
    targets: np.ndarray,
) -> list[Section]:
    """Makes the sections that every classifier shares.

    Args:
        labels: Names of the classes, in index order.
        probabilities_before: float `(examples, classes)`, before calibration.
        probabilities_after: float `(examples, classes)`, after calibration, as exported.
        targets: int `(examples,)`, class indices.

    Returns:
        Classes, confusion and calibration.

    Raises:
        ValueError: If labels, probabilities and targets do not fit together.
    """
    return [
        _classes_section(labels, probabilities_after, targets),
        _confusion_section(labels, probabilities_after, targets),
        _calibration_section(probabilities_before, probabilities_after, targets),
    ]


def _classes_section(
    labels: Sequence[str], probabilities: np.ndarray, targets: np.ndarray
) -> Section:
    scores = per_class(probabilities, targets, labels)
    rows = [(s.label, s.precision, s.recall, s.f1, s.support) for s in scores]
    return Section(
        "Classes",
        text="Precision is the share of right answers among those with a class, recall the share "
        "of its examples that were found, F1 their harmonic mean.",
        figures=[plots.class_scores(scores)],
        tables=[Table(("class", "precision", "recall", "F1", "examples"), rows)],
    )


def _confusion_section(
    labels: Sequence[str], probabilities: np.ndarray, targets: np.ndarray
) -> Section:
    matrix = confusion(probabilities, targets)
    mistakes = int(matrix.sum() - np.trace(matrix))
    pairs = most_confused(matrix, labels)
    columns = ("true class", "answer", "examples")
    return Section(
        "Confusion",
        text=f"{mistakes:,} of {len(targets):,} answers are wrong."
        + (" The table has the commonest mistakes." if pairs else ""),
        figures=[plots.confusion_matrix(matrix, labels)],
        tables=[Table(columns, pairs)] if pairs else [],
    )


def _calibration_section(before: np.ndarray, after: np.ndarray, targets: np.ndarray) -> Section:
    bins_before, bins_after = reliability(before, targets), reliability(after, targets)
    return Section(
        "Calibration",
        text="Of the answers given with a confidence of 80%, 80% should be right. The mean "
        f"distance from this is {bins_before.expected_calibration_error:.1%} before calibration "
        f"and {bins_after.expected_calibration_error:.1%} after it.",
        figures=[
            plots.reliability_diagram(bins_before, bins_after),
            plots.confidence_histogram(after, targets),
        ],
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": _format_cell,
        "data_uri": _data_uri,
        "pixelated": _is_pixelated,
        "audio_uri": lambda audio: f"data:audio/wav;base64,{base64.b64encode(audio).decode()}",
        "svg": lambda figure: Markup(plots.to_svg(figure)),
    }
    return environment


def _format_cell(value: Cell) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4f}"
    return f"{value:,}"


def _data_uri(image: bytes) -> str:
    for signature, media_type in _MEDIA_TYPES.items():
        if image.startswith(signature):
            return f"data:{media_type};base64,{base64.b64encode(image).decode()}"
    raise ValueError(
        f"A picture of the report starts with {image[:8]!r}; expected the bytes of a PNG or JPEG "
        "file. Encode it with `tf.io.encode_png`."
    )


def _is_pixelated(image: bytes) -> bool:
    # Bytes 16 to 19 of a PNG file are its width: https://www.w3.org/TR/png-3/#11IHDR
    width = int.from_bytes(image[16:20], "big")
    return image.startswith(b"\x89PNG") and width < _PIXELATED_BELOW
