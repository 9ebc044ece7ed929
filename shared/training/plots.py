"""The figures of a training report, as matplotlib figures without global state."""

import re
import uuid
import warnings
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shared.metrics import ClassScores, Reliability

# One colour for text and axes, which `to_svg` turns into the colour of the page around it.
INK = "#20242a"
BLUE = "#3587cc"
ORANGE = "#e8762d"

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a label is a dollar
    "xtick.color": INK,
    "ytick.color": INK,
}
_PANEL_WIDTH, _PANEL_HEIGHT = 2.9, 2.4  # inches
_MOST_BARS = 40
_MOST_NAMED_CLASSES = 120
_MOST_COUNTED_CLASSES = 20


@rc_context(STYLE)
def learning_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Draws every metric over the epochs, training beside validation.

    Args:
        history: One mapping for each epoch, with `epoch` and any metrics. `validation_<metric>`
            shares a panel with `<metric>`; an epoch may lack some of them.

    Returns:
        One panel for each metric.

    Raises:
        ValueError: If `history` holds no metric.
    """
    names = dict.fromkeys(
        name.removeprefix("validation_") for epoch in history for name in epoch if name != "epoch"
    )
    if not names:
        raise ValueError(
            f"`history` holds {len(history)} epochs without a metric; expected one mapping for "
            "each epoch, with `epoch` and at least one metric."
        )
    figure, panels = build_panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        _plot_metric(axes, history, name)
    return figure


@rc_context(STYLE)
def confusion_matrix(matrix: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draws a confusion matrix: right answers blue, mistakes orange.

    A cell is as strong as the cube root of its share of the row, so that rare mistakes show.

    Args:
        matrix: int `(classes, classes)`, rows are true classes.
        labels: Names of the classes, in index order. Above 120 classes the axes count instead.

    Returns:
        The figure, with the count in each cell up to 20 classes.
    """
    classes = len(labels)
    # Small enough to stand beside a table, or large enough to tell the names apart; in inches.
    side = min(0.8 * classes, max(4.5, 0.1 * classes), 11.0)
    font_size = float(np.clip(0.8 * 72 * side / classes, 4, 9))
    names = [_shorten(label, 22) for label in labels] if classes <= _MOST_NAMED_CLASSES else []
    size = side + 0.7 + 0.008 * font_size * max(map(len, names), default=0)
    figure, [axes] = build_panels(
        1,
        "Rows are true classes, columns answers; blue is right, orange a mistake. "
        "The stronger the colour, the larger the share of the row.",
        width=size,
        height=size,
    )
    strength = np.cbrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
    axes.imshow(_cell_colors(strength), interpolation="none")
    axes.set(xlabel="answer", ylabel="true class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if names:
        _name_classes(axes, names, font_size)
    if classes <= _MOST_COUNTED_CLASSES:
        _write_counts(axes, matrix, strength, font_size=float(min(0.4 * 72 * side / classes, 8)))
    return figure


@rc_context(STYLE)
def reliability_diagram(before: Reliability, after: Reliability) -> Figure:
    """Draws accuracy over confidence, before and after calibration.

    Args:
        before: Bins of the uncalibrated probabilities.
        after: Bins of the calibrated probabilities.

    Returns:
        Two panels; on the dashed diagonal, confidence equals accuracy.
    """
    figure, panels = build_panels(
        2,
        "A bar is the share of right answers at a confidence; its dot is at the mean confidence. "
        "Below the dashed line the model is overconfident, above it underconfident.",
    )
    for axes, bins, title in zip(panels, (before, after), ("before", "after"), strict=True):
        centers = (bins.edges[:-1] + bins.edges[1:]) / 2
        axes.bar(centers, bins.accuracy, 0.94 * np.diff(bins.edges), color=BLUE)
        axes.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1)
        axes.plot(bins.confidence, bins.accuracy, "o", color=ORANGE, markersize=4)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03))
        axes.set_title(f"{title} calibration: error {bins.expected_calibration_error:.3f}")
        axes.grid(axis="y")
    return figure


def confidence_histogram(probabilities: np.ndarray, targets: np.ndarray) -> Figure:
    """Draws how confident the right and the wrong answers are.

    Args:
        probabilities: float `(examples, classes)`, rows that sum to 1.
        targets: int `(examples,)`, class indices.

    Returns:
        Two panels with their own scales: right answers, wrong answers.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    return score_histograms(
        {"right answers": confidence[correct], "wrong answers": confidence[~correct]},
        "confidence",
        "A good model is sure where it is right, unsure where wrong.",
    )


@rc_context(STYLE)
def score_histograms(
    groups: Mapping[str, np.ndarray], score: str, caption: str, threshold: float | None = None
) -> Figure:
    """Draws how a score is distributed in two groups, blue and orange.

    Args:
        groups: Scores from 0 to 1, float `(examples,)`, by name of the group; two groups.
        score: Name of the score.
        caption: Caption in the report.
        threshold: A score to mark with a dashed line.

    Returns:
        Two panels with their own scales.
    """
    figure, panels = build_panels(len(groups), caption)
    for axes, (name, scores), color in zip(panels, groups.items(), (BLUE, ORANGE), strict=True):
        axes.hist(scores, bins=25, range=(0, 1), color=color, rwidth=0.94)
        axes.set(title=f"{len(scores):,} {name}", xlabel=score, ylabel="examples", xlim=(0, 1))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        if threshold is not None:
            axes.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    return figure


@rc_context(STYLE)
def class_scores(scores: Sequence[ClassScores]) -> Figure:
    """Draws the F1 score of each class, the worst first.

    Args:
        scores: Scores of the classes. Those without an F1 score are left out; of the others at
            most the 40 worst are drawn.

    Returns:
        Horizontal bars.
    """
    known = sorted((score for score in scores if not np.isnan(score.f1)), key=lambda s: s.f1)
    worst = known[:_MOST_BARS]
    caption = f"The {len(worst)} weakest of {len(scores)} classes."
    figure, [axes] = build_panels(
        1,
        caption if len(worst) < len(scores) else "",
        width=1.7 * _PANEL_WIDTH,
        height=0.7 + 0.2 * len(worst),
    )
    positions = range(len(worst))
    bars = axes.barh(positions, [score.f1 for score in worst], height=0.7, color=BLUE)
    axes.bar_label(bars, [f"{score.f1:.3f}" for score in worst], padding=3, fontsize=8)
    axes.set_yticks(positions, [_shorten(score.label, 30) for score in worst])
    axes.set(xlabel="F1 score", xlim=(0, 1.08), ylim=(len(worst) - 0.5, -0.5))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


@rc_context(STYLE)
def to_svg(figure: Figure) -> str:
    """Turns a figure into an SVG element to put into an HTML page.

    The background is transparent, text and axes take the text colour of the page, text stays text
    in the font of the page. Names of elements are unique, so that a page can hold many figures.

    Args:
        figure: A matplotlib figure; text in the colour `INK` adapts to the page.

    Returns:
        One `<svg>` element. For a file of its own, use `figure.savefig`.
    """
    buffer = StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        # The page draws the text, in fonts that have the scripts which matplotlib's font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    prefix = f"figure-{uuid.uuid4().hex[:12]}-"
    return re.sub(r"<[^>]+>", lambda tag: _adapt_tag(tag[0], prefix), svg[svg.index("<svg") :])


def _adapt_tag(tag: str, prefix: str) -> str:
    tag = tag.replace(INK, "currentColor")
    tag = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", tag)  # HTML knows the namespaces of SVG
    return re.sub(r'(\sid="|href="#|url\(#)', rf"\1{prefix}", tag)


def build_panels(
    count: int, caption: str = "", width: float = _PANEL_WIDTH, height: float = _PANEL_HEIGHT
) -> tuple[Figure, list[Axes]]:
    """Makes a figure of `count` panels, three in a row; its label is the caption in the report."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    figure.set_label(caption)
    return figure, [figure.add_subplot(rows, columns, 1 + index) for index in range(count)]


def _plot_metric(axes: Axes, history: Sequence[Mapping[str, float]], name: str) -> None:
    epochs = [epoch["epoch"] for epoch in history]
    lines = ((name, "training", BLUE), (f"validation_{name}", "validation", ORANGE))
    for key, label, color in lines:
        values = [epoch.get(key, np.nan) for epoch in history]
        if not np.isnan(values).all():
            axes.plot(epochs, values, color=color, label=label, marker=".", markersize=4)
    axes.set(title=name.replace("_", " "), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    if name != "learning_rate" and axes.lines:
        axes.legend()


def _cell_colors(strength: np.ndarray) -> np.ndarray:
    diagonal = np.eye(len(strength), dtype=bool)[..., None]
    hue = np.where(diagonal, to_rgb(BLUE), to_rgb(ORANGE))
    return np.concatenate([hue, strength[..., None]], axis=-1)


def _name_classes(axes: Axes, names: Sequence[str], font_size: float) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=font_size)
    axes.set_yticks(range(len(names)), names, fontsize=font_size)
    slanted = len(names) <= 40
    for name in axes.get_xticklabels():
        name.set(rotation=45 if slanted else 90, rotation_mode="anchor", ha="right")
        name.set_verticalalignment("top" if slanted else "center")


def _write_counts(axes: Axes, matrix: np.ndarray, strength: np.ndarray, font_size: float) -> None:
    for row, column in np.argwhere(matrix):
        color = "white" if strength[row, column] > 0.7 else INK
        count = str(matrix[row, column])
        axes.text(column, row, count, color=color, fontsize=font_size, ha="center", va="center")


def _shorten(label: str, length: int) -> str:
    return label if len(label) <= length else label[: length - 1] + "…"
