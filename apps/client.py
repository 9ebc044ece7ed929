"""All apps behind one server, each with its own type of answer."""

from pathlib import Path

from apps import APPS
from apps.image_recognition.predict import Prediction as ImagePrediction
from apps.image_recognition.predict import predict as predict_image
from apps.nlp.predict import Prediction as TextPrediction
from apps.nlp.predict import predict as predict_text
from apps.nlu.predict import Prediction as SentencePrediction
from apps.nlu.predict import predict as predict_sentence
from apps.speech_recognition.predict import Prediction as SpeechPrediction
from apps.speech_recognition.predict import predict as predict_speech
from shared.serving.client import RemoteModel, connect


class Client:
    """Asks the apps behind TensorFlow Serving or the local server.

    An input that the model cannot read gives a prediction with an `error`; everything else that
    goes wrong raises `ServerError`.

    Args:
        url: `http://localhost:8501` for REST, `grpc://localhost:8500` for gRPC.
        timeout_seconds: Longest wait for one answer.
        retries: How often a server that has too much to do is asked again.
    """

    def __init__(self, url: str, timeout_seconds: float = 60.0, retries: int = 3) -> None:
        self._models: dict[str, RemoteModel] = {
            app: connect(url, app, timeout_seconds, retries) for app in APPS
        }

    def image(self, file: str | Path) -> ImagePrediction:
        """What is in a picture."""
        return predict_image([file], self._models["image_recognition"])[0]

    def speech(self, file: str | Path) -> SpeechPrediction:
        """What is said in a recording."""
        return predict_speech([file], self._models["speech_recognition"])[0]

    def nlp(self, text: str) -> TextPrediction:
        """Which class a text has."""
        return predict_text([text], self._models["nlp"])[0]

    def nlu(self, sentence: str) -> SentencePrediction:
        """What a sentence asks for."""
        return predict_sentence([sentence], self._models["nlu"])[0]

    def wait_ready(self, *apps: str, seconds: float = 60.0) -> None:
        """Waits until the models of the apps are loaded, by default of all.

        Raises:
            ServerError: They were not in time.
        """
        for app in apps or APPS:
            self._models[app].wait_ready(seconds)
