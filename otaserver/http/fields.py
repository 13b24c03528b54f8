"""The header fields of a request."""


class Fields(dict[bytes, list[bytes]]):
    """Header fields: their values by name, each name in Twisted's canonical case."""

    def addRawHeader(self, name: bytes, value: bytes) -> None:
        """Add a field that Twisted has checked.

        Args:
            name: its name, in canonical case.
            value: its value, without line ends.
        """
        self.setdefault(name, []).append(value)
