"""All that reads transcripts off logits, exported in one graph."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from shared.export.verification import ALLOWED_OPS
from shared.layers.character_language_model import CharacterLanguageModel
from shared.layers.ctc_alignment import align
from shared.layers.ctc_beam_search import beam_decode
from shared.layers.ctc_decoding import greedy_decode
from shared.layers.ctc_frames import mask_logits
from shared.layers.ctc_words import join_words
from shared.training.character_ngram_learning import learn_character_ngrams

ALPHABET = ("a", "é", " ", "b")


class Transcriber(tf.Module):
    """Greedy words, and those of a beam with a language model, with their frames."""

    def __init__(self) -> None:
        super().__init__()
        model = learn_character_ngrams(["a é", "ab ba", "éé"], ALPHABET, order=3)
        self.transitions = tf.Variable(model.transitions, trainable=False)
        self.log_probabilities = tf.Variable(model.log_probabilities, trainable=False)
        self.start = model.start

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 5)), tf.TensorSpec((None,), tf.int32)],
        autograph=False,
    )
    def __call__(self, logits: tf.Tensor, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = mask_logits(logits, frames)
        model = CharacterLanguageModel(self.transitions, self.log_probabilities, self.start)
        beam = beam_decode(logits, 8, model, language_weight=0.5, length_bonus=0.5)
        aligned = align(logits, beam.labels)
        parts = {
            "greedy": greedy_decode(logits),
            "greedy_words": join_words(greedy_decode(logits), ALPHABET),
            "beam": beam,
            "aligned": aligned,
            "aligned_words": join_words(aligned, ALPHABET),
        }
        return {
            f"{part}_{name}": value
            for part, values in parts.items()
            for name, value in values._asdict().items()
        }


def test_the_exported_graph_gives_the_same(tmp_path: Path):
    module = Transcriber()
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    for rows, frames in ((4, 30), (1, 1), (2, 0), (0, 3)):
        random = np.random.default_rng(frames)
        logits = random.normal(size=(rows, frames, 5)).astype(np.float32) * 2
        counts = random.integers(0, frames + 1, rows).astype(np.int32)
        found, expected = loaded(logits, counts), module(logits, counts)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(expected["beam_labels"], expected["aligned_labels"])


def test_the_graph_has_only_operations_that_a_server_has():
    module = Transcriber()
    graph = module.__call__.get_concrete_function().graph.as_graph_def()
    operations = {node.op for node in graph.node}
    operations |= {node.op for function in graph.library.function for node in function.node_def}
    assert operations <= ALLOWED_OPS
