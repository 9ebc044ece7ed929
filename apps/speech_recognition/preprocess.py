"""From file bytes to the network's input, in graph: one code for training and for serving."""

import keras
import tensorflow as tf

from apps.speech_recognition.config import Config
from shared.layers.character_language_model import CharacterLanguageModel
from shared.layers.resampling import HIGHEST_SAMPLE_RATE, LOWEST_SAMPLE_RATE, resample
from shared.layers.wav_decoding import decode_wav
from shared.training.app import Survey
from shared.training.character_ngram_learning import learn_character_ngrams

TOO_LONG = "too_long: the recording is longer than the model hears"
BAD_RATE = f"invalid: the sample rate is not from {LOWEST_SAMPLE_RATE} to {HIGHEST_SAMPLE_RATE} Hz"
BAD_SAMPLES = "invalid: the samples must be finite numbers"
EMPTY = "empty: there are no samples"


@keras.saving.register_keras_serializable("quartet.speech_recognition")
class AudioPreprocess(keras.layers.Layer):
    """Decodes recordings, mixes their channels and brings them to one sample rate.

    Args:
        sample_rate: int. Samples per second of the output.
        longest_seconds: float. A longer recording has an error.
        language_model: What guides the search for transcripts, if anything does.

    Call arguments:
        audio_bytes: string `(batch,)`, the bytes of WAV files.

    Returns:
        The network's inputs, `waveform` float32 `(batch, samples)`, padded with zeros, and
        `length` int32 `(batch,)`, its samples; and the error of each row, string `(batch,)`: empty,
        or a short code and the reason. A row with an error has a length of 0.
    """

    def __init__(
        self,
        sample_rate: int,
        longest_seconds: float,
        language_model: CharacterLanguageModel | None = None,
        **kwargs: str,
    ) -> None:
        super().__init__(**kwargs)
        self.sample_rate = sample_rate
        self.longest_seconds = longest_seconds
        self.language_model = language_model

    def call(self, audio_bytes: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        decoded = decode_wav(audio_bytes, self.longest_seconds)
        errors = tf.where((decoded.errors == "") & (decoded.lengths == 0), EMPTY, decoded.errors)
        return self._convert(decoded.samples, decoded.lengths, decoded.sample_rates), errors

    def convert(
        self, waveform: tf.Tensor, length: tf.Tensor, sample_rate: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The same for decoded recordings.

        Args:
            waveform: float32 `(batch, samples)`, in [-1, 1].
            length: int32 `(batch,)`. Samples of each row; those behind them do not count.
            sample_rate: int32 `(batch,)`. Samples per second of each row.
        """
        length = tf.clip_by_value(length, 0, tf.shape(waveform)[1])
        own = tf.sequence_mask(length, tf.shape(waveform)[1])
        finite = tf.reduce_all(tf.math.is_finite(waveform) | ~own, axis=1)
        longest = self.longest_seconds * tf.cast(sample_rate, tf.float32)
        errors = tf.where(length == 0, EMPTY, "")
        errors = tf.where(tf.cast(length, tf.float32) > longest, TOO_LONG, errors)
        errors = tf.where(finite, errors, BAD_SAMPLES)
        possible = (sample_rate >= LOWEST_SAMPLE_RATE) & (sample_rate <= HIGHEST_SAMPLE_RATE)
        errors = tf.where(possible, errors, BAD_RATE)
        good = errors == ""
        samples = tf.where(own & good[:, None], waveform, 0.0)
        rates = tf.where(good, sample_rate, self.sample_rate)
        return self._convert(samples, tf.where(good, length, 0), rates), errors

    def _convert(
        self, samples: tf.Tensor, lengths: tf.Tensor, rates: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        waveform, length = resample(samples, lengths, rates, self.sample_rate)
        return {"waveform": waveform, "length": length}


def build_preprocess(config: Config, survey: Survey) -> AudioPreprocess:
    """The preprocess layer, with n-grams of the training transcripts where a beam needs them."""
    audio, decoding = config.audio, config.decoding
    language_model = None
    if config.task == "transcription" and decoding.beam_width and decoding.ngram_order:
        train = survey.splits.train
        language_model = learn_character_ngrams(
            [text.decode() for text in train.annotations["transcripts"]],
            survey.splits.labels,
            decoding.ngram_order,
        )
    return AudioPreprocess(audio.sample_rate, audio.longest_seconds, language_model)
