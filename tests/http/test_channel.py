"""How a connection is kept, limited and ended, in memory."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from otaserver.disk.open_file import KEPT_S
from otaserver.wire.transfer import PIECE_BYTES, TURN_BYTES
from tests.support.http import BUFFER_BYTES, Bench, Client, parse_responses
from tests.support.trees import SMALL_TREE, rewrite
from tests.support.worker import LateWorker

MakeBench = Callable[..., Bench]

GET = b"GET /1.0.1/flash/main.py HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE = {"1.0/flash/large": bytes(range(256)) * 8000, "1.0/flash/small": b"small"}


def get(path: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: h", *lines, "", ""]).encode()


def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel say that it has nothing in its page cache."""
    monkeypatch.setattr("otaserver.disk.open_file.read_if_cached", lambda *_: None)
    monkeypatch.setattr("otaserver.disk.open_file.is_cached", lambda *_: False)


def statuses(bench: Bench, data: bytes) -> tuple[list[int], bool]:
    """Send bytes over a connection; say what came back, and whether it ends."""
    client = bench.client()
    client.send(data)
    return [answer.status for answer in client.answers()], client.is_closing


# Which connections are kept


@pytest.mark.parametrize(
    ("version", "lines", "is_kept"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: keep-alive",), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: CLOSE",), False),
        ("1.1", ("Connection: keep-alive, close",), False),
        ("1.1", ("Connection: x,close ,y",), False),
        ("1.1", ("Connection: x", "Connection: close"), False),
        ("1.1", ("Connection: closed",), True),
        ("1.0", (), False),
        ("1.0", ("Connection: keep-alive",), True),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: x, keep-alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
        ("1.0", ("Connection: close",), False),
    ],
)
def test_the_version_and_the_client_decide_whether_a_connection_is_kept(
    bench: Bench, version: str, lines: tuple[str, ...], is_kept: bool
) -> None:
    client = bench.client()
    answer = client.ask("/manifest.json", *lines, version=version)
    assert answer.version == f"HTTP/{version}"
    assert client.is_closing is not is_kept
    if not is_kept:
        assert answer.fields["Connection"] == "close"
    elif version == "1.0":
        assert answer.fields["Connection"] == "keep-alive"
    if is_kept:
        assert client.ask("/manifest.json", version=version).status == 200


def test_after_the_last_request_nothing_more_is_answered(bench: Bench) -> None:
    assert statuses(bench, get("/", "Connection: close") + GET * 5) == ([200], True)


# Requests in one piece, and in many


def test_hundreds_of_requests_in_one_segment_are_answered_in_order(bench_of: MakeBench) -> None:
    files = {f"1.0/flash/{n}": b"%d" % n for n in range(300)}
    bench = bench_of(files)
    client = bench.client()
    client.send(b"".join(get(f"/1.0/flash/{n}") for n in range(300)))
    assert [answer.body for answer in client.answers()] == [b"%d" % n for n in range(300)]


def test_requests_behind_large_files_wait_for_their_turn(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    client.send((get("/1.0/flash/large") + get("/1.0/flash/small") + get("/manifest.json")) * 3)
    bodies = [answer.body for answer in client.answers()]
    assert len(bodies) == 9
    assert bodies[0::3] == [LARGE["1.0/flash/large"]] * 3
    assert bodies[1::3] == [b"small"] * 3


def test_requests_behind_an_answer_from_a_thread_wait_for_their_turn(root: Path) -> None:
    from tests.support.trees import write_tree

    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    worker = LateWorker()
    client = Bench(root, worker=worker).client()
    client.send(get("/manifest.json") + get("/1.0/flash/1"))
    assert client.answers() == []
    worker.work()
    first, second = client.answers()
    assert first.fields["Content-Type"] == "application/json"
    assert second.body == b""


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_request_may_come_in_any_pieces(bench: Bench, size: int) -> None:
    client = bench.client()
    data = get("/manifest.json") + GET
    for start in range(0, len(data), size):
        client.send(data[start : start + size])
    assert [answer.status for answer in client.answers()] == [200, 200]


def test_a_client_that_reads_nothing_is_not_answered_without_end(bench_of: MakeBench) -> None:
    bench = bench_of({"1.0/flash/file": b"x" * 60_000})
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/file") * 1000)
    assert client.wire.buffered < BUFFER_BYTES + 70_000
    # Nor is what it sends kept without end: it stays in the kernel.
    assert not client.wire.is_reading
    client.wire.unstall()
    answers = client.answers()
    assert len(answers) == 1000
    assert all(len(answer.body) == 60_000 for answer in answers)
    assert client.ask("/manifest.json").status == 200


def test_a_client_that_stalled_once_during_a_large_answer_is_served_on(
    bench_of: MakeBench,
) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large") + get("/1.0/flash/small") * 500)
    assert client.wire.buffered < 1 << 19
    client.wire.unstall()
    assert len(client.answers()) == 501
    assert client.ask("/1.0/flash/small").body == b"small"
    assert client.wire.is_reading


def test_a_file_is_read_as_fast_as_it_is_taken(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    for _ in range(20):
        assert client.wire.buffered <= 1 << 19
        client.wire.take()
    client.wire.unstall()
    (answer,) = client.answers()
    assert answer.body == LARGE["1.0/flash/large"]


def test_slow_readers_of_one_large_manifest_share_its_bytes(bench_of: MakeBench) -> None:
    import tracemalloc

    bench = bench_of({f"1.0/flash/{n:05}": b"" for n in range(4000)})
    size = len(bench.ask("/manifest.json").body)
    clients = [bench.client() for _ in range(40)]
    tracemalloc.start()
    for client in clients:
        client.wire.is_stalled = True
        client.send(get("/manifest.json"))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 500_000
    # Each has the first write and one piece in the transport's own buffer.
    assert grown < len(clients) * 500_000


def test_large_answers_that_nobody_reads_are_limited_together(bench_of: MakeBench) -> None:
    files = {f"1.0/flash/{n:04}": b"" for n in range(2000)}
    bench = bench_of(files, unread_bytes=2_000_000, cache_bytes=0)
    clients = [bench.client() for _ in range(8)]
    for number, client in enumerate(clients):
        client.wire.is_stalled = True
        client.send(f"GET /manifest.json HTTP/1.1\r\nHost: h{number}\r\n\r\n".encode())
        client.wire.take()
    assert bench.unread.held_bytes <= 2_000_000
    refused = parse_responses(clients[-1].wire.taken)[0]
    assert (refused.status, refused.fields["Retry-After"]) == (503, "10")
    assert refused.text == "Too many large answers are waiting to be read; try again.\n"
    bench.pass_s(31)
    late = bench.client()
    late.wire.is_stalled = True
    late.send(b"GET /manifest.json HTTP/1.1\r\nHost: late\r\n\r\n")
    assert clients[0].wire.aborted
    for client in (*clients, late):
        client.hang_up()
    assert bench.unread.held_bytes == 0


def test_requests_take_turns_with_those_of_others(bench: Bench) -> None:
    greedy, modest = bench.client(), bench.client()
    greedy.channel.dataReceived(GET * 1000)
    # Not even a turn of the reactor later, and not after the other's thousand.
    modest.channel.dataReceived(GET)
    assert len(modest.wire.taken) > 0
    assert greedy.wire.taken.count(b"HTTP/1.1 200") == 1
    assert len(greedy.answers()) == 1000


def test_nothing_is_read_while_requests_wait(bench: Bench) -> None:
    client = bench.client()
    client.channel.dataReceived(GET * 10)
    assert client.wire.is_reading
    client.channel.dataReceived(GET)
    assert not client.wire.is_reading
    assert len(client.answers()) == 11
    assert client.wire.is_reading


def test_nothing_is_read_while_a_request_is_answered(root: Path) -> None:
    from tests.support.trees import write_tree

    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    client = Bench(root, worker=(worker := LateWorker())).client()
    client.send(get("/manifest.json"))
    client.send(get("/manifest.json"))
    assert not client.wire.is_reading
    worker.work()
    worker.work()
    assert len(client.answers()) == 2
    assert client.wire.is_reading


def test_a_request_that_begins_during_an_answer_has_the_time_of_a_request(root: Path) -> None:
    from tests.support.trees import write_tree

    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    bench = Bench(root, worker=(worker := LateWorker()))
    client = bench.client()
    client.send(get("/manifest.json") + GET[:-1])
    bench.pass_s(100)
    worker.work()
    assert [answer.status for answer in client.answers()] == [200]
    bench.pass_s(29)
    assert not client.is_closing
    bench.pass_s(2)
    assert [answer.status for answer in client.answers()] == [408]


# Bodies


def test_a_small_body_is_ignored(bench: Bench) -> None:
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    assert statuses(bench, post + GET) == ([405, 200], False)
    with_get = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /"
    assert statuses(bench, with_get + GET) == ([200, 200], False)


def test_the_largest_body_is_ignored_and_one_byte_more_is_refused(bench: Bench) -> None:
    head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n"
    largest = head.format(1 << 16).encode() + b"x" * (1 << 16)
    assert statuses(bench, largest + GET) == ([405, 200], False)
    more = head.format((1 << 16) + 1).encode() + b"x" * ((1 << 16) + 1)
    assert statuses(bench, more + GET) == ([413], True)


def test_a_body_of_unknown_length_is_refused(bench: Bench) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(bench, head + b"5\r\nhello\r\n0\r\n\r\n" + GET) == ([411], True)


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: x",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1, 1",
        "Content-Length: ",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: " + "9" * 5000,
    ],
)
def test_a_body_whose_end_is_not_sure_is_refused(bench: Bench, lines: str) -> None:
    head = f"POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\nx".encode()
    answered, is_closing = statuses(bench, head + GET)
    assert answered in ([400], [413])
    assert is_closing


def test_a_client_that_asks_first_is_told_to_go_on_before_its_answer(bench: Bench) -> None:
    client = bench.client()
    client.send(
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    )
    taken = client.wire.taken
    assert taken.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 405 ")


# What is not HTTP


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / x HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"G\xc3\x89T / HTTP/1.1\r\nHost: h\r\n\r\n",
        b'G"T / HTTP/1.1\r\nHost: h\r\n\r\n',
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\n: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: a\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"x " * 10_000,
    ],
)
def test_what_is_no_request_gets_one_400_and_an_end(bench: Bench, data: bytes) -> None:
    client = bench.client()
    client.send(data + GET * 3)
    (answer,) = client.answers()
    assert answer.status == 400
    assert answer.text == "The request is malformed, or not HTTP.\n"
    assert client.is_closing
    assert len(bench.lines.lines) == 1


HEAD_TOO_LARGE = "The head of a request may have at most 16384 bytes and 500 header fields.\n"
TARGET_TOO_LONG = "The target of a request may have at most 8192 bytes.\n"


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 8_192), 414, TARGET_TOO_LONG),
        (b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 20_000), 414, TARGET_TOO_LONG),
        (b"GET /" + b"a" * 9_000, 414, TARGET_TOO_LONG),
        (b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * 20_000), 431, HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000, 431, HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: %s\r\n" % (b"a" * 1000) * 20), 431, HEAD_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: y\r\n" * 501), 431, HEAD_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("piece_bytes", [100_000, 1_000])
def test_too_long_a_head_or_target_is_told_apart(
    bench: Bench, data: bytes, status: int, sentence: str, piece_bytes: int
) -> None:
    client = bench.client()
    for start in range(0, len(data), piece_bytes):
        client.send(data[start : start + piece_bytes])
    (answer,) = client.answers()
    assert (answer.status, answer.text) == (status, sentence)
    assert client.is_closing


def test_the_longest_head_and_target_are_taken(bench: Bench) -> None:
    assert bench.ask("/?" + "a" * 8_190).status == 200
    known = len(b"GET / HTTP/1.1\r\nHost: h\r\nX: \r\n")
    assert statuses(bench, get("/", "X: " + "a" * (16_384 - known))) == ([200], False)
    assert statuses(bench, get("/", "X: " + "a" * (16_385 - known))) == ([431], True)
    assert statuses(bench, get("/", *["X: y"] * 499)) == ([200], False)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\n\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\nHost: h\n\n",
        b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        b"GET / HTTP/1.1\r\nX: a\nb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\n",
        b"GET / HTTP/1.1\n",
        b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_a_bare_line_feed_is_refused_at_once(bench: Bench, data: bytes) -> None:
    client = bench.client()
    client.send(data)
    (answer,) = client.answers()
    assert answer.status == 400
    assert answer.text == "The lines of a request end with CR LF, not with a bare line feed.\n"
    assert client.is_closing


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"GET / FTP/1", b"hello world, how"])
def test_what_can_become_no_request_is_refused_at_once(bench: Bench, data: bytes) -> None:
    if data == b"GET / FTP/1":
        data += b"\r\n"
    assert statuses(bench, data) == ([400], True)


@pytest.mark.parametrize("coding", ["gzip", "chunked, gzip", "gzip, chunked", "x"])
def test_a_transfer_coding_that_is_not_known_is_501(bench: Bench, coding: str) -> None:
    client = bench.client()
    client.send(f"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n".encode())
    (answer,) = client.answers()
    assert answer.status == 501
    assert answer.text == "The request has a Transfer-Encoding that is not supported here.\n"


def test_a_body_may_contain_line_feeds(bench: Bench) -> None:
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na\nb\n\n"
    assert statuses(bench, post + GET) == ([405, 200], False)


def test_after_a_refusal_nothing_is_answered_or_logged_any_more(bench: Bench) -> None:
    client = bench.client()
    client.send(GET + b"garbage\r\n" + GET + b"x" * 20_000 + b"\r\n" + GET)
    for data in (GET, b"more garbage\r\n\r\n", b"x" * 100_000, b"\r\n" * 1000):
        client.send(data)
    assert [answer.status for answer in client.answers()] == [200, 400]
    assert len(bench.lines.lines) == 2
    bench.pass_s(6)
    assert client.wire.aborted


def test_over_tls_a_refusal_ends_the_connection_as_tls_does(bench: Bench) -> None:
    client = bench.client(secure=True)
    client.send(b"garbage\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [400]
    assert client.wire.disconnecting
    assert not client.wire.write_closed


def test_an_empty_line_before_a_request_is_forgiven(bench: Bench) -> None:
    assert statuses(bench, b"\r\n" + GET) == ([200], False)


# Time-outs


def test_a_client_that_says_nothing_is_left(bench: Bench) -> None:
    client = bench.client()
    bench.pass_s(29)
    assert not client.is_closing
    bench.pass_s(2)
    assert client.is_closing
    bench.pass_s(6)
    assert client.wire.aborted


def test_a_request_that_trickles_in_gets_408(bench: Bench) -> None:
    client = bench.client()
    data = get("/", "X: " + "a" * 100)
    for byte in data[:31]:
        client.send(bytes([byte]))
        bench.pass_s(1)
    assert [answer.status for answer in client.answers()] == [408]
    assert client.is_closing
    slow = bench.client()
    slow.send(data[:40])
    bench.pass_s(31)
    (answer,) = slow.answers()
    assert answer.status == 408
    assert answer.text == "The request took too long to arrive.\n"


def test_a_body_that_trickles_in_gets_408(bench: Bench) -> None:
    client = bench.client()
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n")
    for _ in range(31):
        client.send(b"x")
        bench.pass_s(1)
    assert [answer.status for answer in client.answers()] == [408]


def test_a_kept_connection_is_closed_after_the_idle_time(bench: Bench) -> None:
    client = bench.client()
    client.ask("/manifest.json")
    bench.pass_s(59)
    assert not client.is_closing
    client.ask("/manifest.json")
    bench.pass_s(59)
    assert not client.is_closing
    bench.pass_s(2)
    assert client.is_closing
    assert client.answers() == []


def test_the_first_byte_of_the_next_request_starts_its_time(bench: Bench) -> None:
    client = bench.client()
    client.ask("/manifest.json")
    bench.pass_s(50)
    client.send(GET[:-1])
    bench.pass_s(29)
    assert not client.is_closing
    bench.pass_s(2)
    assert [answer.status for answer in client.answers()] == [408]


def test_a_connection_that_timed_out_can_not_come_back(bench: Bench) -> None:
    client = bench.client()
    client.ask("/manifest.json")
    client.wire.is_stalled = True
    bench.pass_s(61)
    assert client.is_closing
    for _ in range(6):
        client.send(GET)
        bench.pass_s(1)
    assert client.wire.aborted
    assert client.wire.buffered == 0


def test_a_reader_who_takes_too_little_is_left(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    before = len(os.listdir("/proc/self/fd"))
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    bench.pass_s(59)
    assert not client.wire.aborted
    bench.pass_s(70)
    assert client.wire.aborted
    client.hang_up()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_who_goes_on_taking_is_not_left(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    for _ in range(7):
        bench.pass_s(50)
        client.wire.take()
    assert not client.wire.aborted


def test_the_time_of_an_answer_is_not_the_request_s_or_the_idle_time(root: Path) -> None:
    from tests.support.trees import write_tree

    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    worker = LateWorker()
    bench = Bench(root, worker=worker)
    client = bench.client()
    client.send(get("/manifest.json"))
    bench.pass_s(300)
    assert not client.is_closing
    worker.work()
    assert [answer.status for answer in client.answers()] == [200]


def test_the_last_answer_has_the_time_that_the_lowest_rate_gives_it(bench_of: MakeBench) -> None:
    bench = bench_of({"1.0/flash/file": b"x" * 60_000})
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/file", version="1.0"))
    assert client.wire.disconnecting
    bench.pass_s(300)
    assert not client.wire.aborted
    bench.pass_s(400)
    assert client.wire.aborted


# Limits


def test_one_connection_too_many_is_told_so_and_counts_for_nothing(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, max_connections=2)
    first, second, third = (bench.client() for _ in range(3))
    (answer,) = third.answers()
    assert answer.status == 503
    assert answer.text == "There are too many connections; try again.\n"
    assert answer.fields["Retry-After"] == "10"
    assert third.is_closing
    third.send(GET)
    assert third.answers() == []
    third.hang_up()
    assert bench.client().answers()[0].status == 503
    first.hang_up()
    assert bench.client().ask("/").status == 200
    assert second.ask("/").status == 200


def test_one_address_can_not_take_all_places(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, max_per_address=3)
    greedy = [bench.client(peer="192.0.2.66") for _ in range(5)]
    assert [bool(client.answers()) for client in greedy] == [False] * 3 + [True] * 2
    assert bench.client(peer="192.0.2.67").ask("/").status == 200
    greedy[0].hang_up()
    assert bench.client(peer="192.0.2.66").ask("/").status == 200


def test_those_who_are_refused_are_limited_too(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, max_connections=1)
    bench.client()
    refused = [bench.client() for _ in range(100)]
    assert all(client.answers()[0].status == 503 for client in refused)
    one_more = bench.client()
    assert one_more.wire.aborted
    assert one_more.answers() == []
    one_more.hang_up()
    refused[0].hang_up()
    assert bench.client().answers()[0].status == 503


def test_every_way_to_end_gives_the_place_back(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE, max_connections=1)
    for data in (b"", b"garbage\r\n\r\n", GET, get("/1.0/flash/large"), get("/", version="1.0")):
        for is_stalled in (False, True):
            client = bench.client()
            client.wire.is_stalled = is_stalled
            client.send(data)
            client.hang_up()
    assert bench.limits._total == 0
    assert len(bench.state.listener.connections) == 0


# A client that closes its sending side


def half_closed(bench: Bench, data: bytes) -> Client:
    client = bench.client()
    client.send(data)
    client.channel.readConnectionLost()
    return client


def test_a_client_that_closes_its_sending_side_gets_all_its_answers(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    client.wire.is_stalled = True
    client.send((get("/1.0/flash/large") + get("/1.0/flash/small")) * 3)
    client.channel.readConnectionLost()
    assert not client.is_closing
    client.wire.unstall()
    assert [len(answer.body) for answer in client.answers()] == [2_048_000, 5] * 3
    assert client.wire.disconnecting


def test_it_gets_an_answer_that_is_made_in_a_thread(root: Path) -> None:
    from tests.support.trees import write_tree

    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    client = half_closed(Bench(root, worker=(worker := LateWorker())), get("/manifest.json"))
    assert not client.is_closing
    worker.work()
    (answer,) = client.answers()
    assert answer.status == 200
    assert client.is_closing


def test_without_a_request_it_is_left(bench: Bench) -> None:
    for data in (b"", GET):
        client = half_closed(bench, data)
        assert len(client.answers()) == len(data) // len(GET)
        assert client.is_closing


def test_half_a_request_is_told_so(bench: Bench) -> None:
    client = half_closed(bench, GET + GET[:-2])
    first, second = client.answers()
    assert (first.status, second.status) == (200, 400)
    assert second.text == "The connection was closed in the middle of a request.\n"
    assert client.is_closing


# Ends in the middle


def test_a_client_that_goes_away_at_any_moment_leaves_nothing_behind(bench_of: MakeBench) -> None:
    bench = bench_of(LARGE)
    before = len(os.listdir("/proc/self/fd"))
    for turns in range(12):
        client = bench.client()
        client.wire.is_stalled = True
        client.send(get("/1.0/flash/large") + GET)
        for _ in range(turns):
            client.wire.take()
        client.hang_up()
    bench.pass_s(KEPT_S)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(bench.lines.lines) >= 8


def test_a_client_that_goes_away_while_the_disk_is_read_leaves_nothing_behind(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    bench = bench_of(LARGE, disk_worker=worker)
    empty_cache(monkeypatch)
    before = len(os.listdir("/proc/self/fd"))
    for turns in range(6):
        client = bench.client()
        client.wire.is_stalled = True
        client.send(get("/1.0/flash/large"))
        for _ in range(turns):
            worker.work()
            client.wire.take()
        client.hang_up()
        worker.work()
        bench.pass_s(KEPT_S)
        worker.work()
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_download_that_is_abandoned_before_it_began_is_the_end(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    bench = bench_of({**SMALL_TREE, **LARGE}, disk_worker=worker)
    empty_cache(monkeypatch)
    client = bench.client()
    client.send(get("/1.0/flash/large") + get("/1.0/flash/small") + get("/manifest.json"))
    worker.work()
    client.hang_up()
    worker.work()
    (line,) = bench.lines.lines
    assert '"GET /1.0/flash/large HTTP/1.1" 200 0 ' in line


def test_a_small_file_that_changes_while_the_disk_is_read_is_not_sent(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    bench = bench_of(LARGE, disk_worker=worker)
    empty_cache(monkeypatch)
    client = bench.client()
    client.send(get("/1.0/flash/small"))
    worker.work()
    rewrite(bench.root / "1.0/flash/small", b"other")
    worker.work()
    (answer,) = client.answers()
    assert answer.status == 503
    assert "ETag" not in answer.fields
    assert not client.is_closing


def test_what_is_not_in_the_cache_is_read_in_a_thread(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(LARGE, disk_worker=(worker := LateWorker()))
    empty_cache(monkeypatch)
    client = bench.client()
    client.send(get("/1.0/flash/large"))
    pieces = 0
    while worker.waiting:
        pieces += 1
        assert bool(client.wire.taken) == (pieces > 2), "first it is opened, then read"
        worker.work()
    (answer,) = client.answers()
    assert answer.body == LARGE["1.0/flash/large"]
    assert pieces > len(answer.body) / PIECE_BYTES


def test_what_the_kernel_has_in_its_cache_takes_no_thread_once_it_is_open(
    bench_of: MakeBench,
) -> None:
    bench = bench_of(LARGE, disk_worker=(worker := LateWorker()))
    client = bench.client()
    client.send(get("/1.0/flash/large"))
    worker.work()
    assert client.answers()[0].body == LARGE["1.0/flash/large"]
    for _ in range(3):
        assert client.ask("/1.0/flash/large").body == LARGE["1.0/flash/large"]
    assert worker.waiting == []


def test_a_disk_that_fails_gets_500_and_no_descriptor_is_lost(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(LARGE)
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("otaserver.disk.open_file.read_if_cached", fail)
    assert bench.ask("/1.0/flash/large").status == 500
    bench.pass_s(KEPT_S)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_changed_while_it_is_sent_is_not_sent_to_its_end(
    bench_of: MakeBench,
) -> None:
    content = b"x" * 6_000_000
    bench = bench_of({"1.0/flash/large": content})
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    rewrite(bench.root / "1.0/flash/large", b"y" * len(content))
    client.wire.unstall()
    assert client.wire.aborted
    assert len(client.wire.taken) < len(content)


def test_where_nobody_can_tell_what_is_cached_the_worker_reads_everything(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_tell(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    bench = bench_of({"1.0/flash/large": b"x" * 6_000_000}, disk_worker=(worker := LateWorker()))
    monkeypatch.setattr("os.preadv", cannot_tell)
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    while len(client.wire.taken) < 6_000_000:
        assert worker.waiting
        before = len(client.wire.taken)
        worker.work()
        client.wire.take()
        assert before <= len(client.wire.taken) <= before + TURN_BYTES
    client.wire.take()
    (answer,) = client.answers()
    assert answer.body == b"x" * 6_000_000


def test_a_file_that_is_cut_while_it_is_sent_ends_the_connection_early(
    bench_of: MakeBench,
) -> None:
    bench = bench_of(LARGE)
    before = len(os.listdir("/proc/self/fd"))
    client = bench.client()
    client.wire.is_stalled = True
    client.send(get("/1.0/flash/large"))
    os.truncate(bench.root / "1.0/flash/large", 100_000)
    client.wire.unstall()
    assert client.wire.aborted
    with pytest.raises(AssertionError, match="bytes of"):
        parse_responses(client.wire.taken)
    client.hang_up()
    bench.pass_s(KEPT_S)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_rewritten_while_it_is_sent_is_not_mixed_with_what_follows(
    bench_of: MakeBench,
) -> None:
    bench = bench_of(LARGE)
    client = bench.client()
    rewrite(bench.root / "1.0/flash/small", b"other")
    client.send(get("/1.0/flash/small") + get("/1.0/flash/large"))
    assert [answer.status for answer in client.answers()] == [503, 200]
