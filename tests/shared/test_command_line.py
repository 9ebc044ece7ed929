import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.image_recognition.config import Config, ModelConfig
from shared.training.command_line import Arguments, RunOptions, parse_arguments
from shared.training.config import OptimizerConfig, TrainingConfig, to_dict

REPOSITORY = Path(__file__).parents[2]
PRESETS = {
    "quick": Config(training=TrainingConfig(epochs=2)),
    "best": Config(
        training=TrainingConfig(epochs=50), model=ModelConfig(widths=(16, 32), blocks=(1, 1))
    ),
}


def parse(*words: str) -> Arguments[Config]:
    return parse_arguments(PRESETS, "Trains.", words)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is printed on standard error for a command line that is refused."""
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    captured = capsys.readouterr()
    assert caught.value.code == 2
    assert captured.out == ""
    return _without_frames(captured.err)


def flags(value: object, prefix: str = "") -> Iterator[str]:
    for item in dataclasses.fields(value):
        field_value = getattr(value, item.name)
        if dataclasses.is_dataclass(field_value):
            yield from flags(field_value, f"{prefix}{item.name}.")
        else:
            yield f"--{prefix}{item.name}"


def _without_frames(text: str) -> str:
    return re.sub(r"[ \n]+", " ", re.sub("[─│╭╮╰╯]", " ", text))


def test_no_words_are_the_quick_preset():
    assert parse() == Arguments(RunOptions(), PRESETS["quick"])


def test_the_words_of_the_process_are_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "--seed", "5"])
    assert parse_arguments(PRESETS, "Trains.").config.seed == 5


def test_nested_flags_reach_their_groups():
    config = parse(
        "--data=mnist",
        "--seed=3",
        "--optimizer.name=sgd",
        "--optimizer.no_nesterov",
        "--training.xla",
        "--model.widths", "4", "8",
        "--model.blocks", "1", "0",
        "--augmentation.flip", "never",
    ).config  # fmt: skip
    assert (config.data, config.seed) == ("mnist", 3)
    assert config.optimizer == OptimizerConfig(name="sgd", nesterov=False)
    assert config.training == TrainingConfig(epochs=2, xla=True)
    assert config.model == ModelConfig(widths=(4, 8), blocks=(1, 0))
    assert config.augmentation.flip == "never"


def test_options_are_kept_apart_from_the_configuration():
    parsed = parse("--run", "a/b", "--runs=r", "--saved_models=s")
    assert parsed.options == RunOptions(run=Path("a/b"), runs=Path("r"), saved_models=Path("s"))
    assert parsed.config == PRESETS["quick"]


@pytest.mark.parametrize(
    "words",
    [
        ("--preset", "best", "--seed", "9"),
        ("--seed", "9", "--preset", "best"),
        ("--seed=9", "--preset=best"),
    ],
)
def test_flags_change_a_preset_wherever_they_stand(words):
    parsed = parse(*words)
    assert parsed.options.preset == "best"
    assert parsed.config == dataclasses.replace(PRESETS["best"], seed=9)


def test_flags_change_a_file_wherever_they_stand(tmp_path):
    config = Config(data="mnist", seed=4, training=TrainingConfig(epochs=7))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": to_dict(config)}))
    assert parse("--config", str(path)).config == config
    changed = dataclasses.replace(config, training=TrainingConfig(epochs=8))
    assert parse("--training.epochs=8", f"--config={path}").config == changed
    assert parse("--config", str(path), "--training.epochs=8").config == changed


def test_a_preset_and_a_file_together_are_refused(capsys, tmp_path):
    message = refusal(capsys, "--preset", "quick", "--config", str(tmp_path / "config.json"))
    assert "--preset and --config" in message
    assert "pass one of them" in message


def test_a_missing_file_is_refused_by_name(capsys, tmp_path):
    path = tmp_path / "none.json"
    assert f"--config {path}: " in refusal(capsys, "--config", str(path))


def test_an_unknown_preset_is_refused_with_the_known_ones(capsys):
    message = refusal(capsys, "--preset", "fast")
    assert all(word in message for word in ("--preset", "fast", "quick", "best"))


@pytest.mark.parametrize(
    ("flag", "suggestion"),
    [
        ("--optimizer.lerning_rate=1", "--optimizer.learning_rate"),
        ("--training.epoch=1", "--training.epochs"),
        ("--resum", "--resume"),
    ],
)
def test_an_unknown_flag_is_refused_with_a_suggestion(capsys, flag, suggestion):
    message = refusal(capsys, flag)
    assert flag.partition("=")[0] in message
    assert suggestion in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--training.batch_size=0"], ["training", "batch_size is 0, expected at least 1"]),
        (["--optimizer.momentum", "1"], ["optimizer", "momentum is 1.0, expected less than 1"]),
        (["--seed=-1"], ["seed is -1, expected at least 0"]),
        (["--model.widths", "8", "0"], ["model", "widths is (8, 0), expected each at least 1"]),
        (["--model.widths"], ["model", "widths is ()"]),
        (["--optimizer.learning_rate=fast"], ["--optimizer.learning_rate", "fast"]),
        (["--optimizer.name=adamant"], ["--optimizer.name", "adamant", "adamw"]),
        (["--model.widths=8"], ["--model.widths 1. Pass one number of each per stage"]),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_field(capsys, words, expected):
    message = refusal(capsys, *words)
    assert all(part in message for part in expected), message


def test_resume_takes_options_but_no_other_configuration(capsys, tmp_path):
    assert parse("--resume", "--run", "r").options == RunOptions(resume=True, run=Path("r"))
    assert "and --seed, --training would change it" in refusal(
        capsys, "--resume", "--seed=3", "--training.epochs=9"
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(PRESETS["best"])))
    assert "and --config would change it" in refusal(capsys, "--resume", f"--config={path}")


@pytest.mark.parametrize("preset", PRESETS)
def test_help_explains_every_flag(capsys, preset):
    with pytest.raises(SystemExit) as caught:
        parse("--preset", preset, "--help")
    captured = capsys.readouterr()
    assert caught.value.code == 0
    text = re.sub("[─│╭╮╰╯]", " ", captured.out)
    assert "Trains." in text
    # From a line that starts with a flag, up to the next such line or the end.
    entries = re.findall(r"^ +(--\S+)(.*?)(?=^ +--|\Z)", text, re.MULTILINE | re.DOTALL)
    explanations = {flag.rstrip(","): " ".join(entry.split()) for flag, entry in entries}
    for flag in [*flags(RunOptions()), *flags(PRESETS[preset])]:
        words = re.search(r" ([A-Za-z][^{}]{10,}) \(default: ", explanations[flag])
        assert words, f"{flag} has no explanation: {explanations[flag]!r}"


def test_help_shows_the_defaults_of_the_preset(capsys):
    with pytest.raises(SystemExit):
        parse("--preset=best", "--help")
    assert re.search(
        r"--training\.epochs INT.*?\(default: 50\)", capsys.readouterr().out, re.DOTALL
    )


@pytest.mark.parametrize("script", ["train", "evaluate", "predict"])
def test_help_does_not_wait_for_tensorflow(script):
    command = [sys.executable, "-X", "importtime", "-m", f"apps.image_recognition.{script}"]
    result = subprocess.run(
        [*command, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "--help" in result.stdout
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "tyro" in packages
    assert not packages & {"tensorflow", "keras"}
