"""Trains natural language processing: `python -m apps.nlp.train --help`."""

from apps.nlp.config import PRESETS, Config
from shared.training.app import App, Task
from shared.training.main import main


def build_app() -> App[Config]:
    """The table of contents: which function does which step."""
    # Imported here, so that --help and wrong flags are answered without loading TensorFlow.
    from apps.nlp import dataset, evaluate, export, model, preprocess
    from data import DataError

    tasks = {
        "classification": Task(
            headline="accuracy",
            signatures=export.SIGNATURES["classification"],
            input_name="text",
            validation_metrics=("accuracy",),
        ),
        "language_model": Task(
            headline="perplexity",
            signatures=export.SIGNATURES["language_model"],
            input_name="text",
            validation_metrics=("perplexity",),
        ),
    }
    return App(
        name="nlp",
        presets=PRESETS,
        task=lambda config: tasks[config.task],
        load=dataset.load,
        load_split=dataset.load_split,
        build_preprocess=preprocess.build_preprocess,
        prepare=dataset.prepare,
        build_augmentation=dataset.build_augmentation,
        build_model=model.build_model,
        build_layer_rates=model.build_layer_rates,
        build_loss=model.build_loss,
        keep=model.keep,
        validate=evaluate.validate,
        calibrate=export.calibrate,
        build_signatures=export.build_signatures,
        reference=export.reference,
        build_warmup=export.build_warmup,
        evaluate=evaluate.evaluate,
        baseline=evaluate.baseline,
        write_samples=dataset.write_samples,
        user_errors=(DataError,),
    )


if __name__ == "__main__":
    main(PRESETS, build_app, __doc__)
