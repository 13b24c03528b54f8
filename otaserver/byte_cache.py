"""A cache that holds at most so many bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

# What an entry costs beside its value: keys, links and objects.
ENTRY_OVERHEAD_BYTES = 1024


class ByteCache(Generic[_K, _V]):
    """Values by key; the ones not asked for longest go first.

    Args:
        max_bytes: how much all values may take, with an allowance for each entry.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[_K, tuple[_V, int]] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """Find a value."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: _K, value: _V, size_bytes: int) -> None:
        """Keep a value, unless it alone would fill the cache.

        Args:
            key: a key that the cache does not hold.
            value: what to keep.
            size_bytes: how much memory the value takes.
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
        """Drop everything."""
        self._entries.clear()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)
