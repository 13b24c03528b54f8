"""The root of every error that this package raises on purpose, and the error of last resort."""


class OTAServerError(Exception):
    """An error whose text is one sentence for whoever caused it."""


class ServerFailed(OTAServerError):
    """A fault in the server itself; its details are for the log only."""

    def __init__(self) -> None:
        super().__init__("The server failed; see its log.")
