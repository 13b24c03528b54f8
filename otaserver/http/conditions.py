"""Conditional and partial requests (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Callable
from datetime import timezone
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum

_ENTITY_TAG = re.compile(r'(?P<weak>W/)?(?P<tag>"[\x21\x23-\x7e\x80-\xff]*")', re.ASCII)
_BYTE_RANGE = re.compile(
    r"bytes\s*=\s*(?P<first>[0-9]{0,4000})-(?P<last>[0-9]{0,4000})\s*", re.ASCII
)

# Looks up a header of the request by name: the values of a repeated one are joined
# with commas; None if the request does not have it.
HeaderLookup = Callable[[str], str | None]


class Precondition(Enum):
    """The outcome of evaluating a request's conditions."""

    HOLDS = "holds"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


class UnsatisfiableRange(Exception):
    """The requested range contains no byte of the file (RFC 9110, section 15.5.17)."""


def http_date(seconds: int) -> str:
    """Format an HTTP date (RFC 9110, section 5.6.7).

    Args:
        seconds: the time in seconds since 1970, in a year with four digits.

    Returns:
        The date, such as ``Sun, 06 Nov 1994 08:49:37 GMT``.
    """
    return formatdate(seconds, usegmt=True)


def precondition(header: HeaderLookup, etag: str, mtime_s: int | None) -> Precondition:
    """Evaluate a request's conditions in the order of RFC 9110, section 13.2.2.

    Args:
        header: looks up a header of the request.
        etag: the strong entity tag of what would be sent, including its quotes.
        mtime_s: when that last changed, in seconds since 1970; None if unknown.

    Returns:
        Whether to send the content, answer 304, or answer 412.
    """
    if_match = header("If-Match")
    if if_match is not None:
        if not _lists(if_match, etag, weakly=False):
            return Precondition.FAILED
    elif mtime_s is not None:
        unchanged_since_s = _seconds(header("If-Unmodified-Since"))
        if unchanged_since_s is not None and mtime_s > unchanged_since_s:
            return Precondition.FAILED
    if_none_match = header("If-None-Match")
    if if_none_match is not None:
        if _lists(if_none_match, etag, weakly=True):
            return Precondition.NOT_MODIFIED
    elif mtime_s is not None:
        modified_since_s = _seconds(header("If-Modified-Since"))
        if modified_since_s is not None and mtime_s <= modified_since_s:
            return Precondition.NOT_MODIFIED
    return Precondition.HOLDS


def wanted_range(
    header: HeaderLookup, size_bytes: int, etag: str, mtime_s: int
) -> tuple[int, int] | None:
    """Find out which part of a file is requested (RFC 9110, section 14.2).

    A request for several ranges, or in a unit other than bytes, is answered with
    the whole file, as RFC 9110 allows; so is one whose If-Range does not match.

    Args:
        header: looks up a header of the request.
        size_bytes: the size of the file, in bytes.
        etag: the file's strong entity tag, including its quotes, for If-Range.
        mtime_s: when the file last changed, in seconds since 1970, for If-Range.

    Returns:
        The offset and the length, in bytes; None for the whole file.

    Raises:
        UnsatisfiableRange: the range contains no byte of the file.
    """
    asked = header("Range")
    if asked is None or not _if_range_holds(header("If-Range"), etag, mtime_s):
        return None
    match = _BYTE_RANGE.fullmatch(asked)
    if match is None:
        return None
    first, last = match["first"], match["last"]
    if not first:
        return _suffix(last, size_bytes)
    start = int(first)
    stop = min(int(last) + 1, size_bytes) if last else size_bytes
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        raise UnsatisfiableRange
    return start, stop - start


def _suffix(length: str, size_bytes: int) -> tuple[int, int] | None:
    if not length:
        return None
    kept = min(int(length), size_bytes)
    if not kept:
        raise UnsatisfiableRange
    return size_bytes - kept, kept


def _if_range_holds(if_range: str | None, etag: str, mtime_s: int) -> bool:
    if if_range is None:
        return True
    tag = _ENTITY_TAG.fullmatch(if_range.strip())
    if tag is not None:
        return not tag["weak"] and tag["tag"] == etag
    return _seconds(if_range) == mtime_s


def _lists(header: str, etag: str, weakly: bool) -> bool:
    """Return whether a list of entity tags contains this one, or is ``*``."""
    if header.strip() == "*":
        return True
    # Separators are not checked: this takes a single pass, whatever a client sends.
    return any(
        tag["tag"] == etag and (weakly or not tag["weak"]) for tag in _ENTITY_TAG.finditer(header)
    )


def _seconds(date: str | None) -> int | None:
    if date is None:
        return None
    try:
        time = parsedate_to_datetime(date)
        return int(time.replace(tzinfo=time.tzinfo or timezone.utc).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        # A malformed date is ignored: RFC 9110, section 13.1.3.
        return None
