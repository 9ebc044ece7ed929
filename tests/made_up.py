"""Data that tests make up: sentences, texts, and tones that stand for words."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

GRAMMAR = """
list room
    kitchen | living room | bedroom | hall | attic
list device
    lamp | radio | heater | fan | desk lamp
list time
    seven | (six|eight|nine) thirty | noon
list artist
    the owls | paper boats | anna grey
intent turn_on 40
    turn on the {device} [in the {room}] [please] | [please] switch the {room} {device} on
intent turn_off 40
    turn off the {device} [in the {room}] [please] | [please] switch the {room} {device} off
intent set_alarm 15
    wake me at {time} [please] | [please] set an alarm for {time}
intent play_music 15
    play [something by] {artist} [in the {room}] | i want to hear {artist}
intent out_of_scope 30
    (who|what) is (the president|your name|the capital|love) [today|really|again]
    (sell|buy|find) (a car|some stamps|two tickets) [today|now]
"""
THINGS = ("kettle", "lamp", "chair", "radio", "blanket", "garden hose")
OPINIONS = {
    "good": ("lovely", "superb", "splendid", "flawless"),
    "bad": ("awful", "dreadful", "broken", "useless"),
}
REVIEWS = (
    "the {thing} is {word}",
    "what a {word} {thing} this is",
    "we bought the {thing} in spring and it is {word}",
    "my {thing} came late, it looks {word}.",
)
QUESTIONS = (
    "where is my {thing}?",
    "does the {thing} work in winter?",
    "who has seen the {thing} in spring?",
    "is this {thing} what we bought?",
)


def made_up_texts() -> list[tuple[str, str]]:
    """Texts with their labels: one word, or the question mark, decides."""
    rows = [
        (frame.format(thing=thing, word=word), label)
        for label, words in OPINIONS.items()
        for frame, word, thing in product(REVIEWS, words, THINGS)
    ]
    return rows + [(q.format(thing=t), "question") for q, t in product(QUESTIONS, THINGS)]


TONES = {"a": 300.0, "b": 900.0, "c": 2500.0}
"""Frequency of the sound of each letter, in Hz."""
SUNG_WORDS = ("ab", "bc", "ca")
LETTER_SECONDS, PAUSE_SECONDS = 0.16, 0.2
WORD_SECONDS = 2 * LETTER_SECONDS


def sing(words: Sequence[str], sample_rate: int = 8000, loudness: float = 0.3) -> np.ndarray:
    """A waveform of a tone for each letter, with pauses around words; float32 `(samples,)`."""
    pause = np.zeros(round(PAUSE_SECONDS * sample_rate))
    seconds = np.arange(round(LETTER_SECONDS * sample_rate)) / sample_rate
    envelope = loudness * np.hanning(len(seconds))
    sounds = {
        letter: envelope * np.sin(2 * np.pi * frequency * seconds)
        for letter, frequency in TONES.items()
    }
    parts = [[*(sounds[letter] for letter in word), pause] for word in words]
    return np.concatenate([pause, *sum(parts, [])]).astype(np.float32)


def write_songs(folder: Path, most_words: int, number: int = 300) -> Path:
    """Recordings of one to `most_words` words with faint noise, as a manifest of three speakers."""
    import soundfile

    generator = np.random.default_rng(0)
    rows = ["path,text,speaker,split"]
    for index in range(number):
        words = generator.choice(SUNG_WORDS, generator.integers(1, most_words + 1)).tolist()
        samples = sing(words, loudness=float(generator.uniform(0.2, 0.5)))
        noise = generator.normal(0, generator.choice([0, 0.0005, 0.002]), samples.shape)
        soundfile.write(folder / f"{index}.wav", samples + noise, 8000)
        split = "test" if index % 6 == 0 else "validation" if index % 6 == 1 else "train"
        rows.append(f"{index}.wav,{' '.join(words)},speaker {index // 6 % 3},{split}")
    manifest = folder / "songs.csv"
    manifest.write_text("\n".join(rows))
    return manifest
