"""Header fields of a request."""


class Fields(dict[bytes, list[bytes]]):
    """Header fields: their values by name, each name in the case of ``If-None-Match``."""

    def items_of(self, name: bytes) -> list[bytes]:
        """List what a field that is a list holds (RFC 9110, section 5.6.1).

        Args:
            name: the field's name.

        Returns:
            Its items, in lower case.
        """
        values = self.get(name)
        if values is None:
            return []
        return [item.strip(b" \t").lower() for value in values for item in value.split(b",")]
