"""Checkpoints: one file each, written whole or not at all, that hold everything a run needs."""

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shared.files import write_atomically
from shared.training.console import CONSOLE

Variables = Mapping[str, Sequence[keras.Variable]]
KEPT = 2
# What `zipfile` and NumPy raise for flipped bits; RuntimeError if an unknown version or
# encryption is read into them.
DAMAGE = (
    *(OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError),
    *(zipfile.BadZipFile, zlib.error),
)


class CheckpointError(RuntimeError):
    """No checkpoint can be written or used; the message says why and what to do."""


@dataclass
class Progress:
    """Where a run is, beside its variables."""

    epoch: int = 0
    """Epochs that are complete."""
    step: int = 0
    """Steps that are complete in the epoch after those."""
    sums: dict[str, float] = field(default_factory=dict)
    """Training metrics of that epoch, summed over steps."""
    best: float | None = None
    """Best value of the monitored metric."""
    wait: int = 0
    """Epochs since the best value, for early stopping."""
    stopped: bool = False
    """Early stopping has ended training."""
    seconds: float = 0.0
    """Training time so far."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row per complete epoch."""


class Checkpoints:
    """The checkpoints of one run.

    A checkpoint holds the values of `variables`, the best weights so far and the `Progress`, in
    one NumPy archive. It is written beside its final name and renamed, so a killed process leaves
    the former one; the archive's checksums tell a damaged file, which is passed over.

    Args:
        folder: Where the files are.
        variables: Groups of variables by name: model, optimizer, augmentation.
    """

    def __init__(self, folder: Path, variables: Variables) -> None:
        self.folder = folder
        self.variables = variables

    def save(self, progress: Progress, best_weights: Sequence[np.ndarray]) -> Path:
        """Writes a checkpoint and removes all but the newest two.

        Raises:
            CheckpointError: The file cannot be written, as on a full disk; older ones are intact.
        """
        arrays: dict[str, Any] = {
            f"{group}/{index}": np.asarray(variable)
            for group, variables in self.variables.items()
            for index, variable in enumerate(variables)
        }
        arrays.update({f"best/{index}": value for index, value in enumerate(best_weights)})
        arrays["progress"] = np.array(json.dumps(asdict(progress)))
        path = self.folder / f"{progress.epoch:06d}-{progress.step:08d}.npz"
        try:
            write_atomically(path, lambda file: np.savez(file, **arrays))
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {path} cannot be written: {error}. "
                "Make room or mend the folder, then go on with --resume."
            ) from error
        for old in self.paths()[:-KEPT]:
            old.unlink()
        return path

    def restore(self) -> tuple[Progress, list[np.ndarray]] | None:
        """Sets all variables from the newest whole checkpoint.

        Returns:
            Its progress and best weights, or None if there is no checkpoint.

        Newer ones that are damaged are renamed, so that they are not tried again.

        Raises:
            CheckpointError: There are checkpoints, but all are damaged or of another model.
        """
        damaged: dict[Path, str] = {}
        for path in reversed(self.paths()):
            try:
                restored = self._assign(_read(path))
            except DAMAGE as error:
                damaged[path] = str(error)
                CONSOLE.print(
                    f"warning: checkpoint {path} cannot be used ({error}); "
                    "falling back to the one before.",
                    markup=False,
                    soft_wrap=True,
                )
            else:
                for unusable in damaged:
                    unusable.rename(unusable.with_suffix(".damaged"))
                return restored
        if damaged:
            raise CheckpointError(
                "No checkpoint of this run can be used. Start a new run without --resume.\n  "
                + "\n  ".join(f"{path}: {error}" for path, error in damaged.items())
            )
        return None

    def paths(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        return sorted(p for p in self.folder.glob("*.npz") if re.fullmatch(r"\d+-\d+", p.stem))

    def _assign(self, arrays: dict[str, np.ndarray]) -> tuple[Progress, list[np.ndarray]]:
        progress = Progress(**json.loads(str(arrays["progress"])))
        pairs = [
            (variable, arrays[f"{group}/{index}"])
            for group, variables in self.variables.items()
            for index, variable in enumerate(variables)
        ]
        for variable, value in pairs:
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"{variable.path} is {variable.shape}, stored as {value.shape}")
        for variable, value in pairs:
            variable.assign(value)
        count = sum(name.startswith("best/") for name in arrays)
        return progress, [arrays[f"best/{index}"] for index in range(count)]


def _read(path: Path) -> dict[str, np.ndarray]:
    # Opened here, because `np.load` leaves the files open that it cannot read.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
