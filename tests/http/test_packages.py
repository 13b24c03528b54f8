"""What MicroPython's installer gets over HTTP, from a site in memory."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import LIBRARY_VERSION, Bench
from tests.support.process import PROJECT
from tests.support.trees import write_tree
from tests.support.worker import LateWorker

BenchOf = Callable[..., Bench]

TREE = {
    "1.0.0/flash/main.py": b"one\n",
    "1.0.0/flash/lib/x.py": b"x\n",
    "1.0.1/flash/main.py": b"two\n",
    "1.0.1/flash/OTA_VERSION.py": b"VERSION = 'mine'\n",
    "1.0.1/sd/data.bin": b"data",
    "1.0.2/main.py": b"outside the roots\n",
    "lopy4/2.0.0/flash/main.py": b"lopy4\n",
    "empty/readme.txt": b"",
}
MODULES = {path.name: path.read_bytes() for path in (PROJECT / "device").glob("*.py")}


@pytest.fixture
def site(bench_of: BenchOf) -> Bench:
    return bench_of(TREE)


def package(site: Bench, name: str) -> dict[str, Any]:
    answer = site.ask(f"/pi/package/{name}.json")
    assert answer.status == 200, answer.text
    assert answer.fields["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(answer.body)
    assert found["v"] == 1
    return found


def files(site: Bench, name: str) -> dict[str, bytes]:
    """Fetch all files of a package, as mip does."""
    found = {}
    for path, sha256 in package(site, name)["hashes"]:
        answer = site.ask(f"/pi/file/{sha256[:2]}/{sha256}")
        assert answer.status == 200
        assert hashlib.sha256(answer.body).hexdigest() == sha256
        found[path] = answer.body
    return found


@pytest.mark.parametrize("mpy", ["py", "6", "255"])
@pytest.mark.parametrize("version", ["latest", LIBRARY_VERSION])
def test_the_library_is_a_package(site: Bench, mpy: str, version: str) -> None:
    """Without a compiler, everybody gets source."""
    assert package(site, f"{mpy}/ota/{version}")["version"] == LIBRARY_VERSION
    assert files(site, f"{mpy}/ota/{version}") == MODULES


@pytest.mark.parametrize("mpy", ["py", "6"])
def test_a_release_is_laid_out_for_flash_at_the_root(site: Bench, mpy: str) -> None:
    assert files(site, f"{mpy}/release/1.0.0") == {
        "lib/x.py": b"x\n",
        "main.py": b"one\n",
        "OTA_VERSION.py": b"VERSION = '1.0.0'\n",
    }


def test_the_newest_is_the_newest_that_is_offered(site: Bench) -> None:
    assert package(site, "6/release/latest")["version"] == "1.0.1"
    assert files(site, "6/release/latest") == {
        "main.py": b"two\n",
        "sd/data.bin": b"data",
        "OTA_VERSION.py": b"VERSION = '1.0.1'\n",
    }


def test_the_record_of_the_version_comes_last(site: Bench) -> None:
    hashes = package(site, "6/release/latest")["hashes"]
    assert hashes[-1][0] == "OTA_VERSION.py"


def test_a_product_has_releases_of_its_own(site: Bench) -> None:
    assert files(site, "6/lopy4/release/latest")["main.py"] == b"lopy4\n"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("6/release/3", "The release tree has no release 3."),
        ("6/release/1.0.2", "Devices would refuse this release: 1.0.2/main.py is outside"),
        ("6/lopy4/release/1.0.0", "lopy4 has no release 1.0.0."),
        ("6/lopy5/release/latest", "There is no product lopy5."),
        ("6/lopy4/2.0.0/release/latest", "lopy4/2.0.0 has no releases."),
        ("6/empty/release/latest", "empty offers no release."),
        ("6/ota/0.8", "The device library is here in version 0.9 only."),
        ("6/lopy4/ota/latest", "The packages here are ota, the device library, and release or"),
        ("6/aioble/latest", "The packages here are ota, the device library, and release or"),
        ("6/release/3%0d%0aX", "The release tree has no release 3\\r\\nX."),
    ],
)
def test_what_is_not_there_gets_a_sentence(site: Bench, name: str, sentence: str) -> None:
    answer = site.ask(f"/pi/package/{name}.json")
    assert answer.status == 404
    assert answer.text.startswith(sentence)


@pytest.mark.parametrize("sha256", ["0" * 64, hashlib.sha256(b"outside the roots\n").hexdigest()])
def test_only_files_of_packages_are_found_by_their_hash(site: Bench, sha256: str) -> None:
    answer = site.ask(f"/pi/file/{sha256[:2]}/{sha256}")
    assert (answer.status, answer.text) == (404, "No package has a file with this hash.\n")


def test_a_product_called_pi_is_served_as_any_other(bench_of: BenchOf) -> None:
    hash_of_main = hashlib.sha256(b"pi\n").hexdigest()
    site = bench_of(
        {
            "pi/1.0.0/flash/main.py": b"pi\n",
            "pi/package/6/ota/latest.json": b"{}",
            f"pi/file/{hash_of_main[:2]}/{hash_of_main}": b"another file",
        }
    )
    assert json.loads(site.ask("/pi/manifest.json").body)["version"] == "1.0.0"
    assert site.ask("/pi/package/6/ota/latest.json").body == b"{}"
    assert site.ask(f"/pi/file/{hash_of_main[:2]}/{hash_of_main}").body == b"another file"
    # What the tree has not is mip's.
    assert package(site, "py/ota/latest")["version"] == LIBRARY_VERSION
    assert package(site, "py/pi/release/latest")["version"] == "1.0.0"


def address_of(site: Bench, package_name: str, path: str) -> str:
    sha256 = dict(package(site, package_name)["hashes"])[path]
    return f"/pi/file/{sha256[:2]}/{sha256}"


@pytest.mark.parametrize("path", ["main.py", "OTA_VERSION.py"])
def test_contents_may_be_kept_and_descriptions_not_for_long(site: Bench, path: str) -> None:
    index = site.ask("/pi/package/6/release/latest.json")
    assert index.fields["Cache-Control"] == "public, max-age=10"
    assert "Vary" not in index.fields
    address = address_of(site, "6/release/latest", path)
    content = site.ask(address)
    assert content.fields["Cache-Control"] == "public, max-age=604800"
    assert content.fields["ETag"] == f'"{address[-64:]}"'
    for target, whole in ((address, content), ("/pi/package/6/release/latest.json", index)):
        again = site.ask(target, f"If-None-Match: {whole.fields['ETag']}")
        assert (again.status, again.body) == (304, b"")
        head = site.ask(target, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.fields["Content-Length"] == str(len(whole.body))


def test_a_file_of_a_release_can_be_had_in_parts(site: Bench) -> None:
    part = site.ask(address_of(site, "6/release/latest", "main.py"), "Range: bytes=1-2")
    assert (part.status, part.body) == (206, b"wo")


def test_a_release_that_changed_is_found_by_its_new_hashes(site: Bench) -> None:
    old = address_of(site, "6/release/latest", "main.py")
    write_tree(site.root, {"1.0.1/flash/main.py": b"two, repaired\n"})
    site.rescan()
    assert site.ask(old).status == 404
    assert files(site, "6/release/latest")["main.py"] == b"two, repaired\n"


def test_before_the_first_scan_the_answer_is_to_come_again(site: Bench) -> None:
    site.catalogue = None
    assert site.ask("/pi/package/6/ota/latest.json").status == 503


def test_a_library_that_can_t_be_read_is_the_server_s_fault(
    bench_of: BenchOf, tmp_path: Path
) -> None:
    site = bench_of(TREE, library=tmp_path / "nowhere")
    assert site.ask("/pi/package/6/ota/latest.json").status == 500
    assert site.ask("/pi/package/6/release/1.0.0.json").status == 200
    # A failure is not kept.
    write_tree(tmp_path / "nowhere", MODULES)
    assert files(site, "6/ota/latest") == MODULES


def test_many_who_ask_at_once_have_the_files_sorted_once(bench_of: BenchOf) -> None:
    worker = LateWorker()
    site = bench_of(TREE, worker=worker)
    sha256 = hashlib.sha256(b"one\n").hexdigest()
    clients = [site.client() for _ in range(5)]
    for client in clients:
        client.send(f"GET /pi/file/{sha256[:2]}/{sha256} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert len(worker.waiting) == 1
    worker.work()
    assert [client.answers()[0].body for client in clients] == [b"one\n"] * 5


def test_a_package_of_many_files_is_described_in_a_thread(bench_of: BenchOf) -> None:
    worker = LateWorker()
    site = bench_of({f"1.0/flash/{n}.txt": b"%d" % n for n in range(501)}, worker=worker)
    client = site.client()
    client.send(b"GET /pi/package/6/release/1.0.json HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.answers() == []
    worker.work()
    assert len(json.loads(client.answers()[0].body)["hashes"]) == 502
