"""Answers over HTTP other than the whole content with its length: refusals, parts, pages."""

from ota_answer import Body
from ota_errors import LinkError, ServerError, is_number

LONGEST_WAIT_S = 300
# Worth a retry: Request Timeout, Too Many Requests, and every status from 500 up.
BUSY = (408, 429)
REDIRECTS = (301, 302, 303, 307, 308)


def body_or_place(keeper, connection, status, headers, place, target, path, offset):
    """Return the stream of the content from the offset on, or where a redirect leads.

    Args:
        keeper: an HTTP that keeps the connection after the body, None to close it.
        connection: the Connection that was asked.
        status: of the answer.
        headers: its headers that matter.
        place: (host, port) that was asked.
        target: path and query that were asked for, perhaps after redirects.
        path: path and query that were asked for first.
        offset: position of the first byte wanted.

    Returns a stream, or a tuple: the next place and target. Raises LinkError or ServerError.
    """
    if status in REDIRECTS and "location" in headers:
        from ota_redirect import follow

        return follow(status, headers["location"], place, target)
    _check_status(status, headers, path)
    body = _body(keeper, connection, headers)
    if status == 206:
        if _range_start(headers.get("content-range", "")) != offset:
            raise ServerError("the server sent the wrong range of {}".format(path))
    elif offset:
        from ota_retry import skip

        skip(body, offset, path)  # the server ignored the range, as RFC 9110 allows
    return body


def _check_status(status, headers, path):
    if status >= 500 or status in BUSY:
        wait_s = headers.get("retry-after", "")
        wait_s = min(int(wait_s), LONGEST_WAIT_S) if is_number(wait_s) else 0
        raise LinkError("the server answered {} for {}".format(status, path), wait_s)
    if status not in (200, 206):
        raise ServerError("the server answered {} for {}".format(status, path))
    is_page = "html" in headers.get("content-type", "").lower()
    if is_page and "htm" not in path.split("?")[0].split("/")[-1]:
        raise LinkError("{} is answered by a web page, perhaps of a captive portal".format(path))


def _body(keeper, connection, headers):
    if headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise ServerError("the server used an encoding that was not requested")
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise ServerError("the server used an encoding that was not requested")
        from ota_chunked import Chunked

        return Chunked(keeper, connection)
    if "content-length" in headers:
        return Body(keeper, connection, _length(headers["content-length"]))
    return connection  # the content ends with it (RFC 9112, section 6.3)


def _length(value):
    lengths = value.split(",")
    length = lengths[0].strip()
    # Some proxies send it twice; that is harmless if both are the same (RFC 9110, 8.6).
    if not is_number(length) or len(length) > 12 or any(n.strip() != length for n in lengths):
        raise ServerError("the server sent an invalid number in a header")
    return int(length)


def _range_start(value):
    words = value.replace("-", " ").split()
    if len(words) < 2 or words[0] != "bytes" or not is_number(words[1]):
        return None
    return int(words[1])
