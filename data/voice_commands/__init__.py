"""Spoken requests to a home assistant: the data set of the speech app that needs no download.

SYNTHETIC: no person was recorded. The sentences are those of `data/home_assistant.grammar` that
are short and written in 150 of its frequent words; espeak-ng 1.51 spoke them in 114 English
voices, four accents of 38 speakers, at many rates and pitches; rooms and noise were added.
Vocabulary, accents, speakers and rates were chosen after a look at the mistakes of a network, so
that a small one learns the set in minutes. Results say that training works, not how well a model
understands people.

The speakers of validation and test are not heard in training, and their sentences are not said
there; all their words are. `train.csv`, `validation.csv` and `test.csv` have the columns
`path,start,end,speaker,text`, with times in seconds. The recordings are 16 kHz mono Ogg Opus, one
file a voice. `synthesize.py` made all this.

The sentences are Quartet's own and the recordings are the output of a program, so both come under
Quartet's license; espeak-ng itself, under GPL 3, is no part of it.
"""

from pathlib import Path

PATH = Path(__file__).parent
"""The folder with the csv files."""
