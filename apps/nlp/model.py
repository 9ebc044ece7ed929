"""The networks: word vectors and an LSTM, below a classifier or below a language model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from apps.nlp.config import Config, LanguageModelConfig, ModelConfig
from shared.files import write_atomically
from shared.layers.next_word import NextWord
from shared.layers.ngrams import BagOfNgrams
from shared.layers.pooling import AttentionPooling, MaskedMaxPooling
from shared.layers.recurrent import LSTM
from shared.losses import LanguageModelLoss, build_classification_loss
from shared.optimizers import LayerRates
from shared.training.adversarial import AdversarialModel, Perturbation
from shared.training.app import Trained
from shared.training.config import ConfigError

ENCODER_FILE = "encoder.npz"
ENCODER_LAYERS = ("word_vectors", "recurrent")
# Adam's steps are small for features that one text in many has.
NGRAM_GAIN = 10.0


def build_model(
    config: Config, preprocess: keras.layers.Layer, labels: tuple[str, ...]
) -> keras.Model:
    """A bidirectional LSTM (Graves and Schmidhuber, 2005) over word vectors.

    As a classifier, attention and maximum pool its outputs, and a linear classifier of the text's
    n-grams stands beside it; each is trained for itself, the former perhaps on word vectors that
    are changed for the worst, as `AdversarialModel` says. As a language model, its forward
    direction predicts each next word and the backward one each word before, with weights shared as
    in `NextWord`; regularised as by Merity et al., https://arxiv.org/abs/1708.02182.

    Args:
        config: Task, sizes and dropout; `config.pretrained` sets sizes and first weights.
        preprocess: Gives the number of words.
        labels: The classes.

    Returns:
        A model from `words` int32 `(batch, tokens)` and, with n-grams, `ngrams` int32
        `(batch, n-grams)`, both padded with 0. A classifier gives `recurrent_logits` and
        `ngram_logits` `(batch, classes)`; a language model `next` and `previous`, vectors
        `(batch, tokens, size)` for the layers of these names. All are float32.

    Raises:
        ConfigError: `config.pretrained` holds no language model.
    """
    encoder = read_encoder(config.pretrained) if config.pretrained else None
    settings = encoder.adopt(config.model) if encoder else config.model
    is_classifier = config.task == "classification"
    dropout = settings.dropout if is_classifier else config.language_model.dropout
    words = keras.Input((None,), dtype="int32", name="words")
    mask = ops.not_equal(words, 0)
    embedding = layers.Embedding(
        preprocess.vocabulary.size, settings.word_size, name="word_vectors"
    )
    # A language model drops the same features of all words (Gal and Ghahramani, 2016).
    drop = layers.Dropout if is_classifier else layers.SpatialDropout1D
    x = embedding(words)
    if is_classifier and config.augmentation.adversarial:
        x = Perturbation(config.augmentation.adversarial, name="perturbation")(x)
    x = drop(dropout)(x)
    recurrent = LSTM(
        settings.units,
        bidirectional=True,
        return_state=True,
        recurrent_dropout=settings.recurrent_dropout,
        name="recurrent",
    )
    x = drop(dropout)(recurrent(x, mask=mask)[0])
    if not is_classifier:
        return _language_model(config.language_model, words, embedding, x)
    model = _classifier(settings, words, mask, x, len(labels), preprocess)
    if encoder:
        encoder.transfer(model)
    return model


def build_layer_rates(config: Config) -> LayerRates | None:
    """Learning rates of the pretrained layers relative to those above them, if there are any."""
    if not config.pretrained:
        return None
    groups = [[], *([name] for name in reversed(ENCODER_LAYERS))]
    settings = config.fine_tuning
    return LayerRates(groups, settings.layer_decay, settings.unfreeze_fraction)


def build_loss(config: Config, model: keras.Model) -> dict[str, keras.losses.Loss]:
    """A loss for each output: of a language model or a classifier, for one label or several."""
    if config.task == "language_model":
        return {name: LanguageModelLoss(model.get_layer(name)) for name in model.output_names}
    if config.text.label_separator:
        smoothing = config.loss.label_smoothing
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    else:
        loss = build_classification_loss(config.loss)
    return dict.fromkeys(model.output_names, loss)


def log_likelihoods(model: keras.Model, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How likely a language model finds texts.

    Args:
        model: The language model.
        words: int32 `(batch, tokens)`, with boundaries, padded with 0.

    Returns:
        The log-probability of each text in nats, float32 `(batch,)`, and the number of its words
        with the boundary at its end, int32 `(batch,)`.
    """
    words = tf.convert_to_tensor(words)
    following = tf.pad(words[:, 1:], [[0, 0], [0, 1]])
    places = tf.where(following != 0)
    vectors = model({"words": words}, training=False)["next"]
    values = model.get_layer("next").log_likelihoods(
        tf.gather_nd(vectors, places), tf.gather_nd(following, places)
    )
    sums = tf.math.unsorted_segment_sum(values, places[:, 0], tf.shape(words)[0])
    return sums, tf.reduce_sum(tf.cast(following != 0, tf.int32), axis=1)


@dataclass(frozen=True)
class Encoder:
    """The pretrained part of a network.

    Attributes:
        words: The words that it knows, in the order of their numbers.
        weights: Arrays of each layer by name.
    """

    words: tuple[str, ...]
    weights: Mapping[str, Sequence[np.ndarray]]

    def adopt(self, settings: ModelConfig) -> ModelConfig:
        """The settings with the encoder's sizes."""
        word_size = self.weights["word_vectors"][0].shape[1]
        units = self.weights["recurrent"][1].shape[0]
        return replace(settings, word_size=word_size, units=units)

    def transfer(self, model: keras.Model) -> None:
        """Sets the weights of a network that knows these words and perhaps others behind them."""
        for name, arrays in self.weights.items():
            layer = model.get_layer(name)
            first = layer.get_weights()
            for own, pretrained in zip(first, arrays, strict=True):
                own[: len(pretrained)] = pretrained
            layer.set_weights(first)


def keep(trained: Trained[Config], folder: Path) -> None:
    """Writes words, word vectors and LSTM of a language model into its run's folder."""
    if trained.config.task != "language_model":
        return
    arrays = {
        f"{name}/{index}": array
        for name in ENCODER_LAYERS
        for index, array in enumerate(trained.model.get_layer(name).get_weights())
    }
    # Without the boundary, which the preprocess layer adds.
    words = json.dumps(trained.preprocess.words[1:])
    write_atomically(
        folder / ENCODER_FILE, lambda file: np.savez(file, vocabulary=np.array(words), **arrays)
    )


def read_encoder(folder: str) -> Encoder:
    """Reads what `keep` wrote.

    Raises:
        ConfigError: The folder holds no finished language model.
    """
    path = Path(folder).expanduser() / ENCODER_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            words = tuple(json.loads(str(stored["vocabulary"])))
            weights = {
                name: [stored[key] for key in stored if key.startswith(f"{name}/")]
                for name in ENCODER_LAYERS
            }
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ConfigError(
            f"--pretrained {folder}: {path} cannot be read ({error}). Expected the run folder of a "
            "language model: python -m apps.nlp.train --task language_model --data …"
        ) from error
    return Encoder(words, weights)


def _language_model(
    settings: LanguageModelConfig,
    words: keras.KerasTensor,
    embedding: layers.Embedding,
    x: keras.KerasTensor,
) -> keras.Model:
    outputs = {
        name: NextWord(embedding, settings.sampled_words, dtype="float32", name=name)(direction)
        for name, direction in zip(("next", "previous"), ops.split(x, 2, axis=-1), strict=True)
    }
    return keras.Model({"words": words}, outputs, name="network")


def _classifier(
    settings: ModelConfig,
    words: keras.KerasTensor,
    mask: keras.KerasTensor,
    x: keras.KerasTensor,
    classes: int,
    preprocess: keras.layers.Layer,
) -> keras.Model:
    text = layers.Concatenate()(
        [AttentionPooling(name="attention")(x, mask=mask), MaskedMaxPooling()(x, mask=mask)]
    )
    text = layers.Dropout(settings.dropout)(text)
    inputs = {"words": words}
    outputs = {
        "recurrent_logits": layers.Dense(classes, dtype="float32", name="recurrent_logits")(text)
    }
    if preprocess.ngrams:
        inputs["ngrams"] = keras.Input((None,), dtype="int32", name="ngrams")
        bag = BagOfNgrams(
            preprocess.ngram_bits, classes, NGRAM_GAIN, dtype="float32", name="ngram_logits"
        )
        outputs["ngram_logits"] = bag(inputs["ngrams"])
    return AdversarialModel(inputs, outputs, name="network")
