"""What is measured of a model of speech, and what the report shows of it."""

import json
from pathlib import Path

import pytest

from apps.speech_recognition.dataset import load_split
from apps.speech_recognition.evaluate import evaluate
from shared.training.report import Report, write_report
from shared.training.speech_report import Hearing, Word, compare, error_rate_sections


def hearing(reference: str, transcript: str, seconds: float = 1.0, speaker: str = "") -> Hearing:
    words = [Word(word, 0.0, 0.1, 0.5) for word in transcript.split()]
    return Hearing("id", reference, transcript, words, 0.9, seconds, speaker, "")


def test_a_run_leaves_error_rates_and_a_report_to_hear(speech_run) -> None:
    metrics = json.loads((speech_run.folder / "metrics.json").read_text())
    assert set(metrics["test"]) == {"wer", "cer"}
    assert metrics["test"]["wer"] < 0.2
    page = (speech_run.folder / "report.html").read_text()
    assert "data:audio/wav;base64," in page and "Error rates by speaker" in page


def test_mistakes_are_listed_with_what_was_said(speech_run, speech_model) -> None:
    _, split, _ = load_split(speech_run.config, "all")
    evaluation = evaluate(speech_model, split)
    wrong = evaluation.metrics["wer"] > 0
    assert bool(evaluation.errors) == wrong
    for error in evaluation.errors:
        assert error["transcript"] != error["predicted"] and error["words_wrong"] > 0


def test_keywords_are_measured_as_classes(keyword_run, keyword_model) -> None:
    _, split, _ = load_split(keyword_run.config, "test")
    evaluation = evaluate(keyword_model, split)
    assert evaluation.metrics["accuracy"] > 0.9
    titles = [section.title for section in evaluation.sections]
    assert "Confusion" in titles and "Error rates by speaker" in titles


def test_words_are_set_above_each_other() -> None:
    table = compare(hearing("turn on the light", "turn the lights on"))
    said, heard = table.rows
    assert [word for word in said[1:] if word] == ["turn", "on", "the", "light"]
    assert [cell.split()[0] for cell in heard[1:] if cell] == ["turn", "the", "lights", "on"]
    for column in range(1, len(said)):
        same = said[column] == heard[column].split(" ")[0]
        assert ((1, column) in table.marked) == (not same)


def test_a_keyword_has_the_score_of_its_clip() -> None:
    keyword = Hearing("id", "yes", "no", [], 0.75, 1.0, "", "")
    assert compare(keyword).rows == [("said", "yes"), ("heard", "no 75%")]


def test_error_rates_by_group() -> None:
    hearings = [
        hearing("a b", "a b", 0.5, "anna"),
        hearing("a b", "a", 3.0, "ben"),
        hearing("c", "c d", 30.0, "ben"),
    ]
    by_length, by_speaker, confusions = error_rate_sections(hearings)
    assert [row[:3] for row in by_length.tables[0].rows] == [
        ("0 to 1", 1, 0.0),
        ("2 to 4", 1, 0.5),
        ("16 or more", 1, 1.0),
    ]
    worst = by_speaker.tables[0].rows[0]
    assert worst[:2] == ("ben", 2) and worst[2] == pytest.approx(2 / 3)
    assert set(confusions.tables[0].rows) == {
        ("b", "left out", "", 1),
        ("", "heard in addition", "d", 1),
    }


def test_one_unknown_speaker_is_no_table() -> None:
    titles = [section.title for section in error_rate_sections([hearing("a", "a")])]
    assert titles == ["Error rates by length"]


def test_the_report_of_an_evaluation(keyword_run, keyword_model, tmp_path: Path) -> None:
    _, split, _ = load_split(keyword_run.config, "test")
    evaluation = evaluate(keyword_model, split)
    report = Report("speech", "", [], evaluation.sections)
    write_report(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000
