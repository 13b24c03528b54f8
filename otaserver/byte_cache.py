"""A cache with a limit on the memory it uses."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

# The memory an entry takes in addition to its value: key, links and objects.
ENTRY_OVERHEAD_BYTES = 1024


class ByteCache(Generic[_K, _V]):
    """A mapping that evicts the least recently used values when it is full.

    Args:
        max_bytes: how much memory all values may take, in bytes, including
            `ENTRY_OVERHEAD_BYTES` for each.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[_K, tuple[_V, int]] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """Look up a value, and mark it as the most recently used.

        Args:
            key: the value's key.

        Returns:
            The value; None if the cache does not hold it.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: _K, value: _V, size_bytes: int) -> None:
        """Add a value, unless it is too large for the whole cache.

        Args:
            key: the value's key; if the cache already holds it, nothing changes.
            value: the value.
            size_bytes: how much memory the value takes, in bytes.
        """
        cost_bytes = size_bytes + ENTRY_OVERHEAD_BYTES
        if cost_bytes > self._max_bytes or key in self._entries:
            return
        self._entries[key] = (value, cost_bytes)
        self._size_bytes += cost_bytes
        while self._size_bytes > self._max_bytes:
            _, (_, freed_bytes) = self._entries.popitem(last=False)
            self._size_bytes -= freed_bytes

    def clear(self) -> None:
        """Remove all values."""
        self._entries.clear()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)
