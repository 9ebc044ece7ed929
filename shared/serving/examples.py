"""Classification and regression of `tf.Example`, for models that have such signatures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from grpc import StatusCode
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from shared.serving.servable import Servable
from shared.serving.status import ServingError
from shared.serving.tensor_json import read_tensor

_INPUT, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"
_STRING = np.dtype(object)


def classify(
    servable: Servable, signature: str, examples: input_pb2.Input
) -> classification_pb2.ClassificationResult:
    """The classes and scores of each example.

    Raises:
        ServingError: The signature does not take examples or does not give classes or scores.
    """
    outputs = _ask(servable, signature, examples, (_CLASSES, _SCORES))
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    result = classification_pb2.ClassificationResult()
    for row in range(_rows(outputs)):
        found = result.classifications.add().classes
        for column in range(next(iter(outputs.values())).shape[1]):
            entry = found.add()
            if classes is not None:
                entry.label = classes[row, column].decode("utf-8", "replace")
            if scores is not None:
                entry.score = float(scores[row, column])
    return result


def regress(
    servable: Servable, signature: str, examples: input_pb2.Input
) -> regression_pb2.RegressionResult:
    """The number that belongs to each example.

    Raises:
        ServingError: The signature does not take examples or does not give `outputs`.
    """
    values = _ask(servable, signature, examples, (_OUTPUTS,))[_OUTPUTS]
    result = regression_pb2.RegressionResult()
    for value in values.reshape(_rows({_OUTPUTS: values})):
        result.regressions.add().value = float(value)
    return result


def read_examples(body: Mapping[str, Any]) -> input_pb2.Input:
    """Makes `Input` of the JSON of a classify or regress request.

    Decimals become a float list, whole numbers and booleans an int64 list, texts and base64 a bytes
    list.

    Raises:
        ServingError: There are no examples, or a feature has no such type.
    """
    examples = body.get("examples")
    if not isinstance(examples, list) or not examples:
        raise _invalid("When method is classify or regress, 'examples' must be a list of objects")
    read = [_read_example(example) for example in examples]
    if "context" not in body:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=read))
    context = input_pb2.ExampleListWithContext(
        examples=read, context=_read_example(body["context"])
    )
    return input_pb2.Input(example_list_with_context=context)


def _read_example(features: Any) -> example_pb2.Example:
    if not isinstance(features, dict):
        raise _invalid(f"Example must be an object of features, got {type(features).__name__}")
    example = example_pb2.Example()
    for name, value in features.items():
        example.features.feature[name].CopyFrom(_read_feature(name, value))
    return example


def _read_feature(name: str, value: Any) -> feature_pb2.Feature:
    values = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in values}
    try:
        if kinds <= {int, bool}:
            return feature_pb2.Feature(int64_list=feature_pb2.Int64List(value=values))
        if kinds <= {int, bool, float}:
            return feature_pb2.Feature(float_list=feature_pb2.FloatList(value=values))
    except ValueError as error:
        raise _invalid(f"feature {name}: {error}") from None
    texts = read_tensor(name, _STRING, values).tolist()
    return feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=texts))


def _ask(
    servable: Servable, signature: str, examples: input_pb2.Input, outputs: tuple[str, ...]
) -> dict[str, np.ndarray]:
    found = servable.signature(signature)
    if list(found.inputs) != [_INPUT] or found.dtypes[_INPUT] != _STRING:
        raise ServingError(
            StatusCode.FAILED_PRECONDITION,
            f"Expected a signature with the single input {_INPUT} of serialized tf.Example, got "
            f"{', '.join(sorted(found.inputs))}; ask by predict instead.",
        )
    wanted = [name for name in outputs if name in found.definition.outputs]
    if not wanted:
        raise ServingError(
            StatusCode.FAILED_PRECONDITION,
            f"Expected a signature that gives {' or '.join(outputs)}; ask by predict instead.",
        )
    return servable.answer(signature, {_INPUT: _serialize(examples)}, wanted)


def _serialize(examples: input_pb2.Input) -> np.ndarray:
    """Each example with the features of the context, string `(batch,)`."""
    context = examples.example_list_with_context.context
    listed = examples.example_list.examples or examples.example_list_with_context.examples
    if not listed:
        raise _invalid("Input is empty.")
    merged = np.empty(len(listed), object)
    for index, example in enumerate(listed):
        whole = example_pb2.Example()
        whole.CopyFrom(context)
        whole.MergeFrom(example)
        merged[index] = whole.SerializeToString()
    return merged


def _rows(outputs: Mapping[str, np.ndarray]) -> int:
    return next(iter(outputs.values())).shape[0]


def _invalid(message: str) -> ServingError:
    return ServingError(StatusCode.INVALID_ARGUMENT, message)
