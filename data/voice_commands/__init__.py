"""Spoken requests to a home assistant: the data set of the speech app that needs no download.

SYNTHETIC: no person was recorded. The sentences are those of `data/home_assistant.grammar` that
are written in its 200 most frequent words, and espeak-ng 1.51 spoke them in 88 English voices, at
many rates and pitches; rooms and noise were added. Results say that training works, not how well
a model understands people.

The voices of test and validation are not heard in training, in no accent, and their sentences are
not said there; all their words are. `train.csv`, `validation.csv` and `test.csv` have the columns
`path,start,end,speaker,text`, with times in seconds. The recordings are 16 kHz mono Ogg Opus, one
file a voice. `synthesize.py` made all this.

The sentences are Quartet's own and the recordings are the output of a program, so both come under
Quartet's license; espeak-ng itself, under GPL 3, is no part of it.
"""

from pathlib import Path

PATH = Path(__file__).parent
"""The folder with the csv files."""
