"""The likeliest labels by the logits of connectionist temporal classification and a language model.

Prefix search with a beam: Graves et al., "Connectionist temporal classification", 2006, section
3.2; Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs", 2014, https://arxiv.org/abs/1408.2873.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from shared.layers.character_language_model import CharacterLanguageModel
from shared.layers.ctc_frames import count_frames

# All other labels are too unlikely at a frame to be worth their time.
_LABELS_PER_FRAME = 10
# An odd constant with well-mixed bits: the golden ratio times 2 ** 64, as a signed number.
_MULTIPLIER = -7046029254386353131
# Makes of the first beam's values what all are divided by: its total, for both of its parts, and
# its weight.
_FIRST = ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class BeamDecoded(NamedTuple):
    """Labels found by a beam search.

    Attributes:
        labels: int32 `(batch, length)`, padded with -1 behind the end.
        log_probability: float32 `(batch,)`, in nats, of the labels by the logits alone: of all the
            paths that the beam followed, together.
    """

    labels: tf.Tensor
    log_probability: tf.Tensor


class _Frames(NamedTuple):
    """What the network says: of all frames, time first, or of one.

    Attributes:
        probabilities: float32 `(batch, classes + 1)`.
        labels: int64 `(batch, candidates)`, the likeliest labels.
        best: float32 `(batch, candidates, 1)`, their probabilities.
    """

    probabilities: tf.Tensor
    labels: tf.Tensor
    best: tf.Tensor


class _Fusion(NamedTuple):
    """A weighted language model; of its tables, the rows one after another.

    A state is told by where its row begins.

    Attributes:
        weights: float32 `(states * classes,)`, what a label makes of the weight of a text.
        transitions: int64 `(states * classes,)`, the state behind it.
        end_weights: float32 `(states,)`, what the end of the text makes of it.
    """

    weights: tf.Tensor
    transitions: tf.Tensor
    end_weights: tf.Tensor


class _Values(NamedTuple):
    """What texts are worth; float32 `(batch, texts, beam_width)`.

    Attributes:
        blank: Probability of the text's paths that end in a blank. Probabilities and weights are
            those of the first beam times so much, and need no logarithms.
        label: Probability of its paths that end in its last label.
        weight: What the language model and the length bonus make of it.
    """

    blank: tf.Tensor
    label: tf.Tensor
    weight: tf.Tensor


class _Prefixes(NamedTuple):
    """Beginnings of texts; int64 `(batch, 1, beam_width)`.

    Attributes:
        last: The last label; the blank where there is none.
        state: The language model's state behind it: where its row begins.
        name: A hash of the labels.
        parent: The name of what is one label shorter.
    """

    last: tf.Tensor
    state: tf.Tensor
    name: tf.Tensor
    parent: tf.Tensor


class _Beams(NamedTuple):
    """What is held at a frame, the highest score first.

    As few tensors as can be go from frame to frame: each costs time of its own at every one.

    Attributes:
        values: float32 `(batch, 3, beam_width)`, those of `_Values`.
        prefixes: int64 `(batch, 4, beam_width)`, those of `_Prefixes`.
        scale: float32 `(batch, 3, 1)`, the logarithms of what the values were divided by.
    """

    values: tf.Tensor
    prefixes: tf.Tensor
    scale: tf.Tensor

    def split(self) -> tuple[_Values, _Prefixes]:
        return (
            _Values(*tf.split(self.values, 3, axis=1)),
            _Prefixes(*tf.split(self.prefixes, 4, axis=1)),
        )


def beam_decode(
    logits: tf.Tensor,
    beam_width: int,
    language_model: CharacterLanguageModel | None = None,
    language_weight: float = 1.0,
    length_bonus: float = 0.0,
) -> BeamDecoded:
    """Finds the labels with the highest score among those that a beam holds.

    The score is the log-probability by the logits, plus `language_weight` times that by the
    language model, plus `length_bonus` times the number of labels. Of each frame, the ten likeliest
    labels are considered.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, as `mask_logits` gives them. The number of
            classes must be known when the graph is made.
        beam_width: int. How many beginnings of texts are held at each frame.
        language_model: A model whose characters are the labels; None for none.
        language_weight: float.
        length_bonus: float, in nats.

    Returns:
        The labels; `length` is that of the longest row, which may be 0.
    """
    batch, classes = tf.shape(logits)[0], logits.shape[2] - 1
    model = language_model or _indifferent_model(classes)
    fusion = _fuse(model, language_weight, length_bonus)
    frames = _rank_labels(logits)
    steps = tf.reduce_max(tf.concat([[0], count_frames(logits)], axis=0))

    def step(
        time: tf.Tensor, beams: _Beams, choices: tf.TensorArray
    ) -> tuple[tf.Tensor, _Beams, tf.TensorArray]:
        frame = _Frames(*(tf.gather(part, time) for part in frames))
        beams, choice = _advance(beams, frame, fusion)
        return time + 1, beams, choices.write(time + 1, choice)

    # One more than there are frames, as an array of nothing cannot be stacked.
    choices = tf.TensorArray(tf.int32, steps + 1).write(0, tf.zeros([batch, beam_width], tf.int32))
    first = (0, _first_beams(batch, beam_width, classes, model.start), choices)
    _, beams, choices = tf.while_loop(lambda time, *_: time < steps, step, first)
    values, prefixes = beams.split()
    total = values.blank + values.label
    score = total * values.weight * tf.gather(fusion.end_weights, prefixes.state // classes)
    winner = tf.argmax(score[:, 0], axis=1, output_type=tf.int32)
    log_probability = (tf.math.log(total) + beams.scale[:, :1])[:, 0]
    log_probability = tf.gather(log_probability, winner, batch_dims=1)
    return BeamDecoded(_read_back(choices.stack(), winner, frames.labels), log_probability)


def _indifferent_model(classes: int) -> CharacterLanguageModel:
    return CharacterLanguageModel(
        np.zeros((1, classes), np.int32), np.zeros((1, classes + 1), np.float32), start=0
    )


def _fuse(model: CharacterLanguageModel, weight: float, length_bonus: float) -> _Fusion:
    scores = weight * tf.convert_to_tensor(model.log_probabilities)
    classes = model.transitions.shape[1]
    return _Fusion(
        weights=tf.exp(tf.reshape(scores[:, :-1] + length_bonus, [-1])),
        transitions=tf.cast(tf.reshape(model.transitions, [-1]), tf.int64) * classes,
        end_weights=tf.exp(scores[:, -1]),
    )


def _rank_labels(logits: tf.Tensor) -> _Frames:
    # `tf.nn.softmax` gives certain blanks a little less than 1, which would add up.
    probabilities = tf.transpose(tf.exp(tf.nn.log_softmax(logits)), (1, 0, 2))
    candidates = min(_LABELS_PER_FRAME, logits.shape[2] - 1)
    best, labels = tf.math.top_k(probabilities[..., :-1], candidates)
    return _Frames(probabilities, tf.cast(labels, tf.int64), best[..., None])


def _first_beams(batch: tf.Tensor, width: int, classes: int, start: int) -> _Beams:
    """The empty text, and beams that are nothing: they have no probability."""
    certain = tf.one_hot(tf.zeros([batch, 1], tf.int32), width)
    ones = tf.ones([batch, 1, width], tf.int64)
    values = _Values(blank=certain, label=tf.zeros_like(certain), weight=tf.ones_like(certain))
    prefixes = _Prefixes(
        last=ones * classes,
        state=ones * start * classes,
        # Numbers that are no hashes of texts, but 0, which stands for the empty one.
        name=ones * tf.range(0, -width, -1, dtype=tf.int64),
        parent=ones,
    )
    return _Beams(tf.concat(values, axis=1), tf.concat(prefixes, axis=1), tf.zeros([batch, 3, 1]))


def _advance(beams: _Beams, frame: _Frames, fusion: _Fusion) -> tuple[_Beams, tf.Tensor]:
    """The next beams, and which candidates `(batch, width)` they are.

    The candidates are all beams as they are, then all with the likeliest label, and so on.
    """
    values, prefixes = beams.split()
    is_child = _flip(prefixes.name) == prefixes.parent
    kept = _keep(values, prefixes.last, frame, is_child)
    longer = _add_label(values, prefixes, frame, fusion, is_child)
    width = prefixes.last.shape[2]
    candidates = tf.concat([tf.stack(kept, axis=1), tf.stack(longer, axis=1)], axis=2)
    candidates = tf.reshape(candidates, [-1, len(kept), width * (1 + frame.labels.shape[1])])
    blank, label, weight = tf.unstack(candidates, axis=1)
    # Of equal scores, the first is taken: a beam as it is before one with a label that is no text.
    _, choice = tf.math.top_k((blank + label) * weight, width)
    chosen = tf.gather(candidates, choice, axis=2, batch_dims=1)
    first = tf.matmul(_FIRST, chosen[..., :1])
    scale = beams.scale + tf.math.log(first)
    return _Beams(chosen / first, _follow(beams.prefixes, frame, fusion, choice), scale), choice


def _keep(values: _Values, last: tf.Tensor, frame: _Frames, is_child: tf.Tensor) -> _Values:
    """The beams as they are: the frame is blank, or the last label, old or new."""
    blank, label, weight = values
    total = blank + label
    passed_on = tf.where(_flip(last) == last, _flip(blank), _flip(total))
    received = tf.reduce_sum(tf.where(is_child, passed_on, 0.0), axis=1, keepdims=True)
    return _Values(
        blank=total * frame.probabilities[:, None, -1:],
        label=(label + received) * tf.gather(frame.probabilities, last, batch_dims=1),
        weight=weight,
    )


def _add_label(
    values: _Values, prefixes: _Prefixes, frame: _Frames, fusion: _Fusion, is_child: tf.Tensor
) -> _Values:
    """The beams with each of the likeliest labels."""
    blank, label, weight = values
    labels = tf.expand_dims(frame.labels, 2)
    is_repeated = prefixes.last == labels
    # After a label, the same one is new only behind a blank.
    probabilities = tf.where(is_repeated, blank, blank + label) * frame.best
    # Another beam that is the same text has received this already.
    children = tf.matmul(
        tf.cast(is_repeated, tf.float32), tf.cast(is_child, tf.float32), transpose_b=True
    )
    return _Values(
        blank=tf.zeros_like(probabilities),
        label=tf.where(children > 0, 0.0, probabilities),
        weight=weight * tf.gather(fusion.weights, prefixes.state + labels),
    )


def _follow(prefixes: tf.Tensor, frame: _Frames, fusion: _Fusion, choice: tf.Tensor) -> tf.Tensor:
    """The beginnings of texts `(batch, 4, width)` that were chosen."""
    width = prefixes.shape[2]
    place = tf.expand_dims(choice, 1) // width
    kept = tf.gather(prefixes, choice % width, axis=2, batch_dims=1)
    _, state, name, _ = tf.split(kept, 4, axis=1)
    label = tf.gather(frame.labels, tf.maximum(place - 1, 0), batch_dims=1)
    state = tf.gather(fusion.transitions, state + label)
    longer = tf.concat([label, state, (name + label + 1) * _MULTIPLIER, name], axis=1)
    return tf.where(place > 0, longer, kept)


def _read_back(choices: tf.Tensor, winner: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The labels `(batch, length)` of the beam `winner`.

    By what was chosen, `(1 + frames, batch, width)`: for the first frame, at place 1.
    """
    steps, width = tf.shape(choices)[0], choices.shape[2]

    def go_back(
        time: tf.Tensor, beam: tf.Tensor, path: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        choice = tf.gather(tf.gather(choices, time), beam, batch_dims=1)
        return time - 1, choice % width, path.write(time, choice)

    path = tf.TensorArray(tf.int32, steps).write(0, winner)
    *_, path = tf.while_loop(lambda time, *_: time > 0, go_back, (steps - 1, winner, path))
    places = path.stack()[1:] // width
    added = tf.gather(labels[: steps - 1], tf.maximum(places - 1, 0), batch_dims=2)
    added = tf.transpose(tf.where(places > 0, tf.cast(added, tf.int32), -1))
    return tf.ragged.boolean_mask(added, added >= 0).to_tensor(-1)


def _flip(values: tf.Tensor) -> tf.Tensor:
    return tf.transpose(values, (0, 2, 1))
