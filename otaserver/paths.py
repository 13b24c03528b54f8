"""Paths as clients write them."""

from otaserver.errors import OTAServerError

MAX_PATH_BYTES = 4096


class BadPath(OTAServerError):
    """A path that can't be one in a release tree."""


def decode_path(path: bytes) -> str:
    """Make text of a path.

    Args:
        path: what the client sent, without escapes.

    Raises:
        BadPath: it is too long, not UTF-8, or has a NUL in it.
    """
    if len(path) > MAX_PATH_BYTES:
        raise BadPath(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    try:
        text = path.decode()
    except UnicodeDecodeError as error:
        raise BadPath("The path is not UTF-8.") from error
    if "\0" in text:
        raise BadPath("The path has a NUL in it.")
    return text


def split_path(path: bytes) -> tuple[str, ...]:
    """Part an absolute path into names to look up.

    Args:
        path: begins with ``/``, and has no escapes left in it. One ``/`` at its
            end makes no difference.

    Raises:
        BadPath: it is too long, not UTF-8, or has an empty, ``.`` or ``..``
            name, or a NUL in it.
    """
    text = decode_path(path)
    if not text.startswith("/"):
        raise BadPath("The path does not begin with a slash.")
    names = tuple(text[1:].split("/"))
    if not names[-1]:
        names = names[:-1]
    for name in names:
        if name in ("", ".", ".."):
            raise BadPath(f"The path has {name!r} as a name in it.")
    return names
