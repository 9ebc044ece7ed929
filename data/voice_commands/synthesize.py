"""Makes the recordings of `voice_commands`: espeak-ng in a room, with noise.

    python -m data.voice_commands.synthesize --output FOLDER

needs espeak-ng 1.51 or newer on the path and takes four minutes. The same seed gives the same
sentences, voices, rooms and noises; other versions of espeak-ng speak a little differently.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from librosa import resample
from librosa.effects import trim

from data.home_assistant import read_home_assistant
from data.recordings import normalize_transcript

SAMPLE_RATE = 16_000
CLIPS = {"train": 1350, "validation": 100, "test": 200}
MAX_WORDS = 8
VOCABULARY = 150

ACCENTS = ("en-us", "en-gb", "en-us-nyc", "en-gb-x-rp")
ACCENTS_OF_A_VARIANT = 3
# Variants that sound alike, such as Michael, gustave and marcelo, are in one split at most; those
# that hardly sound like people are in none.
VARIANTS = {
    "train": (
        "f1 f4 aunty linda belinda grandma steph m1 m3 m7 m8 grandpa Diogo Denis victor robert "
        "quincy max Mike iven4 klatt edward benjamin john Mario Gene"
    ).split(),
    "validation": "Annie Alex m4 paul".split(),
    "test": "f2 f3 f5 m2 m5 ed Michael sandro".split(),
}

RATES = (110, 160)
"""Words per minute, as espeak-ng counts them; what it says is a quarter faster."""
PITCHES = (30, 70)
"""espeak-ng's own scale, from 0 to 99."""
NOISE_RATIOS = (15.0, 40.0)
"""Speech to noise, in decibels."""
NOISE_SLOPES = (0.0, 2.0)
"""Power falls with this power of the frequency: 0 is white, 1 is pink, 2 is brown noise."""
REVERBERATION_TIMES = (0.1, 0.35)
"""Seconds until the sound of a room has fallen by 60 decibels."""
DIRECT_RATIOS = (6.0, 20.0)
"""Direct to reflected sound, in decibels."""
LEVELS = (-18.0, -2.0)
"""Peak of a clip, in decibels of full scale."""
MARGINS = (0.08, 0.2)
"""Seconds before and after the speech."""
GAP = 0.1
"""Seconds of silence between clips."""

_STEP = SAMPLE_RATE // 100
_COMPRESSION = 0.98  # About 11 kbit/s.
_COLUMNS = ("path", "start", "end", "speaker", "text")


class Voice(NamedTuple):
    """A voice of espeak-ng.

    Args:
        accent: A language, such as `"en-gb"`.
        variant: A speaker, such as `"f2"`.
    """

    accent: str
    variant: str


class Clip(NamedTuple):
    """A row of a csv file, with its columns in their order."""

    path: str
    start: str
    end: str
    speaker: str
    text: str


def synthesize(output: Path, clips: Mapping[str, int] = CLIPS, seed: int = 0) -> None:
    """Writes a data set.

    Args:
        output: Folder to write into, made if need be.
        clips: How many clips each split gets.
        seed: Seed of sentences, rooms, noise, rates and pitches.

    Raises:
        FileNotFoundError: If espeak-ng is not on the path.
    """
    (output / "voices").mkdir(parents=True, exist_ok=True)
    for split, sentences in choose_sentences().items():
        generator = np.random.default_rng([seed, len(sentences)])
        rows: list[Clip] = []
        for voice, texts in _assign(sentences, voices(split), clips[split], generator):
            rows += _write_voice(output, voice, texts, generator)
        _write_rows(output / f"{split}.csv", rows)


def choose_sentences() -> dict[str, list[str]]:
    """The sentences of each split: short, without digits, in frequent words.

    Returns:
        Transcripts by split. The words of all are those of the training sentences that are left
        when all sentences with the rarest word are dropped until `VOCABULARY` words remain.
    """
    short: dict[str, list[str]] = {}
    for utterance in read_home_assistant():
        text = normalize_transcript(utterance.text)
        if len(text.split()) <= MAX_WORDS and not re.search(r"\d", text):
            short.setdefault(utterance.split, []).append(text)
    short["train"] = _drop_rare_words(short["train"])
    known = {word for text in short["train"] for word in text.split()}
    return {
        split: [text for text in dict.fromkeys(texts) if known.issuperset(text.split())]
        for split, texts in short.items()
    }


def voices(split: str) -> list[Voice]:
    """The voices of a split: each of its variants in several accents."""
    return [
        Voice(ACCENTS[(number + 3 * turn) % len(ACCENTS)], variant)
        for turn in range(ACCENTS_OF_A_VARIANT)
        for number, variant in enumerate(VARIANTS[split])
    ]


def _drop_rare_words(sentences: Sequence[str]) -> list[str]:
    kept = {text: text.split() for text in sentences}
    counts = Counter(word for words in kept.values() for word in words)
    while len(counts) > VOCABULARY:
        rarest = min(counts, key=lambda word: (counts[word], word))
        for text in [text for text, words in kept.items() if rarest in words]:
            counts.subtract(kept.pop(text))
        counts = +counts
    return list(kept)


def _assign(
    sentences: Sequence[str], speakers: Sequence[Voice], count: int, generator: np.random.Generator
) -> Iterator[tuple[Voice, list[str]]]:
    """Deals `count` sentences to voices; none comes again before all have come."""
    rounds = -(-count // len(sentences))
    dealt = [text for _ in range(rounds) for text in generator.permutation(sentences)][:count]
    for number, voice in enumerate(speakers):
        if texts := dealt[number :: len(speakers)]:
            yield voice, texts


def _write_voice(
    output: Path, voice: Voice, texts: Sequence[str], generator: np.random.Generator
) -> list[Clip]:
    """Writes the recording of a voice, one clip behind the other."""
    path = f"voices/{voice.accent}-{voice.variant.lower()}.ogg"
    gap = np.zeros(round(GAP * SAMPLE_RATE), dtype=np.float32)
    parts, rows, position = [gap], [], len(gap)
    for text in texts:
        clip = _record(text, voice, generator)
        start, end = (f"{p / SAMPLE_RATE:.2f}" for p in (position, position + len(clip)))
        rows.append(Clip(path, start, end, "+".join(voice), text))
        parts += [clip, gap]
        position += len(clip) + len(gap)
    _write_opus(output / path, np.concatenate(parts))
    return rows


def _record(text: str, voice: Voice, generator: np.random.Generator) -> np.ndarray:
    """Says a sentence in a room with noise, `(samples,)`, a whole number of hundredths."""
    speech = _speak(text, voice, generator)
    before, after = (round(s * SAMPLE_RATE) for s in generator.uniform(*MARGINS, size=2))
    after += -(before + len(speech) + after) % _STEP
    clip = _reverberate(np.pad(speech, (before, after)), generator)
    ratio = 10 ** (generator.uniform(*NOISE_RATIOS) / 20)
    clip += _noise(len(clip), generator) * np.std(speech) / ratio
    level = 10 ** (generator.uniform(*LEVELS) / 20)
    return (level * clip / np.abs(clip).max()).astype(np.float32)


def _speak(text: str, voice: Voice, generator: np.random.Generator) -> np.ndarray:
    """What espeak-ng says, without the silence around it, `(samples,)`."""
    rate, pitch = generator.integers(*RATES), generator.integers(*PITCHES)
    command = ["espeak-ng", "-v", "+".join(voice), "-s", str(rate), "-p", str(pitch), "-a", "50"]
    wav = subprocess.run([*command, "--stdout", text], check=True, capture_output=True).stdout
    waveform, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    waveform = resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE)
    return trim(waveform, top_db=50, frame_length=512, hop_length=128)[0]


def _reverberate(waveform: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Adds reflections that decay, in a waveform of the same length."""
    seconds = generator.uniform(*REVERBERATION_TIMES)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    response = generator.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response *= 10 ** (-generator.uniform(*DIRECT_RATIOS) / 20) / np.linalg.norm(response)
    response[0] = 1
    size = len(waveform) + len(response)
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(waveform)]


def _noise(samples: int, generator: np.random.Generator) -> np.ndarray:
    """Noise of a random colour and standard deviation 1."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequency = np.maximum(np.arange(len(spectrum)), 50 * samples / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * frequency ** (-generator.uniform(*NOISE_SLOPES) / 2), samples)
    return noise / np.std(noise)


def _write_opus(path: Path, waveform: np.ndarray) -> None:
    soundfile.write(
        path,
        waveform,
        SAMPLE_RATE,
        format="OGG",
        subtype="OPUS",
        compression_level=_COMPRESSION,
    )


def _write_rows(path: Path, rows: Sequence[Clip]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the recordings of voice_commands.")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")
    arguments = parser.parse_args()
    synthesize(arguments.output, seed=arguments.seed)


if __name__ == "__main__":
    main()
