from hypothesis import given
from hypothesis import strategies as st

from otaserver.byte_cache import ENTRY_OVERHEAD_BYTES, ByteCache


def room_for(entries: int) -> "ByteCache[str, int]":
    return ByteCache(entries * (100 + ENTRY_OVERHEAD_BYTES))


def test_what_was_put_is_found() -> None:
    cache = room_for(1)
    cache.put("a", 1, 100)
    assert cache.get("a") == 1
    assert cache.get("b") is None


def test_what_was_not_asked_for_longest_goes_first() -> None:
    cache = room_for(2)
    cache.put("a", 1, 100)
    cache.put("b", 2, 100)
    cache.get("a")
    cache.put("c", 3, 100)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_what_is_larger_than_the_cache_pushes_nothing_out() -> None:
    cache = room_for(1)
    cache.put("a", 1, 100)
    cache.put("huge", 2, 101)
    assert cache.get("huge") is None
    assert cache.get("a") == 1


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache: ByteCache[str, int] = ByteCache(0)
    cache.put("a", 1, 0)
    assert len(cache) == 0


def test_clearing_makes_all_the_room_free_again() -> None:
    cache = room_for(2)
    for _ in range(3):
        cache.put("a", 1, 100)
        cache.put("b", 2, 100)
        cache.clear()
        assert len(cache) == 0
    cache.put("a", 1, 100)
    cache.put("b", 2, 100)
    assert len(cache) == 2


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4000)), max_size=60))
def test_it_never_holds_more_than_it_may(puts: list[tuple[int, int]]) -> None:
    cache: ByteCache[int, int] = ByteCache(6000)
    sizes: dict[int, int] = {}
    for key, size_bytes in puts:
        if cache.get(key) is None:
            sizes[key] = size_bytes
        cache.put(key, size_bytes, size_bytes)
        held = [key for key in sizes if cache.get(key) is not None]
        assert len(held) == len(cache)
        assert sum(sizes[key] + ENTRY_OVERHEAD_BYTES for key in held) <= 6000
