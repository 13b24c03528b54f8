"""Conditional and partial requests (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Callable
from datetime import timezone
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum

_ENTITY_TAG = re.compile(r'(?P<weak>W/)?(?P<tag>"[\x21\x23-\x7e\x80-\xff]*")', re.ASCII)
_LIST_PART = re.compile(r'\s*(?P<entry>(?:W/)?"[^"]*"|[^,"]*)\s*(?:,|$)', re.ASCII)
_BYTE_RANGE = re.compile(r"bytes\s*=\s*(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})\s*", re.ASCII)

# From the year 1 to the year 9999.
_FIRST_DATE_S, _LAST_DATE_S = -62_135_596_800, 253_402_300_799

# How a header of the request is asked for: by its name, joined where it is
# repeated; None where there is none.
HeaderLookup = Callable[[str], str | None]


class Precondition(Enum):
    """What a request's conditions come to."""

    HOLDS = "holds"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


class UnsatisfiableRange(Exception):
    """No byte of the file is in the range that is asked for."""


def http_date(seconds: int) -> str:
    """Write a time as HTTP does.

    Args:
        seconds: since 1970. A time that has no year of four digits becomes the
            nearest that has one: file systems can stamp with any.
    """
    return formatdate(min(max(seconds, _FIRST_DATE_S), _LAST_DATE_S), usegmt=True)


def precondition(header: HeaderLookup, etag: str, mtime_s: int | None) -> Precondition:
    """Evaluate a request's conditions in the order of RFC 9110, section 13.2.2.

    Args:
        header: looks up a header of the request.
        etag: the strong entity tag of what would be sent, with its quotes.
        mtime_s: when that changed, in seconds since 1970, where it is known.
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
    """Find out which part of a file is asked for.

    A request for several parts, or in another unit, gets the whole, as RFC 9110
    allows; so does one whose If-Range names another content.

    Args:
        header: looks up a header of the request.
        size_bytes: the length of the file.
        etag, mtime_s: what If-Range is held against.

    Returns:
        The offset and the length, in bytes; None for the whole file.

    Raises:
        UnsatisfiableRange: no byte of the file is in the range.
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
    """Tell whether a list of entity tags names this one, or anything (``*``)."""
    if header.strip() == "*":
        return True
    position = 0
    while position < len(header):
        part = _LIST_PART.match(header, position)
        if part is None or part.end() == position:
            return False
        tag = _ENTITY_TAG.fullmatch(part["entry"])
        if tag is not None and tag["tag"] == etag and (weakly or not tag["weak"]):
            return True
        position = part.end()
    return False


def _seconds(date: str | None) -> int | None:
    if date is None:
        return None
    try:
        time = parsedate_to_datetime(date)
        return int(time.replace(tzinfo=time.tzinfo or timezone.utc).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        # What is no date is ignored: RFC 9110, section 13.1.3.
        return None
