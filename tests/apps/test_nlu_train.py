"""A user's own sentences, in every form that they may have, from the file to a trained model."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.nlu.config import QUICK, Config, ModelConfig, TextConfig
from apps.nlu.train import build_app
from data import DataError
from data.utterances import read_utterances
from shared.export.repository import versions
from shared.optimizers import build_optimizer
from shared.training.batching import StreamedBatches, build_batches
from shared.training.checkpoint import Progress
from shared.training.command_line import RunOptions
from shared.training.config import ConfigError
from shared.training.fit import Fit
from shared.training.reproducibility import prepare_process
from shared.training.run import run, train
from shared.training.run_folder import open_run_folder
from shared.training.sequence_batching import SequenceBatches

SMALL = replace(
    QUICK,
    model=ModelConfig(
        word_size=8, character_size=4, character_filters=4, character_widths=(3,), units=6
    ),
    training=replace(
        QUICK.training, epochs=2, minimum_steps=0, batch_size=6, checkpoint_seconds=1e-3
    ),
)
# Intent, words in front of the slot, its name, its words.
SENTENCES = [("play", "put on", "song", f"song {word}") for word in "abcdefghijkl"]
SENTENCES += [("go", "drive me to", "city", city) for city in "ABCDEFGHIJKL"]


def jsonl(folder: Path) -> Path:
    rows = [
        {
            "text": f"{before} {value}",
            "intent": intent,
            "slots": [
                {
                    "name": name,
                    "start": len(before) + 1,
                    "end": len(before) + 1 + len(value),
                    "value": value,
                }
            ],
        }
        for intent, before, name, value in SENTENCES
    ]
    return write(folder / "own.jsonl", map(json.dumps, rows))


def rasa(folder: Path) -> Path:
    lines = ['version: "3.1"', "nlu:"]
    for wanted in ("play", "go"):
        lines += [f"- intent: {wanted}", "  examples: |"]
        lines += [f"    - {b} [{value}]({name})" for i, b, name, value in SENTENCES if i == wanted]
    return write(folder / "nlu.yml", lines)


def bio_folder(folder: Path) -> Path:
    for split, rows in (
        ("train", SENTENCES[2:-2]),
        ("valid", SENTENCES[:2]),
        ("test", SENTENCES[-2:]),
    ):
        (folder / split).mkdir()
        tagged = [tags(*row[1:]) for row in rows]
        write(folder / split / "seq.in", (" ".join(w for w, _ in row) for row in tagged))
        write(folder / split / "seq.out", (" ".join(t for _, t in row) for row in tagged))
        write(folder / split / "label", (intent for intent, *_ in rows))
    return folder


def conll(folder: Path) -> Path:
    lines = []
    for intent, *rest in SENTENCES:
        lines += [f"# intent: {intent}", *("\t".join(pair) for pair in tags(*rest)), ""]
    return write(folder / "own.conll", lines)


def snips(folder: Path) -> Path:
    intents: dict[str, list] = {}
    for intent, before, name, value in SENTENCES:
        pieces = [{"text": f"{before} "}, {"text": value, "entity": name}]
        intents.setdefault(intent, []).append({"data": pieces})
    return write(folder / "own.json", [json.dumps(intents)])


def table(folder: Path) -> Path:
    rows = (f"{before} {value},{intent}" for intent, before, _, value in SENTENCES)
    return write(folder / "own.csv", ["text,intent", *rows])


def grammar(folder: Path) -> Path:
    lines = ["list song", *(f"    song {word}" for word in "abcdefghijkl")]
    lines += ["list city", *(f"    {word}" for word in "ABCDEFGHIJKL")]
    lines += ["intent play", "    put on {song}", "intent go", "    drive me to {city}"]
    return write(folder / "own.grammar", lines)


def tags(before: str, name: str, value: str) -> list[tuple[str, str]]:
    """Words with their BIO tags."""
    inside = [(word, f"{'I' if place else 'B'}-{name}") for place, word in enumerate(value.split())]
    return [*((word, "O") for word in before.split()), *inside]


def write(path: Path, lines: Sequence[str] | Iterator[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def eager_fit(config: Config, folder: Path, class_weights: np.ndarray | None = None) -> Fit:
    """What `shared.training.run.train` builds, run op by op, as tracing takes longer here."""
    app = build_app()
    prepare_process(config)
    survey = app.load(config)
    survey.raise_errors()
    labels, splits = survey.splits.labels, survey.splits
    preprocess = app.build_preprocess(config, survey)
    prepare = app.prepare(config, preprocess, labels)
    gigabytes = config.training.cache_gigabytes
    training = build_batches(
        splits.train, prepare, config.training.batch_size, gigabytes, app.build_variation(config)
    )
    model = app.build_model(config, preprocess, labels)
    optimizer = build_optimizer(config.optimizer, 2)
    model.compile(optimizer, app.build_loss(config, model), run_eagerly=True)
    return Fit(
        model,
        training,
        build_batches(splits.validation, prepare, 32, gigabytes),
        config,
        folder,
        app.build_augmentation(config, preprocess, labels),
        class_weights,
        app.validate,
    )


def one_step(path: Path, cache_gigabytes: float = 1.0) -> Config:
    settings = {"epochs": 1, "batch_size": 64, "cache_gigabytes": cache_gigabytes}
    return replace(SMALL, data=str(path), training=replace(SMALL.training, **settings))


@pytest.mark.parametrize("form", [rasa, bio_folder, conll, snips, table, grammar])
def test_every_form_of_own_data_trains(form: Callable[[Path], Path], tmp_path: Path) -> None:
    config = one_step(form(tmp_path))
    splits = build_app().load(config).splits
    found = {
        (u.intent, u.text, *((slot.name, u.text[slot.start : slot.end]) for slot in u.slots))
        for split in (splits.train, splits.validation, splits.test)
        for u in read_utterances(split, splits.labels)
    }
    assert found == {
        (intent, f"{before} {value}", *([] if form is table else [(name, value)]))
        for intent, before, name, value in SENTENCES
    }
    fit = eager_fit(config, tmp_path / "checkpoints")
    assert len(fit.model.get_layer("slots").tags) == (1 if form is table else 5)
    (row,) = fit.run().history
    assert np.isfinite(row["loss"])
    assert 0 <= row["validation_sentence_accuracy"] <= row["validation_intent_accuracy"] <= 1


def test_sentences_that_do_not_fit_in_memory_are_streamed(tmp_path: Path) -> None:
    config = one_step(jsonl(tmp_path), cache_gigabytes=0.0)
    weights = np.array([0.5, 2.0], np.float32)
    fit = eager_fit(config, tmp_path, weights)
    assert isinstance(fit.train, StreamedBatches) and isinstance(fit.validation, StreamedBatches)
    (row,) = fit.run().history
    assert np.isfinite(row["loss"]) and np.isfinite(row["validation_slot_f1"])


def test_class_weights_weigh_whole_sentences(tmp_path: Path) -> None:
    config = one_step(jsonl(tmp_path))
    fit = eager_fit(config, tmp_path, np.array([0.0, 1.0], np.float32))
    before = fit.model.get_weights()
    inputs, targets = next(fit.validation.epoch())
    first = np.eye(2, dtype=np.float32)[[0] * len(targets["intent"])]
    fit._step(inputs, {**targets, "intent": first})
    for old, new in zip(before, fit.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jsonl(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def finished(own: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A whole run with every switch of training on."""
    folder = tmp_path_factory.mktemp("run")
    options = RunOptions(run=folder / "run", saved_models=folder / "saved_models")
    return run(build_app(), configuration(own), options)


def configuration(path: Path) -> Config:
    optimizer = replace(SMALL.optimizer, average_decay=0.9, clip_norm=1.0)
    training = replace(SMALL.training, precision="mixed_bfloat16", class_weights=True)
    return replace(SMALL, data=str(path), optimizer=optimizer, training=training)


def last_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    with np.load(sorted((folder / "checkpoints").glob("*.npz"))[-1]) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def train_in(folder: Path, path: Path, resume: bool = False) -> Progress:
    app = build_app()
    options = RunOptions(run=folder, resume=resume)
    opened, config = open_run_folder(app.name, configuration(path), options)
    prepare_process(config)
    return train(app, config, app.load(config), opened)[1]


def test_a_run_publishes_a_model_and_its_metrics(finished: dict[str, object]) -> None:
    assert finished["app"] == "nlu" and finished["version"] == 1
    assert {"intent_accuracy", "slot_f1", "sentence_accuracy"} <= set(finished["test"])
    extra = Path(finished["path"]) / "assets.extra"
    metrics = json.loads((extra / "metrics.json").read_text())
    assert metrics["export"]["label_agreement"] == 1
    assert metrics["export"]["max_abs_difference"] < 1e-4
    model = tf.saved_model.load(finished["path"])
    variables = model.signatures["serving_default"].variables
    assert {variable.dtype for variable in variables} == {tf.float32}
    assert (extra / "labels.txt").read_text() == "go\nplay\n"


def test_a_run_broken_off_within_an_epoch_ends_as_one_that_was_left_alone(
    finished: dict[str, object], own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, slots that are swapped, words that are hidden and dropout all go on as they would."""
    show = Fit._show

    def break_off(fit: Fit, progress: Progress, *others: object) -> None:
        assert isinstance(fit.train, SequenceBatches) and fit.train.vary and fit.augment
        if (progress.epoch, progress.step) == (1, 1):
            raise KeyboardInterrupt
        show(fit, progress, *others)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Fit, "_show", break_off)
        train_in(tmp_path / "run", own)
    assert sorted((tmp_path / "run" / "checkpoints").glob("000001-00000001.npz"))
    keras.utils.set_random_seed(99)
    assert train_in(tmp_path / "run", own, resume=True).epoch == 2
    found, expected = last_checkpoint(tmp_path / "run"), last_checkpoint(Path(finished["run"]))
    assert found.keys() == expected.keys()
    assert any(name.startswith("augmentation/") for name in found)
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_words_below_the_minimum_count_are_unknown(own: Path) -> None:
    config = replace(SMALL, data=str(own), text=TextConfig(minimum_count=3))
    app = build_app()
    words = app.build_preprocess(config, app.load(config)).vocabulary.words
    assert words == ("drive", "me", "on", "put", "song", "to")


def test_data_that_cannot_be_trained_on_publishes_nothing(tmp_path: Path) -> None:
    rows = [{"text": f"hello {number}", "intent": "greet"} for number in range(20)]
    path = write(tmp_path / "own.jsonl", map(json.dumps, rows))
    options = RunOptions(runs=tmp_path / "runs", saved_models=tmp_path / "saved_models")
    with pytest.raises(DataError, match="only the intent 'greet'; expected two"):
        run(build_app(), replace(SMALL, data=str(path)), options)
    assert versions(tmp_path / "saved_models" / "nlu") == []


def test_a_metric_that_is_not_there_is_refused_before_training(own: Path, tmp_path: Path) -> None:
    training = replace(SMALL.training, monitor="validation_accuracy")
    options = RunOptions(runs=tmp_path / "runs", saved_models=tmp_path / "saved_models")
    with pytest.raises(ConfigError, match="validation_accuracy.*validation_sentence_accuracy"):
        run(build_app(), replace(SMALL, data=str(own), training=training), options)
