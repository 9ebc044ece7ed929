"""Requests to a home assistant: the data set of the NLU app that needs no download."""

from pathlib import Path

from data.readers.grammar import read_grammar
from data.utterances import Utterance

GRAMMAR = Path(__file__).with_name("home_assistant.grammar")


def read_home_assistant() -> list[Utterance]:
    """Makes the sentences of `home_assistant.grammar`, which are synthetic.

    Returns:
        About 5000 training, 600 validation and 1200 test sentences, whose phrasings and open
        slot values are not those of the training sentences.
    """
    return read_grammar(GRAMMAR)[0]
