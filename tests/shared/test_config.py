import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.image_recognition.config import (
    PRESETS,
    AugmentationConfig,
    Config,
    ModelConfig,
    SplitConfig,
)
from shared.training.config import (
    ConfigError,
    LossConfig,
    OptimizerConfig,
    TrainingConfig,
    from_dict,
    read_config,
    to_dict,
)

FRACTIONS = st.floats(0, 1, exclude_max=True)
CONFIGS = st.builds(
    Config,
    data=st.text(),
    seed=st.integers(0, 2**32 - 1),
    loss=st.builds(LossConfig, label_smoothing=FRACTIONS),
    optimizer=st.builds(
        OptimizerConfig,
        name=st.sampled_from(["sgd", "adamw", "muon"]),
        learning_rate=st.floats(0, exclude_min=True, allow_infinity=False),
        momentum=FRACTIONS,
        nesterov=st.booleans(),
    ),
    training=st.builds(TrainingConfig, epochs=st.integers(1), batch_size=st.integers(1)),
    model=st.lists(st.integers(1), min_size=1).map(
        lambda widths: ModelConfig(widths=tuple(widths), blocks=(1,) * len(widths))
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "seed", "image", "size", "model", "blocks", "loss", "name"]),
            values,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("group", "field", "value", "expected"),
    [
        (TrainingConfig, "batch_size", 0, "at least 1"),
        (TrainingConfig, "epochs", -3, "at least 1"),
        (TrainingConfig, "patience", -1, "at least 0"),
        (TrainingConfig, "checkpoint_seconds", 0.0, "more than 0"),
        (TrainingConfig, "cache_gigabytes", -0.5, "at least 0"),
        (OptimizerConfig, "learning_rate", 0.0, "more than 0"),
        (OptimizerConfig, "learning_rate", math.nan, "more than 0"),
        (OptimizerConfig, "learning_rate", math.inf, "less than inf"),
        (OptimizerConfig, "momentum", 1.0, "less than 1"),
        (OptimizerConfig, "average_decay", -0.1, "at least 0"),
        (LossConfig, "label_smoothing", 1.5, "less than 1"),
        (SplitConfig, "validation_fraction", 0.0, "more than 0"),
        (SplitConfig, "test_fraction", 0.5, "less than 0.5"),
        (AugmentationConfig, "rand_augment", 11, "at most 10"),
        (AugmentationConfig, "cutmix", 1.5, "at most 1"),
        (ModelConfig, "widths", (8, 0, -1), "each at least 1"),
        (ModelConfig, "widths", (), "1 or more of them"),
        (Config, "seed", 2**32, f"less than {2**32}"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_was_expected(group, field, value, expected):
    with pytest.raises(ConfigError) as caught:
        group(**{field: value})
    assert str(caught.value) == f"{field} is {value!r}, expected {expected}."


@pytest.mark.parametrize(
    ("group", "field", "value"),
    [
        (TrainingConfig, "batch_size", 1),
        (TrainingConfig, "patience", 0),
        (OptimizerConfig, "momentum", 0.0),
        (AugmentationConfig, "rand_augment", 10),
        (Config, "seed", 2**32 - 1),
        (ModelConfig, "widths", (1,)),
    ],
)
def test_the_limits_themselves_are_accepted(group, field, value):
    assert getattr(group(**{field: value}), field) == value


def test_all_values_out_of_range_are_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(epochs=0, batch_size=-1)
    assert "epochs is 0" in str(caught.value)
    assert "batch_size is -1" in str(caught.value)


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["quick"].seed = 1


def test_every_stage_needs_its_number_of_blocks():
    Config(model=ModelConfig(widths=(8, 8, 8), blocks=(0, 1, 2)))
    with pytest.raises(ConfigError, match=r"--model\.blocks has 2 numbers and --model\.widths 3"):
        Config(model=ModelConfig(widths=(8, 8, 8), blocks=(0, 1)))


def test_label_smoothing_goes_with_cross_entropy_only():
    Config(loss=LossConfig("cross_entropy", 0.1))
    Config(loss=LossConfig("mean_squared_error", 0.0))
    with pytest.raises(ConfigError, match=r"--loss\.label_smoothing"):
        Config(loss=LossConfig("mean_squared_error", 0.1))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_a_file(preset):
    values = json.loads(json.dumps(to_dict(PRESETS[preset])))
    assert from_dict(Config, values) == PRESETS[preset]


@settings(deadline=None)  # A busy machine is no failure.
@given(CONFIGS)
def test_every_configuration_survives_a_file(config):
    restored = from_dict(Config, json.loads(json.dumps(to_dict(config))))
    assert restored == config
    assert type(restored.model.widths) is tuple


def test_missing_fields_have_their_defaults():
    assert from_dict(Config, {}) == Config()
    expected = Config(training=TrainingConfig(epochs=3))
    assert from_dict(Config, {"training": {"epochs": 3}}) == expected


def test_all_problems_of_a_dictionary_are_listed_at_once():
    values = {
        "colour": "red",
        "seed": "soon",
        "image": {"sizes": 8},
        "optimizer": {"name": "adamant", "momentum": 1.0},
        "training": {"epochs": 1.5, "batch_size": 0},
        "model": {"widths": [8, 0]},
    }
    with pytest.raises(ConfigError) as caught:
        from_dict(Config, values)
    lines = str(caught.value).splitlines()
    for place, value in {
        "colour": "'red'",
        "seed": "'soon'",
        "image.sizes": "8",
        "optimizer.name": "'adamant'",
        "optimizer.momentum": "1.0",
        "training.epochs": "1.5",
        "training.batch_size": "0",
        "model.widths.1": "0",
    }.items():
        assert any(line.strip().startswith(f"{place} is {value}: ") for line in lines), place


def test_a_dictionary_with_an_impossible_combination_says_which():
    with pytest.raises(ConfigError) as caught:
        from_dict(Config, {"model": {"widths": [8, 8], "blocks": [1]}})
    assert str(caught.value).strip().startswith("--model.blocks has 1 numbers")


@settings(deadline=None)  # A busy machine is no failure.
@given(JSON)
def test_any_json_is_a_configuration_or_a_configuration_error(values):
    try:
        config = from_dict(Config, values)
    except ConfigError as error:
        assert str(error).strip()
    else:
        assert from_dict(Config, to_dict(config)) == config


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(ConfigError, match="No such file") as caught:
        read_config(Config, path)
    assert f"--config {path}" in str(caught.value)
    assert "Pass the config.json of a run" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{'seed': 1}", b"\xff\xfe", b"[]", b"3", b"null", b'{"config": 3}'],
)
def test_a_file_that_holds_no_configuration_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(Config, path)
    assert str(caught.value).startswith(f"--config {path}:")


@pytest.mark.parametrize("wrap", [lambda values: values, lambda values: {"config": values}])
def test_plain_and_exported_files_are_read(tmp_path, wrap):
    config = Config(data="mnist", seed=7, model=ModelConfig(widths=(4, 8), blocks=(1, 1)))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(wrap(to_dict(config))))
    assert read_config(Config, path) == config


def test_what_surrounds_an_exported_configuration_is_ignored(tmp_path):
    details = {"app": "image_recognition", "config": to_dict(Config(seed=3)), "git_commit": None}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(details))
    assert read_config(Config, path) == Config(seed=3)
