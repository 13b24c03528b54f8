"""What the site answers, asked in memory."""

import hashlib
import html
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from otaserver.disk.open_file import KEPT_S
from otaserver.service import ManifestRequest
from tests.catalogue.finding import file_at
from tests.support.http import Bench
from tests.support.trees import SMALL_TREE, rewrite, write_tree
from tests.support.worker import LateWorker

MakeBench = Callable[..., Bench]

MAIN = "/1.0.1/flash/main.py"


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


# Manifests


def test_a_manifest_at_the_root(bench: Bench) -> None:
    answer = bench.ask("/manifest.json?current_ver=1.0.0")
    assert answer.status == 200
    assert answer.fields["Content-Type"] == "application/json"
    assert answer.fields["ETag"] == etag_of(answer.body)
    assert "max-age" in answer.fields["Cache-Control"]
    manifest = json.loads(answer.body)
    assert manifest["delete"] == ["flash/old.py"]
    assert [entry["URL"] for entry in manifest["new"]] == [
        "http://ota.test:8000/1.0.1/flash/lib/new_lib.py"
    ]
    assert manifest["firmware"]["URL"] == "http://ota.test:8000/firmware_1.0.1.bin"


def test_a_manifest_of_a_product_and_of_one_in_it(bench_of: MakeBench) -> None:
    bench = bench_of({"a/1.0/flash/x": b"", "a/b/2.0/flash/x": b""})
    assert bench.ask("/manifest.json").body == b"null"
    assert json.loads(bench.ask("/a/manifest.json").body)["version"] == "1.0"
    assert json.loads(bench.ask("/a/b/manifest.json").body)["version"] == "2.0"


def test_no_update_is_the_text_null(bench: Bench) -> None:
    answer = bench.ask("/manifest.json?current_ver=1.0.1")
    assert (answer.status, answer.body) == (200, b"null")


@pytest.mark.parametrize(
    "path", ["/1.0.0/manifest.json", "/no/manifest.json", "/1.0.0/flash/manifest.json"]
)
def test_there_is_no_manifest_where_there_is_no_release_tree(bench: Bench, path: str) -> None:
    assert bench.ask(path).status == 404


def test_a_manifest_file_inside_a_release_is_a_file(bench_of: MakeBench) -> None:
    bench = bench_of({"1.0/flash/manifest.json": b"mine"})
    assert bench.ask("/1.0/flash/manifest.json").body == b"mine"


def test_a_folder_named_manifest_json_does_not_hide_the_manifest(bench_of: MakeBench) -> None:
    bench = bench_of({"manifest.json/1.0/flash/x": b"", "2.0/flash/x": b""})
    assert json.loads(bench.ask("/manifest.json").body)["version"] == "2.0"
    assert bench.ask("/manifest.json/").fields["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "query",
    ["current_ver=1&current_ver=2", "current_ver=%", "device=%00", "accept=A"],
)
def test_a_bad_question_gets_400_and_a_sentence(bench: Bench, query: str) -> None:
    answer = bench.ask(f"/manifest.json?{query}")
    assert answer.status == 400
    assert answer.fields["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith(".\n")
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize("version", ["%C2%B2", "1%D9%A3", "9" * 255, "x" * 255, "%F0%9F%98%80"])
def test_the_strangest_versions_are_answered(bench: Bench, version: str) -> None:
    assert bench.ask(f"/manifest.json?current_ver={version}").status == 200


def test_a_manifest_that_is_known_is_not_sent_again(bench: Bench) -> None:
    first = bench.ask("/manifest.json?current_ver=1.0.0")
    tag = first.fields["ETag"]
    for _ in range(2):
        again = bench.ask("/manifest.json?current_ver=1.0.0", f"If-None-Match: {tag}")
        assert (again.status, again.body) == (304, b"")
        assert again.fields["ETag"] == tag
    other = bench.ask("/manifest.json?current_ver=1.0.0", 'If-None-Match: "x"')
    assert other.body == first.body


def test_a_range_of_a_manifest_is_not_given(bench: Bench) -> None:
    whole = bench.ask("/manifest.json")
    asked = bench.ask("/manifest.json", "Range: bytes=0-3")
    assert (asked.status, asked.body) == (200, whole.body)


def test_large_manifests_are_sent_whole(bench_of: MakeBench) -> None:
    bench = bench_of({f"1.0/flash/{n:05}": b"" for n in range(1500)})
    answer = bench.ask("/manifest.json")
    assert len(answer.body) > 1 << 18
    assert len(json.loads(answer.body)["new"]) == 1500
    assert answer.fields["ETag"] == etag_of(answer.body)


# The Host header, and URLs made of it


@pytest.mark.parametrize("host", ["h:81", "h:8000", "192.168.1.10:80", "[2001:db8::1]:8000"])
def test_urls_name_the_host_that_was_asked(bench: Bench, host: str) -> None:
    manifest = json.loads(bench.ask("/manifest.json", f"Host: {host}").body)
    assert manifest["firmware"]["URL"] == f"http://{host}/firmware_1.0.1.bin"


@pytest.mark.parametrize("host", ["h", "h:", "192.168.1.10", "[2001:db8::1]"])
def test_a_host_without_a_port_gets_the_one_that_was_reached(bench: Bench, host: str) -> None:
    client = bench.client()
    for fields, port in (((), ":8000"), (("X-Forwarded-For: 10.0.0.1",), ""), ((), ":8000")):
        manifest = json.loads(client.ask("/manifest.json", f"Host: {host}", *fields).body)
        shown = host.removesuffix(":")
        assert manifest["firmware"]["URL"] == f"http://{shown}{port}/firmware_1.0.1.bin"


def test_an_ipv4_client_of_a_dual_stack_listener_is_ipv4(bench: Bench) -> None:
    client = bench.client(peer="::ffff:192.0.2.7")
    client.ask("/manifest.json")
    assert bench.lines.lines[-1].startswith("192.0.2.7 ")


def test_without_a_host_urls_name_the_server_s_own_address(bench: Bench) -> None:
    client = bench.client()
    client.send(b"GET /manifest.json HTTP/1.0\r\n\r\n")
    (answer,) = client.answers()
    assert json.loads(answer.body)["firmware"]["URL"].startswith("http://192.0.2.80:8000/")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a/b",
        'a"b',
        "<script>",
        "evil@good",
        "a:99999",
        "a,b",
        "\xff",
        "[::g]",
        "a" * 300,
        "h\\",
    ],
)
@pytest.mark.parametrize("path", ["/manifest.json", "/", MAIN])
def test_a_hostile_host_is_refused(bench: Bench, host: str, path: str) -> None:
    answer = bench.ask(path, f"Host: {host}")
    assert answer.status == 400
    assert b"The request is for" in answer.body


def test_two_hosts_are_refused(bench: Bench) -> None:
    assert bench.ask("/manifest.json", "Host: a", "Host: b").status == 400
    assert bench.ask("/manifest.json", "Host: a", "Host: a").status == 400


def test_a_good_answer_does_not_help_a_bad_host(bench: Bench) -> None:
    assert bench.ask("/manifest.json", "Host: a").status == 200
    assert bench.ask("/manifest.json", "Host: a", "Host: a").status == 400
    assert json.loads(bench.ask("/manifest.json", "Host: b").body)["firmware"]["URL"].startswith(
        "http://b:8000/"
    )


def test_caches_keep_a_manifest_for_each_host(bench: Bench) -> None:
    first = bench.ask("/manifest.json")
    assert first.fields["Vary"] == "Host"
    unchanged = bench.ask("/manifest.json", f"If-None-Match: {first.fields['ETag']}")
    assert unchanged.status == 304
    assert unchanged.fields["Vary"] == "Host"


def test_an_absolute_target_names_the_host(bench: Bench) -> None:
    answer = bench.ask("http://proxy.test:81/manifest.json?current_ver=1.0.0")
    assert json.loads(answer.body)["firmware"]["URL"].startswith("http://proxy.test:81/")
    assert bench.ask('http://a"b/manifest.json').status == 400
    assert bench.ask("http:///manifest.json").status == 400


def test_a_public_url_goes_before_every_host(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, public_url="https://ota.example.com/x")
    manifest = json.loads(bench.ask("/manifest.json", "Host: other").body)
    assert manifest["firmware"]["URL"] == "https://ota.example.com/x/firmware_1.0.1.bin"
    assert "Vary" not in bench.ask("/manifest.json").fields
    assert bench.ask("/manifest.json", "Host: a b").status == 400


def test_over_tls_urls_say_https(bench: Bench) -> None:
    answer = bench.client(secure=True).ask("/manifest.json")
    assert json.loads(answer.body)["firmware"]["URL"].startswith("https://ota.test:8000/")


# Files


def test_a_file_comes_with_all_that_a_cache_and_a_resume_need(bench: Bench) -> None:
    content = SMALL_TREE["1.0.1/flash/main.py"]
    answer = bench.ask(MAIN)
    assert (answer.status, answer.body) == (200, content)
    assert answer.fields["ETag"] == etag_of(content)
    assert answer.fields["Content-Length"] == str(len(content))
    assert answer.fields["Last-Modified"].endswith("GMT")
    assert answer.fields["Accept-Ranges"] == "bytes"
    assert "max-age=604800" in answer.fields["Cache-Control"]
    assert answer.fields["X-Content-Type-Options"] == "nosniff"


def test_every_url_of_a_manifest_leads_to_the_file_it_promises(bench_of: MakeBench) -> None:
    names = ["ü", "a b", "100%", "a#b", "&amp;", "'", "→/;=+", "%2e%2e", "[x]", "{y}"]
    files = {f"1.0/flash/{name}": name.encode() for name in names}
    bench = bench_of(files | {"firmware_1.bin": b"\xe9f"})
    manifest = json.loads(bench.ask("/manifest.json").body)
    entries = [*manifest["new"], manifest["firmware"]]
    assert len(entries) == len(names) + 1
    for entry in entries:
        answer = bench.ask(entry["URL"].removeprefix("http://ota.test:8000"))
        assert answer.status == 200
        assert hashlib.sha1(answer.body).hexdigest() == entry["hash"]
        assert hashlib.sha256(answer.body).hexdigest() == entry["sha256"]
        assert len(answer.body) == entry["size"]


def test_a_release_whose_name_is_no_version_has_no_manifest(bench_of: MakeBench) -> None:
    bench = bench_of({"latest/flash/main.py": b"x", "1.0/flash/main.py": b"x"})
    assert bench.ask("/latest/manifest.json?current_ver=1.0").status == 404
    assert bench.ask("/latest/flash/main.py").status == 200


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, (1 << 18) + 1, 3_000_000])
def test_files_of_any_size_arrive_whole(bench_of: MakeBench, size: int) -> None:
    content = os.urandom(size)
    bench = bench_of({"1.0/flash/file": content})
    before = len(os.listdir("/proc/self/fd"))
    client = bench.client()
    for _ in range(2):
        answer = client.ask("/1.0/flash/file")
        assert answer.body == content
        assert answer.fields["Content-Length"] == str(size)
    bench.pass_s(KEPT_S)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_says_what_get_says_without_the_body(bench: Bench, method: str) -> None:
    for path in ("/manifest.json", MAIN, "/", "/1.0.0", "/nothing"):
        get, head = bench.ask(path), bench.ask(path, method="HEAD")
        assert head.status == get.status
        assert head.fields == get.fields
        assert head.body == b""


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-0", b"p", "bytes 0-0/9"),
        ("bytes=3-", b"nt(2)\n", "bytes 3-8/9"),
        ("bytes=-2", b")\n", "bytes 7-8/9"),
        ("bytes=2-99", b"int(2)\n", "bytes 2-8/9"),
    ],
)
def test_a_part_of_a_file(bench: Bench, asked: str, part: bytes, told: str) -> None:
    answer = bench.ask(MAIN, f"Range: {asked}")
    assert (answer.status, answer.body) == (206, part)
    assert answer.fields["Content-Range"] == told
    assert answer.fields["ETag"] == etag_of(SMALL_TREE[MAIN[1:]])


def test_a_large_part_of_a_large_file(bench_of: MakeBench) -> None:
    content = os.urandom(1_000_000)
    bench = bench_of({"1.0/flash/file": content})
    for start in (1, 65_536, 700_001, 999_999):
        answer = bench.ask("/1.0/flash/file", f"Range: bytes={start}-")
        assert (answer.status, answer.body) == (206, content[start:])


def test_no_part_of_a_file_is_416_with_its_length(bench: Bench) -> None:
    answer = bench.ask(MAIN, "Range: bytes=9-")
    assert answer.status == 416
    assert answer.fields["Content-Range"] == "bytes */9"


def test_a_resume_of_another_content_gets_the_whole_file(bench: Bench) -> None:
    tag = bench.ask(MAIN).fields["ETag"]
    resumed = bench.ask(MAIN, "Range: bytes=3-", f"If-Range: {tag}")
    assert (resumed.status, resumed.body) == (206, b"nt(2)\n")
    other = bench.ask(MAIN, "Range: bytes=3-", 'If-Range: "other"')
    assert (other.status, other.body) == (200, b"print(2)\n")


def test_several_ranges_get_the_whole_file_once(bench: Bench) -> None:
    asked = "Range: bytes=" + ",".join(["0-"] * 1000)
    assert bench.ask(MAIN, asked).body == b"print(2)\n"
    assert bench.ask(MAIN, "Range: bytes=0-1", "Range: bytes=2-3").status == 200


def test_a_head_request_has_no_range(bench: Bench) -> None:
    answer = bench.ask(MAIN, "Range: bytes=0-1", method="HEAD")
    assert (answer.status, answer.fields["Content-Length"]) == (200, "9")


def test_conditions_on_a_file(bench: Bench) -> None:
    first = bench.ask(MAIN)
    tag, date = first.fields["ETag"], first.fields["Last-Modified"]
    assert bench.ask(MAIN, f"If-None-Match: {tag}").status == 304
    assert bench.ask(MAIN, f"If-None-Match: W/{tag}").status == 304
    assert bench.ask(MAIN, f"If-Modified-Since: {date}").status == 304
    assert bench.ask(MAIN, 'If-None-Match: "x"', f"If-Modified-Since: {date}").status == 200
    assert bench.ask(MAIN, f"If-Match: {tag}").status == 200
    failed = bench.ask(MAIN, 'If-Match: "x"')
    assert failed.status == 412
    assert failed.text.endswith(".\n")
    assert bench.ask(MAIN, f"If-None-Match: {tag}", "Range: bytes=0-1").status == 304


def test_only_what_is_released_may_be_cached_for_long(bench_of: MakeBench) -> None:
    bench = bench_of({"1.0/flash/a": b"", "firmware_1.0.bin": b"", "README": b"", "p/notes": b""})
    for path in ("/1.0/flash/a", "/firmware_1.0.bin"):
        assert "max-age=604800" in bench.ask(path).fields["Cache-Control"]
    for path in ("/README", "/p/notes"):
        assert bench.ask(path).fields["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.py", "text/x-python; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.bin", "application/octet-stream"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_type_is_told_whatever_the_machine_knows(
    bench_of: MakeBench, name: str, kind: str
) -> None:
    assert bench_of({name: b""}).ask(f"/{name}").fields["Content-Type"] == kind


# What is not served


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%2E%2E%2fetc",
        "/1.0.0/../1.0.1/flash/main.py",
        "/./manifest.json",
        "//",
        "//etc/passwd",
        "/1.0.0//flash",
        "/%00",
        "/manifest.json%00",
        "/%ff%fe",
        "/%c0%ae%c0%ae/x",
        "/%",
        "/%zz",
        "*",
        "etc/passwd",
        "/" + "a" * 5000,
    ],
)
def test_a_path_that_can_be_none_gets_400(bench: Bench, path: str) -> None:
    answer = bench.ask(path)
    assert answer.status == 400
    assert answer.text.endswith(".\n")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/nothing",
        "/1.0.1/flash/main.py/",
        "/1.0.1/flash/main.py/x",
        "/1.0.1\\flash\\main.py",
        "/..%5c..%5cetc%5cpasswd",
        "/%252e%252e/etc/passwd",
        "/1.0.1/flash/MAIN.PY",
        "/.git/config",
        "/.hidden",
        "/main.py~",
        "/1.0.1/flash/link",
        "/proc/self/environ",
        "/" + "a/" * 2000,
    ],
)
def test_what_is_not_in_the_catalogue_gets_404(small_tree: Path, path: str) -> None:
    write_tree(small_tree, {".git/config": b"x", ".hidden": b"x", "main.py~": b"x"})
    (small_tree / "1.0.1/flash/link").symlink_to("/etc/passwd")
    answer = Bench(small_tree).ask(path)
    assert answer.status == 404
    assert answer.text == "There is nothing at this address.\n"


@pytest.mark.parametrize("target", ["*", "/", "/1.0.1/flash/main.py", "/nothing"])
def test_options_are_the_methods(bench: Bench, target: str) -> None:
    answer = bench.ask(target, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.fields["Allow"] == "GET, HEAD, OPTIONS"
    assert "Content-Length" not in answer.fields


def test_what_a_health_check_asks_is_not_logged(bench: Bench) -> None:
    client = bench.client()
    client.ask("*", method="OPTIONS")
    client.ask("/", method="OPTIONS", version="1.0")
    bench.ask("/", method="HEAD")
    assert bench.lines.lines == []
    bench.ask("/", method="GET")
    bench.ask("/nothing", method="HEAD")
    assert len(bench.lines.lines) == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "get", "X"])
def test_other_methods_get_405_and_the_two_that_there_are(bench: Bench, method: str) -> None:
    for path in ("/", "/manifest.json", MAIN, "/nothing"):
        answer = bench.ask(path, method=method)
        assert answer.status == 405
        assert answer.fields["Allow"] == "GET, HEAD, OPTIONS"


def test_a_file_that_vanished_since_the_manifest_gets_404(bench: Bench, small_tree: Path) -> None:
    (small_tree / MAIN[1:]).unlink()
    assert bench.ask(MAIN).status == 404
    shutil.rmtree(small_tree / "1.0.1")
    assert bench.ask("/1.0.1/flash/same.py").status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_changed_since_the_manifest_gets_503(
    bench: Bench, small_tree: Path, method: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    rewrite(small_tree / MAIN[1:], b"print(3)\n")
    answer = bench.ask(MAIN, method=method)
    assert answer.status == 503
    assert answer.fields["Retry-After"] == "2"
    assert len(os.listdir("/proc/self/fd")) == before
    bench.rescan()
    assert bench.ask(MAIN).body == b"print(3)\n"


def test_a_file_that_became_something_else_is_not_opened(bench: Bench, small_tree: Path) -> None:
    target = small_tree / MAIN[1:]
    target.unlink()
    target.symlink_to("/etc/passwd")
    assert bench.ask(MAIN).status == 503
    target.unlink()
    os.mkfifo(target)
    assert bench.ask(MAIN).status == 503
    target.unlink()
    target.mkdir()
    assert bench.ask(MAIN).status == 503


def test_before_the_first_scan_all_are_asked_to_come_again(bench: Bench) -> None:
    bench.catalogue = None
    for path in ("/manifest.json", "/", MAIN):
        answer = bench.ask(path)
        assert answer.status == 503
        assert answer.fields["Retry-After"] == "1"
    bench.rescan()
    assert bench.ask("/manifest.json").status == 200


@pytest.mark.parametrize("when_s", [-100_000_000_000, 253_402_300_800])
def test_a_file_of_any_time_is_served(root: Path, when_s: int) -> None:
    write_tree(root, {"1.0/flash/a": b"x"})
    bench = Bench(root)
    assert bench.catalogue is not None
    file = file_at(bench.catalogue, "1.0", "flash", "a")
    stamp = file.stamp._replace(mtime_ns=when_s * 10**9)
    answer = bench.routes._file(type(file)("1.0/flash/a", stamp, file.sha1, file.sha256))
    assert b"Last-Modified" in answer.fields


# Folders


def test_a_folder_can_be_clicked_through(bench: Bench) -> None:
    seen, to_see = set(), ["/"]
    while to_see:
        path = to_see.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = bench.ask(path)
        assert answer.status == 200, path
        if path.endswith("/"):
            links = re.findall(r'href="\./([^"]*)"', answer.text)
            to_see += [
                path.rstrip("/").rpartition("/")[0] + "/" if link == "../" else path + link
                for link in map(html.unescape, links)
            ]
    assert seen >= {f"/{quote(path)}" for path in SMALL_TREE}
    assert "/manifest.json" in seen


def test_a_folder_without_its_slash_leads_to_the_one_with(bench: Bench) -> None:
    answer = bench.ask("/1.0.0/flash")
    assert answer.status == 301
    assert answer.fields["Location"] == "./flash/"


def test_names_can_not_break_out_of_a_page(bench_of: MakeBench) -> None:
    names = ["<script>alert(1)</script>", 'a" onclick="x', "'&lt;", "javascript:alert(1)", "a&b"]
    bench = bench_of({f"{name}".replace("/", "_"): b"" for name in names} | {"<b>/x": b""})
    for path in ("/", "/%3Cb%3E/"):
        page = bench.ask(path).text
        assert "<script" not in page
        assert "<b>" not in page
        assert 'onclick="' not in page
        assert 'href="javascript' not in page
    assert "Content-Security-Policy" in bench.ask("/").fields


def test_a_location_can_not_leave_the_site(bench_of: MakeBench) -> None:
    bench = bench_of({"\\evil.test/1.0/flash/x": b"", "a\r\nX: y/1.0/flash/x": b""})
    assert bench.ask("/%5Cevil.test").fields["Location"] == "./%5Cevil.test/"
    answer = bench.ask("/a%0D%0AX:%20y")
    assert answer.fields["Location"] == "./a%0D%0AX%3A%20y/"
    assert "X" not in answer.fields


def test_a_large_folder_is_drawn_beside_the_reactor(bench_of: MakeBench) -> None:
    worker = LateWorker()
    bench = bench_of({f"many/{n}": b"" for n in range(600)}, worker=worker)
    client = bench.client()
    client.send(b"GET /many/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert client.answers() == []
    worker.work()
    (answer,) = client.answers()
    assert answer.text.count("<tr>") == 600 + 3


# Answers that are kept


def test_a_change_of_the_catalogue_changes_every_answer(bench: Bench, small_tree: Path) -> None:
    assert json.loads(bench.ask("/manifest.json").body)["version"] == "1.0.1"
    assert "2.0" not in bench.ask("/").text
    write_tree(small_tree, {"2.0/flash/main.py": b""})
    bench.rescan()
    assert json.loads(bench.ask("/manifest.json").body)["version"] == "2.0"
    assert "2.0" in bench.ask("/").text


def test_an_answer_of_the_old_catalogue_that_comes_late_is_not_kept(root: Path) -> None:
    write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})
    worker = LateWorker()
    bench = Bench(root, worker=worker)
    client = bench.client()
    client.send(b"GET /manifest.json HTTP/1.1\r\nHost: h\r\n\r\n")
    write_tree(root, {"2.0/flash/main.py": b""})
    bench.rescan()
    worker.work()
    (late,) = client.answers()
    assert json.loads(late.body)["version"] == "1.0"
    client.send(b"GET /manifest.json HTTP/1.1\r\nHost: h\r\n\r\n")
    worker.work()
    (now,) = client.answers()
    assert json.loads(now.body)["version"] == "2.0"


def test_refusals_are_not_kept(bench: Bench) -> None:
    bench.ask("/nothing")
    bench.ask("/manifest.json?current_ver=%")
    assert len(bench.routes._known) == 0


def test_long_addresses_can_not_fill_more_memory_than_the_cache_may_take(
    bench_of: MakeBench,
) -> None:
    bench = bench_of({"1.0/flash/a": b""}, cache_bytes=200_000)
    for number in range(100):
        assert bench.ask(f"/?{number}{'x' * 8_000}").status == 200
    kept = sum(map(len, bench.routes._known._entries))
    assert kept <= 200_000


def test_an_error_in_a_thread_gets_500_and_is_not_kept(
    bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(SMALL_TREE)

    def fail(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr("otaserver.encoded_manifests.encode", fail)
    try:
        status = bench.ask("/manifest.json").status
    except KeyError:
        pytest.fail("an error in one answer reached the connection")
    assert status == 500
    monkeypatch.undo()
    assert bench.ask("/manifest.json").status == 200


# The access log


def test_each_request_is_a_line(bench: Bench) -> None:
    bench.ask("/manifest.json?current_ver=1.0.0", "User-Agent: pump/1.0")
    bench.ask("/nothing")
    length = len(bench.ask("/manifest.json?current_ver=1.0.0").body)
    assert bench.lines.lines[0] == (
        "192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "
        f'"GET /manifest.json?current_ver=1.0.0 HTTP/1.1" 200 {length} "-" "pump/1.0"'
    )
    assert ' 404 34 "-" "-"' in bench.lines.lines[1]


@pytest.mark.parametrize("agent", ['a"b', "a\x1b[31mb", "\xff", "a\tb", "\x00"[:0] + "\x7f"])
def test_a_client_can_not_forge_a_line(bench: Bench, agent: str) -> None:
    bench.ask('/"x"\xa0', f"User-Agent: {agent}")
    (line,) = bench.lines.lines
    assert line.isprintable()
    assert line.isascii()
    assert len(re.findall(r'(?<!\\)"', line)) == 6


def test_the_log_counts_what_was_sent_of_a_file(bench_of: MakeBench) -> None:
    bench = bench_of({"1.0/flash/file": b"x" * 200_000})
    bench.ask("/1.0/flash/file")
    bench.ask("/1.0/flash/file", "Range: bytes=100-199")
    bench.ask("/1.0/flash/file", method="HEAD")
    counts = [line.split('" ')[1].split()[:2] for line in bench.lines.lines]
    assert counts == [["200", "200000"], ["206", "100"], ["200", "0"]]


def test_the_log_can_be_switched_off(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, is_logged=False)
    client = bench.client()
    assert client.ask("/manifest.json").status == 200
    client.send(b"garbage\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [400]


# Check-ins


class Observer:
    """Takes note of who asked what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str | None, str]] = []

    def checked_in(self, request: ManifestRequest, peer_host: str) -> None:
        self.seen.append((request.update.device, request.update.current_ver, peer_host))


def test_every_question_of_a_device_is_noted_though_the_answers_are_shared(
    bench_of: MakeBench,
) -> None:
    observer = Observer()
    bench = bench_of(SMALL_TREE, observers=(observer,))
    asked = [f"/manifest.json?current_ver=1.0.0&device=m{number}" for number in (1, 2, 1)]
    bodies = {bench.ask(target).body for target in asked}
    assert len(bodies) == 1
    assert len(bench.manifests._encoded) == 1
    assert observer.seen == [
        ("m1", "1.0.0", "192.0.2.1"),
        ("m2", "1.0.0", "192.0.2.1"),
        ("m1", "1.0.0", "192.0.2.1"),
    ]


def test_what_is_no_question_is_not_noted(bench_of: MakeBench) -> None:
    observer = Observer()
    bench = bench_of(SMALL_TREE, observers=(observer,))
    bench.ask("/manifest.json", method="HEAD")
    bench.ask("/manifest.json?current_ver=%")
    bench.ask("/firmware_1.0.1.bin")
    bench.ask("/")
    assert observer.seen == []


def test_questions_are_counted_with_what_they_take_in_memory(bench_of: MakeBench) -> None:
    bench = bench_of(SMALL_TREE, cache_bytes=1 << 20)
    long_version = "1a" * 120
    for number in range(100):
        query = f"current_ver={long_version}&firmware_ver={long_version}&x={number}"
        assert bench.ask(f"/manifest.json?{query}").status == 200
    # Each was measured to take some 64 bytes for every byte of the query.
    assert len(bench.routes._known) <= (1 << 20) // (64 * len(query))
