"""Product reviews: the data set of the NLP app that needs no download."""

from pathlib import Path

from data.readers.grammar import read_grammar
from data.texts import Text

GRAMMAR = Path(__file__).with_name("reviews.grammar")


def read_reviews() -> list[Text]:
    """Makes the reviews of `reviews.grammar`, which are synthetic.

    Returns:
        7000 training, 600 validation and 1000 test reviews, half of them `"negative"` and half
        `"positive"`. Each split has phrasings of its own; words of praise and blame are shared.
    """
    return [
        Text(made.text, (made.intent,), made.split, made.where) for made in read_grammar(GRAMMAR)[0]
    ]
