import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import apps
from apps.nlu.evaluate import evaluate
from apps.nlu.train import build_app
from data.utterances import Slot, Utterance, group_utterances
from shared.export.saved_model import ServedModel
from shared.metrics import span_scores
from shared.training.app import Evaluation, Split
from shared.training.evaluation import evaluate_main, relabel
from shared.training.report import Report, Table, write_report
from shared.training.understanding_report import (
    Meaning,
    align,
    rejection_section,
    slot_sections,
)

ROOT = Path(apps.__file__).parents[1]
INTENTS = ["Intents", "Confusion of intents", "Calibration of intents", "Out of scope"]
SLOTS = ["Slots", "Confidence of slots"]
SENTENCES = (
    "turn on the desk lamp in the attic",
    "wake me at six thirty please",
    "play something by paper boats in the living room",
    "who is the president today",
    "please switch the hall radio off",
)


def split_of(model: ServedModel, *utterances: Utterance) -> Split:
    labels, groups = group_utterances(utterances)
    return relabel(groups["train"], labels, model.labels)


@pytest.fixture(scope="module")
def answered(nlu_model) -> list[Utterance]:
    """The sentences with the model's own answers for the truth."""
    outputs = nlu_model.predict(text=list(SENTENCES))
    columns = [outputs[name] for name in ("slot_names", "slot_starts", "slot_ends")]
    found = [
        [Slot(name.decode(), int(start), int(end)) for name, start, end in zip(*row, strict=True)]
        for row in zip(*columns, strict=True)
    ]
    intents = [intent.decode() for intent in outputs["intent"]]
    return [
        Utterance(text, intent, tuple(slot for slot in slots if slot.name), where=f"line {row}")
        for row, (text, intent, slots) in enumerate(zip(SENTENCES, intents, found, strict=True))
    ]


def titles(evaluation: Evaluation) -> list[str]:
    return [section.title for section in evaluation.sections]


def test_right_answers_are_no_mistakes(nlu_model, answered):
    evaluation = evaluate(nlu_model, split_of(nlu_model, *answered))
    assert evaluation.errors == []
    assert evaluation.metrics["sentence_accuracy"] == 1
    assert titles(evaluation) == [*SLOTS, *INTENTS]


def test_mistakes_are_described_the_most_confident_first(nlu_model, answered):
    alarm = next(row for row in answered if row.intent == "set_alarm")
    others = [row for row in answered if row.intent not in ("set_alarm", "out_of_scope")]
    wrong = [
        Utterance(alarm.text, "turn_on", alarm.slots, where="intent"),
        *(Utterance(row.text, row.intent, (), where="slots") for row in others if row.slots),
    ]
    evaluation = evaluate(nlu_model, split_of(nlu_model, *wrong, *answered))
    assert len(evaluation.errors) == len(wrong) > 1
    share = len(answered) / (len(wrong) + len(answered))
    assert evaluation.metrics["sentence_accuracy"] == pytest.approx(share)
    error = next(error for error in evaluation.errors if error["id"] == "intent")
    outputs = nlu_model.predict(text=[alarm.text])
    assert (error["text"], error["intent"], error["predicted"], error["error"]) == (
        alarm.text,
        "turn_on",
        "set_alarm",
        "",
    )
    assert error["score"] == pytest.approx(outputs["intent_score"][0], abs=1e-5)
    (slot,) = error["slots"]
    (predicted,) = error["predicted_slots"]
    start, end = slot["start"], slot["end"]
    assert slot == {"name": "time", "value": alarm.text[start:end], "start": start, "end": end}
    score = pytest.approx(outputs["slot_scores"][0, 0], abs=1e-5)
    assert predicted == {**slot, "score": score}
    confidence = [
        min([error["score"], *(slot["score"] for slot in error["predicted_slots"])])
        for error in evaluation.errors
    ]
    assert confidence == sorted(confidence, reverse=True)
    assert len(evaluation.sections[0].tables) == len(wrong)
    assert json.loads(json.dumps(evaluation.errors)) == evaluation.errors


@pytest.mark.parametrize("intent", ["turn_on", "out_of_scope"])
def test_data_without_slots_and_with_one_intent(nlu_model, intent, tmp_path):
    split = split_of(nlu_model, Utterance("who is love", intent), Utterance("buy a car", intent))
    evaluation = evaluate(nlu_model, split)
    assert set(INTENTS) <= set(titles(evaluation))
    write_report(Report("Test", "", [], evaluation.sections), tmp_path / "report.html")


def test_a_sentence_without_answer_is_a_mistake(nlu_model, answered):
    long = Utterance("lamp " * 500, "turn_on", where="long")
    evaluation = evaluate(nlu_model, split_of(nlu_model, answered[0], long))
    (error,) = evaluation.errors
    assert (error["id"], error["predicted"], error["score"]) == ("long", "", 0.0)
    assert error["error"].startswith("too_long: ")
    assert evaluation.metrics["sentence_accuracy"] == 0.5
    only = evaluate(nlu_model, split_of(nlu_model, long))
    assert titles(only) == ["Worst mistakes"]


def test_the_exported_model_has_the_metrics_of_the_training_run(
    nlu_run, monkeypatch, capsys, tmp_path
):
    words = ("--data", nlu_run.config.data, "--model", nlu_run.model, "--output", tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate_main("nlu", build_app, "Evaluates.")
    result = json.loads(capsys.readouterr().out)
    assert result["test"] == pytest.approx(nlu_run.result["test"], abs=1e-5)
    written = (tmp_path / "errors.jsonl").read_text()
    assert written == (nlu_run.folder / "errors.jsonl").read_text()
    assert "Out of scope" in (tmp_path / "report.html").read_text()


def test_help_needs_no_tensorflow():
    command = [sys.executable, "-X", "importtime", "-m", "apps.nlu.evaluate", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and "--split" in result.stdout
    assert "apps.nlu.train" in result.stderr  # the list of imports is there
    assert "tensorflow" not in result.stderr and "keras" not in result.stderr


def test_slots_are_aligned_with_the_pieces_of_the_sentence():
    text = "put  the big lamp on at noon "
    truth = Meaning("turn_on", 1.0, {("device", 9, 17): 1.0, ("time", 24, 28): 1.0})
    answer = Meaning("turn_off", 0.75, {("device", 13, 17): 0.5, ("time", 24, 28): 1.0})
    table = align(text, truth, answer)
    assert table == Table(
        ("", "intent", "put  the", "big", "lamp", "on at", "noon"),
        [
            ("expected", "turn_on", "", "device", "…", "", "time"),
            ("answered", "turn_off 75.0%", "", "", "device 50.0%", "", "time 100.0%"),
        ],
        marked={(1, 1), (1, 3), (1, 4)},
    )


def test_only_differences_are_marked():
    meaning = Meaning("a", 0.5, {("x", 0, 2): 0.3})
    assert align("ab cd", meaning, meaning).marked == set()
    assert align("ab cd", meaning, Meaning("a", 0.9, {})).marked == {(1, 2)}
    assert align("", Meaning("a", 1.0, {}), Meaning("", 0.0, {})).marked == {(1, 1)}


def test_slot_sections_have_the_scores_of_each_name():
    truths = [Meaning("a", 1, {("x", 0, 2): 1, ("y", 3, 5): 1}), Meaning("a", 1, {("x", 0, 1): 1})]
    found = [Meaning("a", 1, {("x", 0, 2): 0.9}), Meaning("a", 1, {("z", 0, 1): 0.4})]
    classes, confidence = slot_sections(truths, found)
    expected = span_scores([list(t.slots) for t in truths], [list(a.slots) for a in found])
    assert [row[0] for row in classes.tables[0].rows] == ["x", "y", "z"]
    assert [row[3] for row in classes.tables[0].rows] == [s.f1 for s in expected.names]
    assert f"{expected.f1:.2%}" in classes.text
    labels = [axes.get_title(loc="left") for axes in confidence.figures[0].axes]
    assert labels == ["1 right slots", "1 wrong slots"]
    assert slot_sections([Meaning("a", 1, {})], [Meaning("a", 1, {})]) == []


def test_the_threshold_is_compared_with_others():
    scores = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
    outside = np.array([False, False, True, False, True, True])
    section = rejection_section(scores, outside, 0.45)
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert list(rows) == ["0.10", "0.30", "0.45, chosen", "0.50", "0.70", "0.90"]
    assert rows["0.45, chosen"] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert rows["0.90"] == pytest.approx([1 / 3, 1, 0])
    none = rejection_section(scores, np.zeros(6, bool), 0.99).tables[0].rows
    assert np.isnan(none[-1][1]) and np.isnan(none[-1][2]) and none[-1][3] == 0
