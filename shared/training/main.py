"""What a train script does: parse, run, print one JSON line."""

import json
from collections.abc import Callable, Mapping

from shared.environment import prepare_tensorflow
from shared.training.app import App
from shared.training.command_line import parse_arguments, refuse
from shared.training.config import Config, ConfigError


def main(
    presets: Mapping[str, Config], build_app: Callable[[], App[Config]], description: str | None
) -> None:
    """Runs an app from the command line.

    Prints progress and tables on standard error, and as the last line of standard output one JSON
    object: `app`, `version`, `path`, `test`, `train_seconds`. Exits with status 2 if the
    configuration or the data is refused, and 1 if training or export fails.

    Args:
        presets: The app's configurations by name.
        build_app: Makes the app; called after the command line is parsed, as it loads TensorFlow.
        description: The train script's docstring, for `--help`.
    """
    arguments = parse_arguments(presets, description or "")
    prepare_tensorflow(arguments.config.training.op_threads)
    from shared.export.verification import ExportError
    from shared.training.checkpoint import CheckpointError
    from shared.training.fit import NonFiniteLossError
    from shared.training.run import run

    app = build_app()
    mendable: tuple[type[Exception], ...] = (ConfigError, *app.user_errors)
    try:
        result = run(app, arguments.config, arguments.options)
    except mendable as error:
        refuse(str(error))
    except (NonFiniteLossError, CheckpointError, ExportError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt as error:
        raise SystemExit("interrupted; --resume goes on from the last checkpoint") from error
    print(json.dumps(result))
