"""Trains natural language understanding: `python -m apps.nlu.train --help`."""

from apps.nlu.config import PRESETS, Config
from shared.training.app import App, Task
from shared.training.main import main


def build_app() -> App[Config]:
    """The table of contents: which function does which step."""
    # Imported here, so that --help and wrong flags are answered without loading TensorFlow.
    from apps.nlu import dataset, evaluate, export, model, preprocess
    from data import DataError

    task = Task(
        headline="sentence_accuracy",
        signatures=export.SIGNATURES,
        input_name="text",
        validation_metrics=("intent_accuracy", "slot_f1", "sentence_accuracy"),
    )
    return App(
        name="nlu",
        presets=PRESETS,
        task=lambda config: task,
        load=dataset.load,
        load_split=dataset.load_split,
        build_preprocess=preprocess.build_preprocess,
        prepare=dataset.prepare,
        build_augmentation=dataset.build_augmentation,
        build_variation=dataset.build_variation,
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
