"""Public sets of sentences with intents, and those with slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import tensorflow_datasets as tfds

from data.builders.atis.builder import Atis
from data.builders.snips.builder import Snips
from data.home_assistant import read_home_assistant
from data.public_sets import prepare
from data.readers import SPLIT_NAMES
from data.readers.utterances.findings import known_intent
from data.utterances import OUT_OF_SCOPE, Slot, Utterance

NAMES = ("home_assistant", "atis", "snips", "clinc_oos")

_BUILDERS: dict[str, Callable[..., Any]] = {
    "atis": Atis,
    "snips": Snips,
    "clinc_oos": partial(tfds.builder, "clinc_oos"),
}
_OUT_OF_SCOPE_SUFFIX = "_oos"
_BATCH = 1024

Batch = Mapping[str, Any]


def read_public_utterances(name: str, data_dir: str | None = None) -> list[Utterance]:
    """Reads a public set of sentences.

    Args:
        name: One of `NAMES`.
        data_dir: Folder of TensorFlow Datasets; by default `~/tensorflow_datasets`.

    Returns:
        The sentences of all splits in the published order. What `clinc_oos` publishes as splits
        of their own, `train_oos` and so on, belongs to the split of that name as `out_of_scope`.

    Raises:
        DataError: If the set cannot be downloaded.
    """
    if name == "home_assistant":
        return read_home_assistant()
    builder = _BUILDERS[name](data_dir=data_dir)
    prepare(name, builder)
    return [
        utterance for stored in builder.info.splits for utterance in _read_split(builder, stored)
    ]


def _read_split(builder: tfds.core.DatasetBuilder, stored_name: str) -> Iterator[Utterance]:
    published_apart = stored_name.endswith(_OUT_OF_SCOPE_SUFFIX)
    split = SPLIT_NAMES[stored_name.removesuffix(_OUT_OF_SCOPE_SUFFIX)]
    examples = builder.as_dataset(split=stored_name, shuffle_files=False)
    # The padding of slots is known by its empty names.
    batches = examples.padded_batch(_BATCH).as_numpy_iterator()
    rows = ((batch, row) for batch in batches for row in range(len(batch["text"])))
    for number, (batch, row) in enumerate(rows):
        yield Utterance(
            text=batch["text"][row].decode(),
            intent=OUT_OF_SCOPE if published_apart else _intent(batch, row),
            slots=tuple(_slots(batch["slots"], row)) if "slots" in batch else (),
            split=split,
            where=f"{builder.name}/{stored_name}/{number}",
        )


def _intent(batch: Batch, row: int) -> str:
    name = batch["intent_name" if "intent_name" in batch else "intent"][row]
    return known_intent(name.decode())


def _slots(columns: Batch, row: int) -> Iterator[Slot]:
    names, starts, ends = (columns[key][row] for key in ("name", "start", "end"))
    for name, start, end in zip(names, starts, ends, strict=True):
        if name:
            yield Slot(name.decode(), int(start), int(end))
