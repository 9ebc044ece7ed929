"""Public sets: tests that read one run where it has been prepared before and never download it."""

from pathlib import Path

import pytest
import tensorflow_datasets as tfds


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test unless the set `name` is prepared: a failed download leaves its folder, too."""
    folder = Path(tfds.core.constants.DATA_DIR).expanduser() / name
    prepared = any(folder.glob("**/dataset_info.json"))
    return pytest.mark.skipif(not prepared, reason=f"{name} is not on this machine")
