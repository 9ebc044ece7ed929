"""The network: word and character features, a bidirectional LSTM, an intent and a slot head."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from apps.nlu.config import Config
from apps.nlu.preprocess import CHARACTER_BUCKETS, TextPreprocess
from shared.layers.character_convolution import CharacterConvolution
from shared.layers.conditional_random_field import ConditionalRandomField
from shared.layers.pooling import AttentionPooling, MaskedMaxPooling
from shared.layers.recurrent import LSTM
from shared.losses import TaggingLikelihood, build_classification_loss
from shared.training.adversarial import AdversarialModel, Perturbation


def build_model(config: Config, preprocess: TextPreprocess, labels: tuple[str, ...]) -> keras.Model:
    """A network for intent and slots at once.

    Words are embedded and joined by features of their characters (Kim et al.,
    https://arxiv.org/abs/1508.06615), a bidirectional LSTM (Graves and Schmidhuber, 2005) reads
    the sentence, attention and maximum pool it for the intent (Liu and Lane,
    https://arxiv.org/abs/1609.01454), the intent gates what the slot head sees (Goo et al.,
    https://aclanthology.org/N18-2118), and a conditional random field joins the tags (Huang et al.,
    https://arxiv.org/abs/1508.01991). It is perhaps trained on word vectors that are changed for
    the worst, too, as `AdversarialModel` says.

    Args:
        config: Sizes and dropout.
        preprocess: Its features are the network's input.
        labels: The intents.

    Returns:
        A model from `words` int32 `(batch, tokens)` and `characters` int32 `(batch, tokens,
        word_characters)`, both padded with 0, to `intent`, logits `(batch, intents)`, and `slots`,
        the emissions `(batch, tokens, tags)` of the layer `slots`; all float32.
    """
    words = keras.Input((None,), dtype="int32", name="words")
    characters = keras.Input((None, preprocess.word_characters), dtype="int32", name="characters")
    mask = ops.not_equal(words, 0)
    x = _encode(config, preprocess, words, characters, mask)
    sentence = layers.Concatenate()(
        [AttentionPooling(name="attention")(x, mask=mask), MaskedMaxPooling()(x, mask=mask)]
    )
    intent = layers.Dense(len(labels), dtype="float32", name="intent_logits")(sentence)
    x = _gate(x, layers.Softmax(dtype="float32")(intent))
    emissions = layers.Dense(len(preprocess.tags), dtype="float32", name="slot_logits")(x)
    slots = ConditionalRandomField(preprocess.tags, name="slots")(emissions)
    inputs = {"characters": characters, "words": words}
    return AdversarialModel(inputs, {"intent": intent, "slots": slots}, name="network")


def build_loss(config: Config, model: keras.Model) -> dict[str, keras.losses.Loss]:
    """Cross-entropy of the intent, and the likelihood of the tags; training makes the sum small."""
    return {
        "intent": build_classification_loss(config.loss),
        "slots": TaggingLikelihood(model.get_layer("slots")),
    }


def decode_tags(
    model: keras.Model, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
) -> list[list[str]]:
    """The best tags of each sentence, from a batch of the model's inputs and outputs."""
    layer = model.get_layer("slots")
    mask = tf.not_equal(inputs["words"], 0)
    indices = layer.decode(tf.convert_to_tensor(outputs["slots"]), mask)[0].numpy()
    return [[layer.tags[index] for index in row if index >= 0] for row in indices]


def _encode(
    config: Config,
    preprocess: TextPreprocess,
    words: keras.KerasTensor,
    characters: keras.KerasTensor,
    mask: keras.KerasTensor,
) -> keras.KerasTensor:
    settings = config.model
    known = layers.Embedding(preprocess.vocabulary.size, settings.word_size)(words)
    if config.augmentation.adversarial:
        known = Perturbation(config.augmentation.adversarial, name="perturbation")(known)
    spelled = CharacterConvolution(
        CHARACTER_BUCKETS + 1,
        settings.character_size,
        settings.character_filters,
        settings.character_widths,
    )(characters)
    x = layers.Dropout(settings.dropout)(layers.Concatenate()([known, spelled]))
    for _ in range(settings.layers):
        x = LSTM(settings.units, bidirectional=True)(x, mask=mask)
        x = layers.Dropout(settings.dropout)(x)
    return x


def _gate(x: keras.KerasTensor, intent: keras.KerasTensor) -> keras.KerasTensor:
    """Lets the probabilities of the intents choose what the slot head sees of each token."""
    size = x.shape[-1]
    gate = layers.Reshape((1, size))(layers.Dense(size, activation="sigmoid")(intent))
    return layers.Concatenate()([x, layers.Multiply()([x, gate])])
