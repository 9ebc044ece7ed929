"""A user's own texts, in every form that they may have, from the file to a trained model."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.nlp.config import PRESETS, QUICK, Config, ModelConfig, TextConfig
from apps.nlp.model import ENCODER_LAYERS
from apps.nlp.preprocess import BOUNDARY
from apps.nlp.train import build_app
from data import DataError
from shared.export.repository import versions
from shared.export.saved_model import load_saved_model
from shared.optimizers import build_optimizer
from shared.training.batching import StreamedBatches, build_batches
from shared.training.checkpoint import Progress
from shared.training.command_line import RunOptions
from shared.training.config import ConfigError
from shared.training.fit import Fit
from shared.training.main import main
from shared.training.reproducibility import prepare_process
from shared.training.run import run, train
from shared.training.run_folder import open_run_folder

SMALL = replace(
    QUICK,
    model=ModelConfig(word_size=6, units=4, ngram_bits=10),
    training=replace(
        QUICK.training, epochs=2, minimum_steps=0, batch_size=6, checkpoint_seconds=1e-3
    ),
)
SEVERAL = replace(SMALL, text=TextConfig(label_separator="|"))
LANGUAGE_MODEL = replace(SMALL, task="language_model")
# Two dozen texts, with one label for each and with any number of labels.
TEXTS = [(f"song {letter} by the sea", "play") for letter in "abcdefghijkl"]
TEXTS += [(f"drive to city {letter}", "go") for letter in "abcdefghijkl"]
SETS = [*(("play", "sea"),) * 12, *(("go",),) * 8, *((),) * 4]


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def table(folder: Path) -> Path:
    return write(folder / "own.csv", "label,text", *(f"{label},{text}" for text, label in TEXTS))


def lines_of_json(folder: Path) -> Path:
    rows = (json.dumps({"text": text, "label": label}) for text, label in TEXTS)
    return write(folder / "own.jsonl", *rows)


def split_tables(folder: Path) -> Path:
    rows = [f"{text}\t{label}" for text, label in TEXTS]
    for name, part in (("train", rows[2:-2]), ("validation", rows[1::21]), ("test", rows[::23])):
        write(folder / f"{name}.tsv", "text\tlabel", *part)
    return folder


def class_folders(folder: Path) -> Path:
    for number, (text, label) in enumerate(TEXTS):
        write(folder / label / f"{number}.txt", text)
    return folder


def joined_labels(folder: Path) -> Path:
    rows = (f"{text},{'|'.join(s)}" for (text, _), s in zip(TEXTS, SETS, strict=True))
    return write(folder / "own.csv", "text,label", *rows)


def lists_of_labels(folder: Path) -> Path:
    rows = zip(TEXTS, SETS, strict=True)
    return write(
        folder / "own.jsonl", *(json.dumps({"text": text, "label": s}) for (text, _), s in rows)
    )


def file_of_lines(folder: Path) -> Path:
    return write(folder / "own.txt", *(text for text, _ in TEXTS))


def eager_fit(config: Config, folder: Path) -> Fit:
    """What `shared.training.run.train` builds, run op by op, as tracing takes longer here."""
    app = build_app()
    prepare_process(config)
    survey = app.load(config)
    survey.raise_errors()
    labels, splits = survey.splits.labels, survey.splits
    preprocess = app.build_preprocess(config, survey)
    prepare = app.prepare(config, preprocess, labels)
    gigabytes = config.training.cache_gigabytes
    training = build_batches(splits.train, prepare, config.training.batch_size, gigabytes)
    validation = build_batches(splits.validation, prepare, 32, gigabytes)
    model = app.build_model(config, preprocess, labels)
    optimizer = build_optimizer(config.optimizer, 2)
    model.compile(optimizer, app.build_loss(config, model), run_eagerly=True)
    augmentation = app.build_augmentation(config, preprocess, labels)
    return Fit(model, training, validation, config, folder, augmentation, None, app.validate)


def one_step(config: Config, path: Path, cache_gigabytes: float = 1.0) -> Config:
    settings = {"epochs": 1, "batch_size": 64, "cache_gigabytes": cache_gigabytes}
    return replace(config, data=str(path), training=replace(config.training, **settings))


FORMS = [(form, SMALL) for form in (table, lines_of_json, split_tables, class_folders)]
FORMS += [(form, SEVERAL) for form in (joined_labels, lists_of_labels)]
FORMS += [(form, LANGUAGE_MODEL) for form in (file_of_lines, class_folders, table)]


@pytest.mark.parametrize(("form", "config"), FORMS)
def test_every_form_of_own_data_trains(
    form: Callable[[Path], Path], config: Config, tmp_path: Path
) -> None:
    config = one_step(config, form(tmp_path / "data"))
    splits = build_app().load(config).splits
    found = set()
    for split in (splits.train, splits.validation, splits.test):
        for example in split.read(None).as_numpy_iterator():
            chosen = example["label"] == np.arange(len(splits.labels))
            names = np.array(splits.labels)[example.get("label_sets", chosen) > 0]
            found.add((example["input"].decode(), *names))
    sets = SETS if config.text.label_separator else [(label,) for _, label in TEXTS]
    if config.task == "language_model":
        sets = [()] * len(TEXTS)
    assert found == {(text, *sorted(s)) for (text, _), s in zip(TEXTS, sets, strict=True)}
    (row,) = eager_fit(config, tmp_path / "checkpoints").run().history
    assert np.isfinite(row["loss"])
    if config.task == "language_model":
        assert row["validation_perplexity"] > 1
    else:
        assert 0 <= row["validation_accuracy"] <= 1


@pytest.mark.parametrize("config", [SMALL, LANGUAGE_MODEL], ids=["classifier", "language model"])
def test_texts_that_do_not_fit_in_memory_are_streamed(config: Config, tmp_path: Path) -> None:
    config = one_step(config, table(tmp_path), cache_gigabytes=0.0)
    fit = eager_fit(config, tmp_path)
    assert isinstance(fit.train, StreamedBatches) and isinstance(fit.validation, StreamedBatches)
    (row,) = fit.run().history
    assert np.isfinite(row["loss"]) and np.isfinite(row["validation_loss"])


def train_command(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: object) -> None:
    """`python -m apps.nlp.train` with these words."""
    folders = ("--run", folder / "run", "--saved_models", folder / "saved_models")
    monkeypatch.setattr("sys.argv", ["train", *map(str, (*folders, *words))])
    main(PRESETS, build_app, "Trains.")


def test_one_command_makes_a_classifier_of_a_table_and_a_language_model(
    language_model_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    words = ("--pretrained", language_model_run.folder, "--training.batch_size", 8)
    steps = ("--training.epochs", 1, "--training.minimum_steps", 1, "--model.ngram_bits", 10)
    train_command(monkeypatch, tmp_path, "--data", table(tmp_path), *words, *steps)
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    result = json.loads(line)
    assert (result["app"], result["version"], result["headline"]) == ("nlp", 1, "accuracy")
    assert result["test"].keys() >= {"accuracy", "macro_f1", "loss"}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"] == result["test"]
    assert f"baseline  accuracy {metrics['baseline']['accuracy']:.4g}" in printed.err
    assert metrics["export"]["label_agreement"] == 1
    assert metrics["export"]["max_abs_difference"] < 1e-4
    model = load_saved_model(Path(result["path"]))
    assert set(model.calibration) == {"recurrent_logits", "ngram_logits"}
    assert model.labels == ("go", "play")
    # Words come from the language model, which does not know the sea, and from the table.
    texts = ["the sea", "the kettle", "the zebra"]
    assert model.predict(text=texts)["num_unknown"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", ["", "nowhere", "file.txt"])
def test_a_wrong_language_model_is_refused_with_a_hint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "file.txt").write_text("no folder")
    words = ("--data", table(tmp_path), "--pretrained", tmp_path / name)
    with pytest.raises(SystemExit) as stopped:
        train_command(monkeypatch, tmp_path, *words)
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out) == (2, "")
    assert f"error: --pretrained {tmp_path / name}: " in printed.err
    assert "Expected the run folder of a language model" in printed.err


def test_a_language_model_leaves_its_words_and_weights(language_model_run: Any) -> None:
    config = replace(SMALL, data=language_model_run.config.data)
    survey = build_app().load(replace(config, task="language_model"))
    config = replace(config, pretrained=str(language_model_run.folder))
    app = build_app()
    preprocess = app.build_preprocess(config, survey)
    with np.load(language_model_run.folder / "encoder.npz") as stored:
        words = (BOUNDARY, *json.loads(str(stored["vocabulary"])))
        assert preprocess.vocabulary.words[: len(words)] == words
        model = app.build_model(config, preprocess, ("a", "b"))
        for name in ENCODER_LAYERS:
            for index, weights in enumerate(model.get_layer(name).get_weights()):
                expected = stored[f"{name}/{index}"]
                np.testing.assert_array_equal(weights[: len(expected)], expected)
    assert {"kettle", "superb", "?"} < set(preprocess.vocabulary.words)


def test_a_language_model_is_published_with_its_perplexity(language_model_run: Any) -> None:
    result = language_model_run.result
    assert result["headline"] == "perplexity"
    metrics = json.loads((language_model_run.folder / "metrics.json").read_text())
    assert "baseline" not in metrics
    # Of some thirty words, two or three are likely in each place.
    assert 1 < metrics["test"]["perplexity"] < 5
    assert 1 < metrics["validation"]["perplexity"] < 5
    assert metrics["export"]["max_abs_difference"] < 1e-4
    history = (language_model_run.folder / "history.csv").read_text().splitlines()
    assert "validation_perplexity" in history[0]
    assert (language_model_run.model / "assets.extra" / "labels.txt").read_text() == ""


def test_a_run_of_several_labels(tmp_path: Path) -> None:
    config = replace(SEVERAL, data=str(joined_labels(tmp_path)))
    config = replace(config, training=replace(config.training, precision="mixed_bfloat16"))
    options = RunOptions(run=tmp_path / "run", saved_models=tmp_path / "saved_models")
    result = run(build_app(), config, options)
    assert result["test"].keys() == {"accuracy", "micro_f1", "macro_f1", "loss"}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["baseline"].keys() == result["test"].keys()
    assert metrics["export"]["label_agreement"] == 1
    model = tf.saved_model.load(result["path"])
    variables = model.signatures["serving_default"].variables
    assert {variable.dtype for variable in variables} == {tf.float32}
    assert "Labels" in (tmp_path / "run" / "report.html").read_text()


def last_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    with np.load(sorted((folder / "checkpoints").glob("*.npz"))[-1]) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def train_in(folder: Path, config: Config, resume: bool = False) -> Progress:
    app = build_app()
    opened, config = open_run_folder(app.name, config, RunOptions(run=folder, resume=resume))
    prepare_process(config)
    return train(app, config, app.load(config), opened)[1]


@pytest.fixture
def op_by_op() -> Iterator[None]:
    """Runs functions as they are written, as tracing takes longer than a few small steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though")  # Functions of tf.data are traced nevertheless.
@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("task", ["classification", "language_model"])
def test_a_run_broken_off_within_an_epoch_ends_as_one_that_was_left_alone(
    task: str, language_model_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, hidden words, drawn words, dropout and frozen layers all go on as they would."""
    pretrained = str(language_model_run.folder) if task == "classification" else ""
    config = replace(SMALL, data=str(table(tmp_path)), task=task, pretrained=pretrained)
    show = Fit._show

    def break_off(fit: Fit, progress: Progress, *others: object) -> None:
        if (progress.epoch, progress.step) == (1, 1):
            raise KeyboardInterrupt
        show(fit, progress, *others)

    train_in(tmp_path / "whole", config)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Fit, "_show", break_off)
        train_in(tmp_path / "broken", config)
    assert sorted((tmp_path / "broken" / "checkpoints").glob("000001-00000001.npz"))
    keras.utils.set_random_seed(99)
    assert train_in(tmp_path / "broken", config, resume=True).epoch == 2
    found, expected = last_checkpoint(tmp_path / "broken"), last_checkpoint(tmp_path / "whole")
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_data_that_cannot_be_trained_on_publishes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "text,label", *(f"hello {n},greet" for n in range(20)))
    options = RunOptions(runs=tmp_path / "runs", saved_models=tmp_path / "saved_models")
    with pytest.raises(DataError, match="every text is labelled 'greet'; expected two"):
        run(build_app(), replace(SMALL, data=str(path)), options)
    assert versions(tmp_path / "saved_models" / "nlp") == []


def test_a_metric_that_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    training = replace(SMALL.training, monitor="validation_accuracy")
    config = replace(LANGUAGE_MODEL, data=str(table(tmp_path)), training=training)
    options = RunOptions(runs=tmp_path / "runs", saved_models=tmp_path / "saved_models")
    with pytest.raises(ConfigError, match="validation_accuracy.*validation_perplexity"):
        run(build_app(), config, options)
