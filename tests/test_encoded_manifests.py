import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

import otaserver.encoded_manifests
from otaserver.catalogue.model import Folder, ReleaseTree
from otaserver.encoded_manifests import EncodedManifest, EncodedManifests
from otaserver.manifest import model
from otaserver.manifest.model import Manifest
from otaserver.manifest.offer import Offer, offer
from otaserver.manifest.update_request import UpdateRequest
from tests.support.trees import scanned, write_tree
from tests.support.worker import ImmediateWorker, LateWorker

BASE_URL = "http://ota.test"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Offer]:
    """The offers that a manifest was made for."""
    offers: list[Offer] = []
    real = model.manifest_of

    def manifest_of(made_offer: Offer) -> Manifest | None:
        offers.append(made_offer)
        return real(made_offer)

    monkeypatch.setattr(otaserver.encoded_manifests, "manifest_of", manifest_of)
    return offers


class Cache(EncodedManifests):
    """Asked as the update server asks it."""

    def ask(self, folder: Folder, request: UpdateRequest, base_url: str) -> Any:
        made = self.get(folder, offer(folder.tree or ReleaseTree(), request), base_url)
        return made if isinstance(made, Deferred) else succeed(made)


@pytest.fixture
def folder(small_tree: Path) -> Folder:
    return scanned(small_tree).root


@pytest.fixture
def large_folder(root: Path) -> Folder:
    return scanned(write_tree(root, {f"1.0/flash/{n}": b"" for n in range(150)})).root


def answered(deferred: "Deferred[EncodedManifest]") -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert len(results) <= 1
    return results[0] if results else None


def test_the_same_question_is_answered_from_the_cache(folder: Folder, made: list[Offer]) -> None:
    cache = Cache(ImmediateWorker(), 1 << 20)
    first = answered(cache.ask(folder, UpdateRequest("1.0.0"), BASE_URL))
    again = answered(cache.ask(folder, UpdateRequest("1.0.0"), BASE_URL))
    assert again is first
    assert len(made) == 1
    assert first.etag == f'"{hashlib.sha256(first.body).hexdigest()}"'
    assert json.loads(first.body)["version"] == "1.0.1"


def test_all_that_a_manifest_depends_on_tells_questions_apart(root: Path) -> None:
    write_tree(root, {"1.0/flash/a": b"", "p/2.0/flash/a": b"", "firmware_1.0.bin": b"\xe9"})
    top = scanned(root).root
    cache = Cache(ImmediateWorker(), 1 << 20)
    legacy = Cache(ImmediateWorker(), 1 << 20, legacy=True)
    questions: list[Any] = [
        (cache, top, UpdateRequest(), BASE_URL),
        (cache, top, UpdateRequest("0.9"), BASE_URL),
        (cache, top, UpdateRequest("0.9", "0.9.1"), BASE_URL),
        (cache, top, UpdateRequest("0.9", "1.0"), BASE_URL),
        (cache, top, UpdateRequest(), "https://other"),
        (legacy, top, UpdateRequest(), BASE_URL),
        (cache, top.folders["p"], UpdateRequest(), BASE_URL),
    ]
    bodies = [answered(asked.ask(*question)).body for asked, *question in questions]
    assert len(set(bodies)) == len(bodies) - 1
    assert bodies[1] == bodies[2]


def test_what_a_device_calls_itself_makes_no_difference(folder: Folder, made: list[Offer]) -> None:
    cache = Cache(ImmediateWorker(), 1 << 20)
    for device in ("a", "b", None):
        cache.ask(folder, UpdateRequest("1.0.0", device=device), BASE_URL)
    assert len(made) == 1


def test_a_new_catalogue_makes_all_anew(folder: Folder, made: list[Offer]) -> None:
    cache = Cache(ImmediateWorker(), 1 << 20)
    cache.ask(folder, UpdateRequest(), BASE_URL)
    cache.clear()
    cache.ask(folder, UpdateRequest(), BASE_URL)
    assert len(made) == 2


def test_a_large_manifest_is_made_once_beside_the_reactor_for_all_who_wait(
    large_folder: Folder, made: list[Offer]
) -> None:
    worker = LateWorker()
    cache = Cache(worker, 1 << 20)
    waiting = [cache.ask(large_folder, UpdateRequest(), BASE_URL) for _ in range(5)]
    assert made == []
    worker.work()
    bodies = {answered(one).body for one in waiting}
    assert len(bodies) == len(made) == 1
    assert answered(cache.ask(large_folder, UpdateRequest(), BASE_URL)).body in bodies
    assert len(made) == 1


def test_a_large_base_is_compared_beside_the_reactor_too(root: Path) -> None:
    write_tree(root, {"2.0/flash/a": b"", **{f"1.0/flash/{n}": b"" for n in range(150)}})
    worker = LateWorker()
    answer = Cache(worker, 1 << 20).ask(scanned(root).root, UpdateRequest("1.0"), BASE_URL)
    assert answered(answer) is None
    assert len(worker.waiting) == 1


def test_a_manifest_of_the_old_catalogue_that_comes_late_is_not_kept(
    large_folder: Folder, made: list[Offer]
) -> None:
    worker = LateWorker()
    cache = Cache(worker, 1 << 20)
    old = cache.ask(large_folder, UpdateRequest(), BASE_URL)
    cache.clear()
    new = cache.ask(large_folder, UpdateRequest(), BASE_URL)
    assert len(worker.waiting) == 2
    worker.work()
    assert answered(old) is not answered(new)
    assert answered(cache.ask(large_folder, UpdateRequest(), BASE_URL)) is not None
    assert len(made) == 2


def test_an_error_reaches_all_who_wait_and_is_not_kept(
    large_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    cache = Cache(worker, 1 << 20)

    def fail(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr(otaserver.encoded_manifests, "manifest_of", fail)
    waiting = [cache.ask(large_folder, UpdateRequest(), BASE_URL) for _ in range(3)]
    worker.work()
    assert all(answered(one).check(KeyError) for one in waiting)
    monkeypatch.undo()
    again = cache.ask(large_folder, UpdateRequest(), BASE_URL)
    worker.work()
    assert json.loads(answered(again).body)["version"] == "1.0"


def test_versions_that_are_asked_for_without_end_fill_no_memory(folder: Folder) -> None:
    cache = Cache(ImmediateWorker(), 20_000)
    for number in range(500):
        cache.ask(folder, UpdateRequest(f"0.{number}"), BASE_URL)
    assert cache._encoded._size_bytes <= 20_000
