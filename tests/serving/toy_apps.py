"""Models with the signatures of the four apps that always give the same answers."""

from pathlib import Path

import tensorflow as tf

TEXT = tf.TensorSpec((None,), tf.string, name="text")
IMAGES = tf.TensorSpec((None,), tf.string, name="image_bytes")
AUDIO = tf.TensorSpec((None,), tf.string, name="audio_bytes")
WORDS = ("turn", "on", "the", "lamp")
APPS = ("image_recognition", "speech_recognition", "nlp", "nlu")


class Apps(tf.Module):
    """One function per app."""

    @tf.function(input_signature=[IMAGES])
    def image_recognition(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        is_png = tf.strings.regex_full_match(image_bytes, r"\CPNG\C*")
        error = tf.where(is_png, "", "unsupported: expected a PNG file")
        return {**_classes(error, ("cat", "dog", "bird"), (0.75, 0.2, 0.05)), "error": error}

    @tf.function(input_signature=[AUDIO])
    def speech_recognition(self, audio_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        is_wave = tf.strings.substr(audio_bytes, 0, 4) == "RIFF"
        # Of one channel with 16 bits at 16 kHz, as the page makes them.
        seconds = tf.cast(tf.strings.length(audio_bytes) - 44, tf.float32) / 32000
        starts = tf.range(4, dtype=tf.float32) / 4 * seconds[:, None]
        return {
            "transcript": tf.where(is_wave, " ".join(WORDS), ""),
            "confidence": tf.where(is_wave, 0.9, 0.0),
            "words": _repeat(is_wave, WORDS),
            "word_starts": starts,
            "word_ends": starts + 0.2 * seconds[:, None],
            "word_scores": _repeat(is_wave, (0.95, 0.95, 0.5, 0.95)),
            "num_words": tf.where(is_wave, 4, 0),
            "seconds": seconds,
            "error": tf.where(is_wave, "", "unsupported: expected a WAV file"),
        }

    @tf.function(input_signature=[TEXT])
    def nlp(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        error = tf.where(text == "", "empty: there is no text", "")
        classes = _classes(error, ("positive", "negative"), (0.875, 0.125))
        rows = tf.cast(error == "", tf.int32)
        numbers = dict.fromkeys(("num_labels", "num_tokens", "num_unknown"), rows)
        return {**classes, **numbers, "truncated": rows < 0, "error": error}

    @tf.function(input_signature=[TEXT])
    def nlu(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.strings.length(text, unit="UTF8_CHAR")
        rows = tf.ones_like(length)
        return {
            "intent": _repeat(rows, ("turn_on",))[:, 0],
            "intent_score": _repeat(rows, (0.9,))[:, 0],
            "out_of_scope_score": _repeat(rows, (0.0,))[:, 0],
            "intents": _repeat(rows, ("turn_on", "turn_off")),
            "intent_scores": _repeat(rows, (0.9, 0.1)),
            # The last four characters are the slot.
            "slot_names": _repeat(rows, ("device", "")),
            "slot_values": tf.stack(
                [tf.strings.substr(text, length - 4, 4 * rows, "UTF8_CHAR"), text], 1
            ),
            "slot_scores": _repeat(rows, (0.9, 0.0)),
            "slot_starts": tf.stack([length - 4, -rows], axis=1),
            "slot_ends": tf.stack([length, -rows], axis=1),
            "error": _repeat(rows, ("",))[:, 0],
        }


def write_toy_apps(folder: Path, *apps: str) -> Path:
    """Writes models of the apps, by default all, and their `models.config`; gives the folder."""
    made = Apps()
    for app in apps or APPS:
        signatures = {"serving_default": getattr(made, app)}
        tf.saved_model.save(made, str(folder / app / "1"), signatures)
    configs = (f'config {{ name: "{app}" base_path: "/models/{app}" }}' for app in APPS)
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")
    return folder


def _classes(
    error: tf.Tensor, labels: tuple[str, ...], scores: tuple[float, ...]
) -> dict[str, tf.Tensor]:
    return {
        "label": tf.where(error == "", labels[0], ""),
        "score": tf.where(error == "", scores[0], 0.0),
        "labels": _repeat(error, labels),
        "scores": _repeat(error, scores),
    }


def _repeat(rows: tf.Tensor, values: tuple[object, ...]) -> tf.Tensor:
    return tf.tile(tf.constant([values]), [tf.size(rows), 1])
