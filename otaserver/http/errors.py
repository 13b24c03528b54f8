"""What HTTP answers to each kind of error: one table from error to status."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from otaserver.catalogue.paths import BadPath
from otaserver.catalogue.stamps import FileChanged, FileRemoved
from otaserver.disk.disk import DiskBusy
from otaserver.errors import OTAServerError, ServerFailed
from otaserver.http.answers import Answer, sentence
from otaserver.http.base_url import BadHost
from otaserver.http.error_page import WayBack, error_page
from otaserver.http.head import (
    BadRequest,
    BodyTooLarge,
    HeadTooLarge,
    LengthRequired,
    TargetTooLong,
    UnknownCoding,
)
from otaserver.http.target import BadTarget
from otaserver.manifest.update_request import BadUpdateRequest, QueryTooLong
from otaserver.mip.index import NoSuchPackage
from otaserver.service import NothingHere, TreeAway, TreeNotReadYet
from otaserver.wire.file_transfer import FileUnreadable
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.unread import TooMuchUnread

# What the server supports, for the Allow field.
METHODS = "GET, HEAD, OPTIONS"


class RequestTimedOut(OTAServerError):
    """The client took too long to send its request."""

    def __init__(self) -> None:
        super().__init__("The request took too long to arrive.")


class MethodNotAllowed(OTAServerError):
    """The method is none of those that are supported."""

    def __init__(self) -> None:
        super().__init__("Only GET, HEAD and OPTIONS are supported here.")


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
        QueryTooLong: _Reply(HTTPStatus.REQUEST_URI_TOO_LONG),
        NothingHere: _Reply(HTTPStatus.NOT_FOUND),
        NoSuchPackage: _Reply(HTTPStatus.NOT_FOUND),
        FileRemoved: _Reply(HTTPStatus.NOT_FOUND),
        MethodNotAllowed: _Reply(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": METHODS}),
        RequestTimedOut: _Reply(HTTPStatus.REQUEST_TIMEOUT),
        LengthRequired: _Reply(HTTPStatus.LENGTH_REQUIRED),
        TargetTooLong: _Reply(HTTPStatus.REQUEST_URI_TOO_LONG),
        HeadTooLarge: _Reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        UnknownCoding: _Reply(HTTPStatus.NOT_IMPLEMENTED),
        PreconditionFailed: _Reply(HTTPStatus.PRECONDITION_FAILED),
        BodyTooLarge: _Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        TreeNotReadYet: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"}),
        TreeAway: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}),
        FileChanged: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "2"}),
        DiskBusy: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}),
        TooManyConnections: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}),
        TooMuchUnread: _Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}),
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
