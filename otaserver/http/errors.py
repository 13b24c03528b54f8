"""What HTTP answers to each kind of error: one table from error to status."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from otaserver.catalogue.paths import BadPath
from otaserver.catalogue.stamps import FileChanged, FileRemoved
from otaserver.errors import OTAServerError, ServerFailed
from otaserver.http.answers import Answer, sentence
from otaserver.http.base_url import BadHost
from otaserver.http.error_page import WayBack, error_page
from otaserver.http.target import BadTarget
from otaserver.manifest.update_request import BadUpdateRequest
from otaserver.mip.index import NoSuchPackage
from otaserver.service import NothingHere, TreeNotReadYet
from otaserver.wire.file_transfer import FileUnreadable
from otaserver.wire.limits import TooManyConnections

MAX_BODY_BYTES = 1 << 16


class BadRequest(OTAServerError):
    """The request is malformed, or not HTTP."""

    def __init__(self) -> None:
        super().__init__("The request is malformed, or not HTTP.")


class RequestTimedOut(OTAServerError):
    """The client took too long to send its request."""

    def __init__(self) -> None:
        super().__init__("The request took too long to arrive.")


class LengthRequired(OTAServerError):
    """The length of a request's body is not known in advance."""

    def __init__(self) -> None:
        super().__init__("A request with a body needs a Content-Length.")


class BodyTooLarge(OTAServerError):
    """The body of a request is larger than this server accepts."""

    def __init__(self) -> None:
        super().__init__(f"The body of a request may have at most {MAX_BODY_BYTES} bytes.")


class MethodNotAllowed(OTAServerError):
    """The method is neither GET nor HEAD."""

    def __init__(self) -> None:
        super().__init__("Only GET and HEAD are supported here.")


class PreconditionFailed(OTAServerError):
    """The file is not the version that the request requires."""

    def __init__(self) -> None:
        super().__init__("The file is not the version that the request asks for.")


class _Reply(NamedTuple):
    status: HTTPStatus
    fields: Mapping[str, str] = MappingProxyType({})


_REPLIES: Mapping[type[OTAServerError], _Reply] = MappingProxyType(
    {
        BadRequest: _Reply(HTTPStatus.BAD_REQUEST),
        BadHost: _Reply(HTTPStatus.BAD_REQUEST),
        BadTarget: _Reply(HTTPStatus.BAD_REQUEST),
        BadPath: _Reply(HTTPStatus.BAD_REQUEST),
        BadUpdateRequest: _Reply(HTTPStatus.BAD_REQUEST),
        NothingHere: _Reply(HTTPStatus.NOT_FOUND),
        NoSuchPackage: _Reply(HTTPStatus.NOT_FOUND),
        FileRemoved: _Reply(HTTPStatus.NOT_FOUND),
        MethodNotAllowed: _Reply(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"}),
        RequestTimedOut: _Reply(HTTPStatus.REQUEST_TIMEOUT),
        LengthRequired: _Reply(HTTPStatus.LENGTH_REQUIRED),
        PreconditionFailed: _Reply(HTTPStatus.PRECONDITION_FAILED),
        BodyTooLarge: _Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        TreeNotReadYet: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"}),
        FileChanged: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "2"}),
        TooManyConnections: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}),
        FileUnreadable: _Reply(HTTPStatus.INTERNAL_SERVER_ERROR),
        ServerFailed: _Reply(HTTPStatus.INTERNAL_SERVER_ERROR),
    }
)


def error_answer(error: BaseException | None, way_back: WayBack | None = None) -> Answer:
    """Tell a client about an error.

    Args:
        error: what went wrong; the details of an unexpected error are for the log
            only.
        way_back: where a person can go from here; None for a client that is told in a
            plain sentence.

    Returns:
        The answer, with the status of the nearest kind of error in the table.
    """
    for kind in type(error).__mro__:
        reply = _REPLIES.get(kind)
        if reply is not None:
            if way_back is not None:
                return error_page(reply.status, str(error), way_back, reply.fields)
            return sentence(reply.status, str(error), **reply.fields)
    return error_answer(ServerFailed(), way_back)
