"""A user's own recordings, in every form that they may have, from the files to a trained model."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from apps.speech_recognition.config import (
    QUICK,
    AudioConfig,
    DecodingConfig,
    ModelConfig,
    RecordingConfig,
    SplitConfig,
)
from apps.speech_recognition.dataset import build_augmentation, load, load_split, prepare
from apps.speech_recognition.preprocess import AudioPreprocess
from apps.speech_recognition.train import build_app
from data import DataError
from shared.export.saved_model import load_saved_model
from shared.training.batching import StreamedBatches, build_batches
from tests.conftest import FinishedRun, finish_run
from tests.made_up import SUNG_WORDS, sing, write_songs

SMALL = replace(
    QUICK,
    audio=AudioConfig(sample_rate=8000, mel_bins=20),
    model=ModelConfig(filters=2, units=4, layers=1),
    decoding=DecodingConfig(),
    training=replace(
        QUICK.training, epochs=1, minimum_steps=0, batch_size=8, checkpoint_seconds=1e-3
    ),
)


def word_folders(folder: Path) -> Path:
    """Clips in one folder per word, and noise, as Speech Commands has them."""
    generator = np.random.default_rng(0)
    for word in SUNG_WORDS:
        (folder / word).mkdir(parents=True)
        for index in range(12):
            samples = sing([word], loudness=float(generator.uniform(0.2, 0.5)))
            soundfile.write(folder / word / f"s{index % 4}_nohash_{index}.wav", samples, 8000)
    (folder / "_background_noise_").mkdir()
    noise = generator.normal(0, 0.02, 8000 * 12).astype(np.float32)
    soundfile.write(folder / "_background_noise_" / "hum.wav", noise, 8000)
    return folder


def segments(folder: Path) -> Path:
    """Two long Ogg files, of which a manifest with JSON lines names the parts."""
    rows = []
    for name, split in (("long", "train"), ("other", "test")):
        words = ["ab", "bc", "ca"] * 8
        soundfile.write(folder / f"{name}.ogg", sing(words), 8000)
        for index, word in enumerate(words):
            start = 0.52 * index
            rows.append(
                f'{{"path": "{name}.ogg", "sentence": "{word.title()}!", "start": {start:.2f}, '
                f'"end": {start + 0.72:.2f}, "split": "{split}"}}'
            )
    (folder / "parts.jsonl").write_text("\n".join(rows))
    return folder / "parts.jsonl"


# Tables with one recording per row are what `speech_run` and `keyword_run` are trained on.
def test_a_folder_per_word_trains_and_answers(tmp_path: Path) -> None:
    config = replace(SMALL, data=str(word_folders(tmp_path / "own")), task="keywords")
    done = finish_run(build_app(), config, tmp_path / "out")
    samples = [Path(path).read_bytes() for path in done.result["samples"]]
    answer = load_saved_model(done.model).predict(audio_bytes=samples)
    assert samples and set(answer["error"].tolist()) == {b""}
    labels = (done.model / "assets.extra" / "labels.txt").read_text().splitlines()
    assert labels == list(load(config).splits.labels)


def test_segments_of_long_files_are_what_a_network_hears(tmp_path: Path) -> None:
    config = replace(SMALL, data=str(segments(tmp_path)))
    splits = load(config).splits
    prepare_example = prepare(config, AudioPreprocess(8000, 10.0), splits.labels)
    heard: Counter[str] = Counter()
    for split in (splits.train, splits.validation, splits.test):
        for example in split.read(None):
            inputs, target = prepare_example(example)
            heard["".join(splits.labels[index] for index in target)] += 1
            assert int(inputs["length"]) == pytest.approx(0.72 * 8000, abs=8)
    assert heard == dict.fromkeys(SUNG_WORDS, 16)


def test_a_folder_of_words_has_silence_and_unknown(tmp_path: Path) -> None:
    config = replace(
        SMALL,
        data=str(word_folders(tmp_path)),
        task="keywords",
        recording=RecordingConfig(words=("ab",), silence_fraction=0.2),
    )
    splits = load(config).splits
    assert splits.labels == ("ab", "unknown", "silence")
    assert (np.bincount(splits.train.labels, minlength=3) > 0).all()


def test_a_speaker_can_be_left_out(tmp_path: Path) -> None:
    config = replace(
        SMALL,
        data=str(write_songs(tmp_path, 2)),
        split=SplitConfig(test_speakers=("speaker 1",)),
    )
    splits = load(config).splits
    assert set(splits.test.annotations["speakers"]) == {b"speaker 1"}
    for split in (splits.train, splits.validation):
        assert b"speaker 1" not in set(split.annotations["speakers"])
    with pytest.raises(DataError, match="nobody"):
        load(replace(config, split=SplitConfig(test_speakers=("nobody",))))


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    good = write_songs(tmp_path, 2, 24)
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    soundfile.write(tmp_path / "short.wav", sing([])[:400] + 0.1, 8000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    rows = ["silent.wav,ab,x,train", "short.wav,ab bc,x,train", "broken.wav,ab,x,train"]
    good.write_text("\n".join([good.read_text(), *rows]))
    found = "\n".join(
        f"{p.where}: {p.message}" for p in load(replace(SMALL, data=str(good))).problems
    )
    for name in ("silent.wav", "short.wav", "broken.wav"):
        assert name in found


def test_characters_that_training_lacks_are_left_out_of_targets(tmp_path: Path) -> None:
    preprocess = AudioPreprocess(8000, 10.0)
    prepare_example = prepare(SMALL, preprocess, ("a", "é"))
    soundfile.write(tmp_path / "a.wav", sing(["ab"]), 8000)
    sound = tf.constant((tmp_path / "a.wav").read_bytes())
    example = {"input": sound, "transcripts": "éxa"}
    inputs, target = prepare_example(example)
    assert target.numpy().tolist() == [1, 0]
    assert int(inputs["length"]) == len(inputs["waveform"]) == len(sing(["ab"]))


def test_a_streamed_set_has_the_same_batches(tmp_path: Path) -> None:
    config = replace(SMALL, data=str(write_songs(tmp_path, 2, 24)))
    splits = load(config).splits
    prepared = prepare(config, AudioPreprocess(8000, 10.0), splits.labels)
    streamed = build_batches(splits.validation, prepared, 4, cache_gigabytes=0)
    cached = build_batches(splits.validation, prepared, 4, cache_gigabytes=1)
    assert isinstance(streamed, StreamedBatches)
    totals = [
        sum(float(np.abs(inputs["waveform"]).sum()) for inputs, _ in batches.epoch())
        for batches in (streamed, cached)
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)


def test_augmentation_changes_training_alone(tmp_path: Path) -> None:
    layer = build_augmentation(QUICK, AudioPreprocess(16_000, 10.0), ())
    assert layer is not None
    samples = sing(["ab", "bc"], 16_000)
    inputs = {"waveform": samples[None], "length": np.array([len(samples)], np.int32)}
    targets = np.array([1.0], np.float32)
    same, _ = layer(inputs, targets, training=False)
    np.testing.assert_array_equal(same["waveform"], samples[None])
    changed, kept = layer(inputs, targets, training=True)
    np.testing.assert_array_equal(kept, targets)
    heard = changed["waveform"][0, : int(changed["length"][0])]
    assert np.isfinite(heard).all()
    assert len(heard) != len(samples) or not np.array_equal(heard, samples)


def test_evaluation_reads_the_split_that_is_asked_for(speech_run: FinishedRun) -> None:
    sizes = {name: load_split(speech_run.config, name)[1].size for name in ("train", "test", "all")}
    assert sizes == {"train": 200, "test": 50, "all": 300}
