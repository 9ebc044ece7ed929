"""Proof that an exported model answers as the trained one, before anything is published."""

import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from shared.export.answers import join_batches
from shared.export.saved_model import ServedModel, SessionModel, load_saved_model
from shared.export.warmup import replay_warmup

ALLOWED_OPS = frozenset((Path(__file__).parent / "allowed_ops.txt").read_text().split())
TOLERANCE = 1e-4
BATCH = 32
LONGEST_REASON = 400
# What calling a signature raises: in its kernels, or for inputs or a name that it does not have.
FAILURES = (tf.errors.OpError, ValueError, TypeError, KeyError)


class ExportError(RuntimeError):
    """An exported model failed verification; the message lists every check that failed."""


@dataclass(frozen=True)
class Tensor:
    """What a signature's input or output must look like.

    Args:
        dtype: Such as `"float32"`.
        dimensions: Names separated by spaces; `batch` must be open, the others may be fixed.
    """

    dtype: str
    dimensions: str = "batch"


@dataclass(frozen=True)
class Expected:
    """One signature: its inputs and outputs by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def verify(
    folder: Path,
    expected: Mapping[str, Expected],
    inputs: Mapping[str, Any],
    reference: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Holds a written SavedModel against the model that it was written from.

    It is asked twice: loaded by TensorFlow's Python loader, and in a session, as a server runs it.

    Args:
        folder: The SavedModel, with warm-up requests.
        expected: Signatures that it must have.
        inputs: Raw validation inputs of `serving_default`, by name.
        reference: The in-memory model's answers to them: some of the outputs, by name.

    Returns:
        `max_abs_difference` over numbers, `label_agreement` over strings (fraction),
        `load_seconds`, `bytes`, `warmup_requests`.

    Raises:
        ExportError: A signature, an op, an answer or a warm-up request is not as it must be.
    """
    start = time.monotonic()
    model = load_saved_model(folder)
    load_seconds = time.monotonic() - start
    graph = _read_graph(folder)
    mismatches = _compare_signatures(graph, expected)
    problems = mismatches + _find_foreign_ops(graph)
    if mismatches:  # Asking signatures of another form would only fail, and say less.
        raise _error(problems)
    session = SessionModel(folder)
    asked = [
        _ask("loaded in Python", model, inputs, reference, problems),
        _ask("in a session", session, inputs, reference, problems),
    ]
    count = _replay(folder, session, problems)
    if problems:
        raise _error(problems)
    return {
        "max_abs_difference": max(difference for difference, _ in asked),
        "label_agreement": min(agreement for _, agreement in asked),
        "load_seconds": round(load_seconds, 3),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "warmup_requests": count,
    }


def compare_answers(
    answers: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """Largest difference of numbers and share of equal strings, over the outputs in `reference`.

    Differences of numbers above 1, such as perplexities, are relative to them.
    """
    difference, agreement = 0.0, 1.0
    for name, wanted in reference.items():
        is_text = wanted.dtype.kind in "OSU"
        if answers[name].shape != wanted.shape:
            gap, share = (0.0, 0.0) if is_text else (float("inf"), 1.0)
        elif is_text:
            gap, share = 0.0, float(np.mean(answers[name] == wanted))
        else:
            wanted = wanted.astype(np.float64)
            gaps = np.abs(answers[name].astype(np.float64) - wanted)
            gaps /= np.maximum(np.abs(wanted), 1)
            gap, share = float(np.max(gaps, initial=0.0)), 1.0
        # Not max(), which drops a NaN.
        difference, agreement = float(np.maximum(difference, gap)), min(agreement, share)
    return difference, agreement


def _read_graph(folder: Path) -> Any:
    content = (folder / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def _compare_signatures(graph: Any, expected: Mapping[str, Expected]) -> list[str]:
    found = {
        name: signature
        for name, signature in graph.signature_def.items()
        if not name.startswith("__saved_model")
    }
    problems = []
    if found.keys() != expected.keys():
        problems.append(f"signatures are {sorted(found)}, expected {sorted(expected)}")
    for name in found.keys() & expected.keys():
        for kind in ("inputs", "outputs"):
            problems += _compare_tensors(
                f"{name} {kind}", getattr(found[name], kind), getattr(expected[name], kind)
            )
    return problems


def _compare_tensors(place: str, found: Any, expected: Mapping[str, Tensor]) -> list[str]:
    if set(found) != set(expected):
        return [f"{place} are {sorted(found)}, expected {sorted(expected)}"]
    return [
        f"{place}: {name} is {_describe(found[name])}, expected {tensor.dtype} "
        f"({tensor.dimensions.replace(' ', ', ')}) with an open batch"
        for name, tensor in expected.items()
        if not _fits(found[name], tensor)
    ]


def _fits(found: Any, expected: Tensor) -> bool:
    sizes = [dimension.size for dimension in found.tensor_shape.dim]
    names = expected.dimensions.split()
    return (
        tf.dtypes.as_dtype(found.dtype).name == expected.dtype
        and not found.tensor_shape.unknown_rank
        and len(sizes) == len(names)
        and all(size == -1 for size, name in zip(sizes, names, strict=True) if name == "batch")
    )


def _describe(found: Any) -> str:
    sizes = tuple(dimension.size for dimension in found.tensor_shape.dim)
    return f"{tf.dtypes.as_dtype(found.dtype).name} {sizes}"


def _find_foreign_ops(graph: Any) -> list[str]:
    """Ops that a stock TensorFlow Serving may lack, and functions that want XLA."""
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for f in functions for node in f.node_def)]
    own = {function.signature.name for function in functions}
    foreign = sorted({node.op for node in nodes} - ALLOWED_OPS - own)
    problems = [f"op {op} is not in shared/export/allowed_ops.txt" for op in foreign]
    if any(holder.attr["_XlaMustCompile"].b for holder in [*nodes, *functions]):
        problems.append("a function asks for XLA, which TensorFlow Serving has switched off")
    return problems


def _predict_in_batches(
    model: ServedModel | SessionModel, inputs: Mapping[str, Any], names: Container[str]
) -> Mapping[str, np.ndarray]:
    """The named outputs; all examples at once would be gigabytes of long recordings."""
    size = len(next(iter(inputs.values())))
    parts = [
        model.predict(**{name: values[start : start + BATCH] for name, values in inputs.items()})
        for start in range(0, size, BATCH)
    ]
    if len(parts) == 1:
        return parts[0]
    return {
        name: join_batches([part[name] for part in parts]) for name in parts[0] if name in names
    }


def _ask(
    place: str,
    model: ServedModel | SessionModel,
    inputs: Mapping[str, Any],
    reference: Mapping[str, np.ndarray],
    problems: list[str],
) -> tuple[float, float]:
    try:
        answers = _predict_in_batches(model, inputs, reference)
    except FAILURES as error:
        problems.append(f"{place}, serving_default fails on validation examples: {_shorten(error)}")
        return float("nan"), 0.0
    difference, agreement = compare_answers(answers, reference)
    if not difference <= TOLERANCE:
        problems.append(f"{place}, answers differ by {difference:.3g} from the trained model's")
    if agreement < 1.0:
        problems.append(f"{place}, only {agreement:.2%} of labels equal the trained model's")
    return difference, agreement


def _replay(folder: Path, model: SessionModel, problems: list[str]) -> int:
    try:
        return replay_warmup(folder, model)
    except (*FAILURES, DecodeError) as error:
        problems.append(f"a warm-up request fails: {_shorten(error)}")
        return 0


def _shorten(error: Exception) -> str:
    """The beginning of a message; TensorFlow's may quote whole files and the graph."""
    text = str(error)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _error(problems: list[str]) -> ExportError:
    return ExportError("Nothing was published:\n  " + "\n  ".join(problems))
