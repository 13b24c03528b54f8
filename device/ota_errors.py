"""What can go wrong with an update. Each error says its cause in one sentence."""


class OTAError(Exception):
    """The root of all errors of this library."""


class LinkError(OTAError):
    """The connection failed, stalled or broke off; another attempt may work."""

    def __init__(self, message, retry_after_s=0):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerError(OTAError):
    """The server answered, but refused or broke its protocol."""


class ManifestError(OTAError):
    """The manifest is malformed, or asks for something no update may do."""

    def __init__(self, what):
        super().__init__("the manifest " + what)


class IntegrityError(OTAError):
    """The bytes received are not the ones that the manifest names."""


class SpaceError(OTAError):
    """The update does not fit on a file system of this device."""


class FirmwareError(OTAError):
    """The board can't take this firmware."""


class StorageError(OTAError):
    """A file system of the device failed."""


class StateError(OTAError):
    """The call does not fit the state that the device's update is in."""


def is_number(text):
    """Say whether int() takes ``text``: isdigit() knows more digits than that."""
    return bool(text) and not text.strip("0123456789")
