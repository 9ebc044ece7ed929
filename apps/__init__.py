"""The applications. Each has the same files with the same public names."""

APPS = ("image_recognition", "speech_recognition", "nlp", "nlu")
