"""The library's errors. Each message states the cause in one sentence."""


class OTAError(Exception):
    """Base class of all errors of this library."""


class LinkError(OTAError):
    """The connection failed, stalled or was lost; a retry may succeed.

    Args:
        message: the cause.
        retry_after_s: how long the server asks clients to wait (RFC 9110, Retry-After).
    """

    def __init__(self, message, retry_after_s=0):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(OTAError):
    """A setting, such as the server's port, can't work; no retry helps."""


class ServerError(OTAError):
    """The server refused the request or violated the protocol."""


class ManifestError(OTAError):
    """The manifest is malformed, or asks for something that no update may do.

    Args:
        what: the rest of a sentence that begins "the manifest".
    """

    def __init__(self, what):
        super().__init__("the manifest " + what)


class IntegrityError(OTAError):
    """The content received doesn't match the manifest."""


class SpaceError(OTAError):
    """The update doesn't fit on a file system of the device."""


class FirmwareError(OTAError):
    """The board can't take this firmware."""


class StorageError(OTAError):
    """A file system of the device failed."""


class StateError(OTAError):
    """The call is not allowed in the current state of the update."""


def is_number(text):
    """Return whether ``text`` consists of ASCII digits only, unlike isdigit()."""
    return bool(text) and not text.strip("0123456789")


def is_sha256(text):
    """Return whether ``text`` is a SHA-256 in lower-case hex."""
    return len(text) == 64 and not text.strip("0123456789abcdef")
