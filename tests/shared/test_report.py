"""The HTML report and its figures."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.special import softmax

from shared.metrics import per_class, reliability
from shared.training import plots
from shared.training.report import (
    Picture,
    Report,
    Section,
    Table,
    classification_sections,
    write_report,
)

SCRIPT = "<script>alert('x')</script>"
HISTORY = [
    {"epoch": 1, "loss": 2.0, "validation_loss": 2.1, "learning_rate": 0.001},
    {"epoch": 2, "loss": 1.0, "validation_loss": 1.4, "learning_rate": 0.0},
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects what the tests ask about, and insists that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def picture_bytes(kind: str, width: int = 28) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, 20), "teal").save(buffer, kind)
    return buffer.getvalue()


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def sections_of(labels: list[str]) -> list[Section]:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, len(labels), 200)
    logits = generator.normal(size=(200, len(labels)))
    logits[np.arange(200), targets] += 2
    before, after = softmax(2 * logits, axis=1), softmax(logits, axis=1)
    return classification_sections(labels, before, after, targets)


@pytest.fixture(scope="module")
def report() -> Report:
    mistake = Picture(
        picture_bytes("PNG"), caption=SCRIPT, details=[("true", SCRIPT), ("file", SCRIPT)]
    )
    photo = Picture(picture_bytes("JPEG"))
    gallery = Section("Worst mistakes", text=SCRIPT, gallery=[mistake, photo])
    return Report(
        title=SCRIPT,
        subtitle=SCRIPT,
        tiles=[("accuracy", "98.4 %"), (SCRIPT, SCRIPT)],
        sections=[*sections_of([SCRIPT, "$x", "$y & z"]), gallery],
    )


@pytest.fixture(scope="module")
def html(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "runs" / "report.html"
    write_report(report, path)
    assert list(path.parent.iterdir()) == [path]
    return path.read_text(encoding="utf-8")


def test_report_loads_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert "http" not in html
    assert "@import" not in html
    links = page.values("src") + page.values("href") + page.values("xlink:href")
    assert all(link.startswith(("data:", "#")) for link in links)
    assert sum(link.startswith("data:image/jpeg;base64,") for link in links) == 1


def test_report_escapes_what_users_wrote(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    # Title (twice), subtitle, tile (name and value), text, caption, two details; then the labels.
    assert page.text.count(SCRIPT) > 9
    assert "$y & z" in page.text


def test_report_has_a_table_of_contents_and_unique_ids(html: str) -> None:
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {link[1:] for link in page.values("href") if link.startswith("#section")}
    assert len(targets) == 4
    assert targets <= set(ids)


def test_references_inside_figures_point_to_their_elements(html: str) -> None:
    ids = set(Page(html).values("id"))
    references = set(re.findall(r'(?:url\(|xlink:href=")#([^)"]+)', html))
    assert references
    assert references <= ids


def test_small_pictures_are_enlarged_with_sharp_pixels(tmp_path: Path) -> None:
    pictures = [Picture(picture_bytes("PNG", width)) for width in (28, 400)]
    section = Section("Pictures", gallery=pictures)
    write_report(Report("Title", "", [], [section]), tmp_path / "report.html")
    assert Page((tmp_path / "report.html").read_text()).values("class").count("pixelated") == 1


def test_cells_are_formatted_for_reading(tmp_path: Path) -> None:
    table = Table(("class", "f1", "n"), [("cat", 0.98765, 12345), ("dog", float("nan"), 0)])
    write_report(Report("Title", "", [], [Section("S", tables=[table])]), tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "cat0.987712,345" in text
    assert "dog–0" in text


def test_file_names_that_are_not_utf8_do_not_spoil_the_report(tmp_path: Path) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    picture = Picture(picture_bytes("PNG"), details=[("file", name)])
    write_report(Report("T", "", [], [Section("S", gallery=[picture])]), tmp_path / "report.html")
    assert "caf?.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_failing_render_leaves_the_old_file(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = Section("Broken", gallery=[Picture(b"GIF89a")])
    with pytest.raises(ValueError, match="expected the bytes of a PNG or JPEG"):
        write_report(replace(report, sections=[broken]), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def refuse(source: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(Report("new", "", [], []), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_refuses_a_row_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="has 1 cells"):
        Table(("class", "f1"), [("cat", 0.5), ("dog",)])


def test_classification_sections_name_their_contents() -> None:
    sections = sections_of(["a", "b", "c"])
    titles = [section.title for section in sections]
    assert titles == ["Classes", "Confusion", "Calibration"]
    assert [row[0] for row in sections[0].tables[0].rows] == ["a", "b", "c"]


def test_classification_sections_without_mistakes() -> None:
    sections = classification_sections(["a", "b"], np.eye(2), np.eye(2), np.arange(2))
    assert [section.title for section in sections] == ["Classes", "Confusion", "Calibration"]
    assert sections[1].tables == []
    assert "0 of 2" in sections[1].text


@pytest.mark.parametrize("classes", [2, 20, 45, 130])
def test_confusion_matrix_names_as_many_classes_as_it_can(classes: int) -> None:
    labels = [f"class number {index:03}" for index in range(classes)]
    text = Page(plots.to_svg(plots.confusion_matrix(np.eye(classes), labels))).text
    assert text.count("class number") == (2 * classes if classes <= 120 else 0)


def test_learning_curves_have_a_panel_for_each_metric() -> None:
    history = [{"epoch": 1, "loss": 2.0, "validation_wer": 0.9}, {"epoch": 2, "loss": 1.5}]
    loss, wer = plots.learning_curves(history).axes
    assert (loss.get_title(loc="left"), wer.get_title(loc="left")) == ("loss", "wer")
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [2.0, 1.5])
    assert [line.get_label() for line in wer.lines] == ["validation"]
    with pytest.raises(ValueError, match="without a metric"):
        plots.learning_curves([])


def test_class_scores_draw_the_weakest_classes_first() -> None:
    classes = 50
    targets = np.repeat(np.arange(classes), 2)
    answers = targets.copy()
    answers[14] = 8  # class 7 is missed once
    labels = [f"class {index}" for index in range(classes)]
    figure = plots.class_scores(per_class(np.eye(classes)[answers], targets, labels))
    [axes] = figure.axes
    assert axes.get_yticklabels()[0].get_text() == "class 7"
    assert bars(axes)[0].get_width() == pytest.approx(2 / 3)
    assert len(bars(axes)) == 40
    assert figure.get_label() == "The 40 weakest of 50 classes."


def test_confidence_histogram_counts_right_and_wrong_answers() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    right, wrong = plots.confidence_histogram(probabilities, np.array([0, 0, 0])).axes
    assert sum(bar.get_height() for bar in bars(right)) == 2
    assert sum(bar.get_height() for bar in bars(wrong)) == 1


def test_reliability_diagram_shows_both_errors() -> None:
    before = reliability(np.array([[0.9, 0.1]]), np.array([1]))
    after = reliability(np.array([[0.6, 0.4]]), np.array([1]))
    text = Page(plots.to_svg(plots.reliability_diagram(before, after))).text
    assert "error 0.900" in text
    assert "error 0.600" in text


def test_svg_takes_the_colour_of_the_page_and_keeps_labels_as_they_are() -> None:
    label = f'{plots.INK} id="x" 你好'
    svg = plots.to_svg(plots.confusion_matrix(np.eye(2), [label, "b"]))
    page = Page(svg)
    assert svg.startswith("<svg")
    assert page.text.count(label) == 2
    assert not any(plots.INK in (value or "") for _, value in page.attributes)
    assert "currentColor" in svg


def test_svg_background_is_transparent() -> None:
    svg = plots.to_svg(plots.learning_curves(HISTORY))
    assert "#ffffff" not in svg


def test_figures_leave_the_global_style_alone() -> None:
    before = dict(rcParams)
    plots.to_svg(plots.learning_curves(HISTORY))
    assert dict(rcParams) == before
