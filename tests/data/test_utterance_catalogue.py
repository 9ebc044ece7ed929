import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

import data
from data import public_utterances
from data.builders.atis.builder import Atis
from data.builders.slot_gated_slu import URL
from data.builders.snips.builder import Snips
from data.utterances import OUT_OF_SCOPE, Slot, read_utterances
from tests.public_sets import needs

FILES = {
    "train/seq.in": "fly to new york \nhi there\ngo home\nfares\n",
    "train/seq.out": "O O B-city I-city \nO O\nO I-city\nO\n",
    "train/label": "flight\ngreet\nflight#fare\nfare\n",
    "valid/seq.in": "to rome\n",
    "valid/seq.out": "O B-city\n",
    "valid/label": "flight\n",
    "test/seq.in": "on monday\nhey\n",
    "test/seq.out": "O B-day\nO\n",
    "test/label": "day\ngreet\n",
}


def found(splits: data.Splits, name: str) -> list[tuple[str, str, tuple[Slot, ...], str]]:
    utterances = read_utterances(getattr(splits, name), splits.labels)
    return [(u.text, u.intent, u.slots, u.where) for u in utterances]


@pytest.fixture(params=[Atis, Snips])
def slot_gated(request, tmp_path, monkeypatch):
    """The name of a set whose nine files are those above."""
    name = request.param.name

    def download(self, urls):
        def fetch(url: str) -> Path:
            path = tmp_path / url.removeprefix(f"{URL}{name}/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(FILES[url.removeprefix(f"{URL}{name}/")])
            return path

        return {split: {key: fetch(url) for key, url in u.items()} for split, u in urls.items()}

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    return name


def test_the_sets_of_three_files(slot_gated, tmp_path):
    splits = data.load(slot_gated, kind="utterances", data_dir=str(tmp_path / "tfds"))
    assert splits.labels == ("day", "fare", "flight", "flight#fare", "greet")
    assert found(splits, "train") == [
        ("fly to new york", "flight", (Slot("city", 7, 15),), f"{slot_gated}/train/0"),
        ("hi there", "greet", (), f"{slot_gated}/train/1"),
        ("go home", "flight#fare", (Slot("city", 3, 7),), f"{slot_gated}/train/2"),
        ("fares", "fare", (), f"{slot_gated}/train/3"),
    ]
    assert [row[:2] for row in found(splits, "validation")] == [("to rome", "flight")]
    assert [row[3] for row in found(splits, "test")] == [f"{slot_gated}/test/{r}" for r in (0, 1)]


def test_damaged_downloads_are_refused(slot_gated, tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, "test/seq.out", "O\nO\n")
    with pytest.raises(data.DataError, match="2 words and 1 tags"):
        data.load(slot_gated, kind="utterances", data_dir=str(tmp_path / "tfds"))


@pytest.mark.parametrize("builder", [Atis, Snips])
def test_checksums_are_registered_for_every_file(builder):
    expected = {f"{URL}{builder.name}/{path}" for path in FILES}
    assert set(builder.url_infos) == expected
    for url, info in builder.url_infos.items():
        assert info.size > 0
        assert len(bytes.fromhex(info.checksum)) == 32
        assert url.endswith(info.filename)


@pytest.mark.parametrize("builder", [Atis, Snips])
def test_sets_say_whose_they_are(builder, tmp_path):
    info = builder(data_dir=str(tmp_path)).info
    assert "@" in info.citation
    assert info.redistribution_info.license in ("For research use.", "CC0 1.0")


FAILURES = [ConnectionError, tfds.core.download.download_manager.NonMatchingChecksumError]


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_downloads_say_how_to_go_on(tmp_path, monkeypatch, failure):
    def refuse(self) -> None:
        raise failure("it failed")

    monkeypatch.setattr(Snips, "download_and_prepare", refuse)
    with pytest.raises(data.DataError, match="it failed. Run once on a connected machine"):
        data.load("snips", kind="utterances", data_dir=str(tmp_path))


class ClincOos(tfds.core.GeneratorBasedBuilder):
    """The features and splits of the published set."""

    name = "tiny_clinc_oos"
    VERSION = tfds.core.Version("0.1.0")

    def _info(self) -> tfds.core.DatasetInfo:
        texts = {key: tfds.features.Text() for key in ("text", "intent_name", "domain_name")}
        features = {**texts, "intent": np.int32, "domain": np.int32}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples("hi", "greet"),
            "validation": self._generate_examples("hello", "greet"),
            "test": self._generate_examples("hey", "greet"),
            "train_oos": self._generate_examples("why", "other"),
            "validation_oos": self._generate_examples("how", "other"),
            "test_oos": self._generate_examples("who", "oos"),
        }

    def _generate_examples(self, text: str, intent: str):
        row = {"intent": 0, "domain": 0, "domain_name": "talk"}
        yield 0, {"text": text, "intent_name": intent, **row}


def test_out_of_scope_splits_of_clinc_are_joined_to_the_others(tmp_path, monkeypatch):
    monkeypatch.setitem(public_utterances._BUILDERS, "clinc_oos", ClincOos)
    splits = data.load("clinc_oos", kind="utterances", data_dir=str(tmp_path))
    assert splits.labels == ("greet", OUT_OF_SCOPE)
    for name, texts in (("train", "hi why"), ("validation", "hello how"), ("test", "hey who")):
        rows = found(splits, name)
        assert [row[:3] for row in rows] == [
            (texts.split()[0], "greet", ()),
            (texts.split()[1], OUT_OF_SCOPE, ()),
        ]
        assert rows[1][3].endswith(f"/{name}_oos/0")


def test_clinc_is_known_to_tensorflow_datasets(tmp_path):
    builder = public_utterances._BUILDERS["clinc_oos"](data_dir=str(tmp_path))
    assert {"text", "intent_name"} <= set(builder.info.features)


def test_home_assistant():
    splits = data.load("home_assistant", kind="utterances")
    assert min(splits.train.size, splits.validation.size, splits.test.size) > 100
    assert OUT_OF_SCOPE in splits.labels
    _, everything = data.load_all("home_assistant", kind="utterances")
    sizes = (splits.train.size, splits.validation.size, splits.test.size)
    assert everything.size == sum(sizes)
    assert len(set(everything.ids)) == everything.size


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [
        {
            "text": f"{row} to rome",
            "intent": ("fly", "drive")[row % 2],
            "slots": [{"name": "to", "start": len(f"{row} to "), "end": len(f"{row} to rome")}],
        }
        for row in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_own_data_is_held_out_with_its_slots(own):
    def load(seed: int) -> data.Splits:
        fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
        return data.load(str(own), kind="utterances", seed=seed, **fractions)

    splits = load(1)
    assert splits.labels == ("drive", "fly")
    assert (splits.train.size, splits.validation.size, splits.test.size) == (28, 4, 8)
    for text, intent, (slot,), where in found(splits, "test"):
        row = int(text.split()[0])
        assert text[slot.start : slot.end] == "rome"
        assert (intent, where) == (("fly", "drive")[row % 2], f"{own}:{row + 1}")
    assert load(1).test.ids.tolist() == splits.test.ids.tolist() != load(2).test.ids.tolist()


def test_all_of_own_data(own):
    labels, split = data.load_all(str(own), kind="utterances")
    assert (labels, split.size) == (("drive", "fly"), 40)
    (slot,) = read_utterances(split, labels)[12].slots
    assert slot == Slot("to", 6, 10)


@pytest.mark.parametrize("name", ["no such thing", "/no/such/folder"])
def test_unknown_names_list_what_is_accepted(name):
    expected = r"no known name and no path; expected one of home_assistant, atis, .* \.jsonl"
    with pytest.raises(data.DataError, match=expected):
        data.load(name, kind="utterances")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        pytest.param("atis", (4478, 500, 893), marks=needs("atis")),
        pytest.param("snips", (13084, 700, 700), marks=needs("snips")),
    ],
)
def test_published_sets(name, sizes):
    splits = data.load(name, kind="utterances")
    assert (splits.train.size, splits.validation.size, splits.test.size) == sizes
    (first,) = read_utterances(splits.train.take(np.array([0])), splits.labels)
    values = {slot.name: first.text[slot.start : slot.end] for slot in first.slots}
    expected = {
        "atis": {
            "fromloc.city_name": "baltimore",
            "toloc.city_name": "dallas",
            "round_trip": "round trip",
        },
        "snips": {"artist": "westbam", "album": "allergic", "service": "google music"},
    }
    assert values == expected[name]
