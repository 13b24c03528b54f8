import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import otaserver.manifest_cache
from otaserver.catalogue import Folder
from otaserver.manifest_cache import ManifestCache
from otaserver.update_request import UpdateRequest
from tests.support.trees import scanned, write_tree
from tests.support.worker import ImmediateWorker, LateWorker

BASE_URL = "http://ota.test"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[UpdateRequest]:
    """The requests that a manifest was made for."""
    requests: list[UpdateRequest] = []
    real = otaserver.manifest_cache.manifest_for

    def manifest_for(tree: Any, request: UpdateRequest) -> Any:
        requests.append(request)
        return real(tree, request)

    monkeypatch.setattr(otaserver.manifest_cache, "manifest_for", manifest_for)
    return requests


@pytest.fixture
def folder(small_tree: Path) -> Folder:
    return scanned(small_tree).root


@pytest.fixture
def large_folder(root: Path) -> Folder:
    return scanned(write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})).root


def answered(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert len(results) <= 1
    return results[0] if results else None


def test_the_same_question_is_answered_from_the_cache(
    folder: Folder, made: list[UpdateRequest]
) -> None:
    cache = ManifestCache(ImmediateWorker(), 1 << 20)
    first = answered(cache.get(folder, UpdateRequest("1.0.0"), BASE_URL))
    again = answered(cache.get(folder, UpdateRequest("1.0.0"), BASE_URL))
    assert again is first
    assert len(made) == 1
    assert first.sha256 == hashlib.sha256(first.body).hexdigest()
    assert json.loads(first.body)["version"] == "1.0.1"


def test_all_that_a_manifest_depends_on_tells_questions_apart(root: Path) -> None:
    write_tree(root, {"1.0/a": b"", "p/2.0/a": b"", "firmware_1.0.bin": b""})
    top = scanned(root).root
    cache = ManifestCache(ImmediateWorker(), 1 << 20)
    questions: list[Any] = [
        (top, UpdateRequest(), BASE_URL, False),
        (top, UpdateRequest("0.9"), BASE_URL, False),
        (top, UpdateRequest("0.9", "0.9.1"), BASE_URL, False),
        (top, UpdateRequest("0.9", "1.0"), BASE_URL, False),
        (top, UpdateRequest(), "https://other", False),
        (top, UpdateRequest(), BASE_URL, True),
        (top.folders["p"], UpdateRequest(), BASE_URL, False),
    ]
    bodies = [answered(cache.get(*question)).body for question in questions]
    assert len(set(bodies)) == len(bodies) - 1
    assert bodies[1] == bodies[2]


def test_what_a_device_calls_itself_makes_no_difference(
    folder: Folder, made: list[UpdateRequest]
) -> None:
    cache = ManifestCache(ImmediateWorker(), 1 << 20)
    for device in ("a", "b", None):
        cache.get(folder, UpdateRequest("1.0.0", device=device), BASE_URL)
    assert len(made) == 1


def test_a_new_catalogue_makes_all_anew(folder: Folder, made: list[UpdateRequest]) -> None:
    cache = ManifestCache(ImmediateWorker(), 1 << 20)
    cache.get(folder, UpdateRequest(), BASE_URL)
    cache.clear()
    cache.get(folder, UpdateRequest(), BASE_URL)
    assert len(made) == 2


def test_a_large_manifest_is_made_once_beside_the_reactor_for_all_who_wait(
    large_folder: Folder, made: list[UpdateRequest]
) -> None:
    worker = LateWorker()
    cache = ManifestCache(worker, 1 << 20)
    waiting = [cache.get(large_folder, UpdateRequest(), BASE_URL) for _ in range(5)]
    assert made == []
    worker.work()
    bodies = {answered(one).body for one in waiting}
    assert len(bodies) == len(made) == 1
    assert answered(cache.get(large_folder, UpdateRequest(), BASE_URL)).body in bodies
    assert len(made) == 1


def test_a_large_base_is_compared_beside_the_reactor_too(root: Path) -> None:
    write_tree(root, {"2.0/a": b"", **{f"1.0/flash/{n}": b"" for n in range(150)}})
    worker = LateWorker()
    answer = ManifestCache(worker, 1 << 20).get(scanned(root).root, UpdateRequest("1.0"), BASE_URL)
    assert answered(answer) is None
    assert len(worker.waiting) == 1


def test_a_manifest_of_the_old_catalogue_that_comes_late_is_not_kept(
    large_folder: Folder, made: list[UpdateRequest]
) -> None:
    worker = LateWorker()
    cache = ManifestCache(worker, 1 << 20)
    old = cache.get(large_folder, UpdateRequest(), BASE_URL)
    cache.clear()
    new = cache.get(large_folder, UpdateRequest(), BASE_URL)
    assert len(worker.waiting) == 2
    worker.work()
    assert answered(old) is not answered(new)
    assert answered(cache.get(large_folder, UpdateRequest(), BASE_URL)) is not None
    assert len(made) == 2


def test_an_error_reaches_all_who_wait_and_is_not_kept(
    large_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    cache = ManifestCache(worker, 1 << 20)

    def fail(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr(otaserver.manifest_cache, "manifest_for", fail)
    waiting = [cache.get(large_folder, UpdateRequest(), BASE_URL) for _ in range(3)]
    worker.work()
    assert all(answered(one).check(KeyError) for one in waiting)
    monkeypatch.undo()
    again = cache.get(large_folder, UpdateRequest(), BASE_URL)
    worker.work()
    assert json.loads(answered(again).body)["version"] == "1.0"


def test_versions_that_are_asked_for_without_end_fill_no_memory(folder: Folder) -> None:
    cache = ManifestCache(ImmediateWorker(), 20_000)
    for number in range(500):
        cache.get(folder, UpdateRequest(f"0.{number}"), BASE_URL)
    assert cache._encoded._size_bytes <= 20_000
