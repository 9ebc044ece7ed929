"""What a server answers when it cannot answer: codes of gRPC and of HTTP, and their texts."""

from http import HTTPStatus

from grpc import StatusCode

CLIENT_CLOSED_REQUEST = 499
HTTP_STATUS: dict[StatusCode, int] = {
    StatusCode.OK: HTTPStatus.OK,
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    StatusCode.ABORTED: HTTPStatus.CONFLICT,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.CANCELLED: CLIENT_CLOSED_REQUEST,
    StatusCode.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
"""The HTTP status of each gRPC code, as TensorFlow Serving's `http_server.cc` has it."""

_BY_NUMBER = {code.value[0]: code for code in StatusCode}


class ServingError(Exception):
    """A request has no answer.

    Args:
        code: What kind of error it is.
        message: What a client is told.
        http_status: Where HTTP has a better one than `HTTP_STATUS[code]`.
    """

    def __init__(self, code: StatusCode, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or HTTP_STATUS[code]


def code_of(number: int) -> StatusCode:
    """The gRPC code with a number, which TensorFlow's errors share."""
    return _BY_NUMBER.get(number, StatusCode.UNKNOWN)
