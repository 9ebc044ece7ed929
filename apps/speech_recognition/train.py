"""Trains speech recognition: `python -m apps.speech_recognition.train --help`."""

from apps.speech_recognition.config import PRESETS, Config
from shared.training.app import App, Task
from shared.training.main import main


def build_app() -> App[Config]:
    """The table of contents: which function does which step."""
    # Imported here, so that --help and wrong flags are answered without loading TensorFlow.
    from apps.speech_recognition import dataset, evaluate, export, model, preprocess
    from data import DataError

    tasks = {
        "transcription": Task(
            headline="wer",
            signatures=export.SIGNATURES["transcription"],
            input_name="audio_bytes",
            validation_metrics=("wer", "cer"),
        ),
        "keywords": Task(
            headline="accuracy",
            signatures=export.SIGNATURES["keywords"],
            input_name="audio_bytes",
            validation_metrics=("accuracy",),
        ),
    }
    return App(
        name="speech_recognition",
        presets=PRESETS,
        task=lambda config: tasks[config.task],
        load=dataset.load,
        load_split=dataset.load_split,
        build_preprocess=preprocess.build_preprocess,
        prepare=dataset.prepare,
        build_augmentation=dataset.build_augmentation,
        build_model=model.build_model,
        build_loss=model.build_loss,
        validate=evaluate.validate,
        calibrate=export.calibrate,
        build_signatures=export.build_signatures,
        reference=export.reference,
        build_warmup=export.build_warmup,
        evaluate=evaluate.evaluate,
        write_samples=dataset.write_samples,
        user_errors=(DataError,),
    )


if __name__ == "__main__":
    main(PRESETS, build_app, __doc__)
