"""What a device is offered, or why nothing."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from otaserver.catalogue.model import File, Firmware, Release, ReleaseTree
from otaserver.catalogue.release_tree import release_tree
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.versions import rank_of_name as rank
from otaserver.manifest.difference import difference
from otaserver.manifest.model import manifest_of
from otaserver.manifest.offer import NoOffer, offer
from otaserver.manifest.update_request import UpdateRequest


def file(path: str, content: str = "") -> File:
    digest = content.encode().hex()
    return File(path, Stamp(2, 3, 0, 0), digest.zfill(40), digest.zfill(64))


def release(version: str, **files: str) -> Release:
    made = {name: file(f"{version}/{name}", content) for name, content in files.items()}
    return Release(version, rank(version), MappingProxyType(made))


TREE = release_tree(
    [release("1.0", a="1", b="1"), release("1.1", a="2", c="1")],
    [Firmware("1.2", rank("1.2"), file("firmware_1.2.bin"))],
)


@pytest.mark.parametrize(
    ("tree", "request_", "reason"),
    [
        (ReleaseTree(), UpdateRequest("1.0"), NoOffer.EMPTY),
        (TREE, UpdateRequest("1.2"), NoOffer.AHEAD),
        (TREE, UpdateRequest("1.1", "1.2"), NoOffer.UP_TO_DATE),
        (TREE, UpdateRequest("1.1", "1.3"), NoOffer.AHEAD),
        (release_tree([release("1.0")], []), UpdateRequest("1.0.0"), NoOffer.UP_TO_DATE),
    ],
)
def test_why_there_is_none(tree: ReleaseTree, request_: UpdateRequest, reason: NoOffer) -> None:
    made = offer(tree, request_)
    assert made.release is None and made.firmware is None
    assert made.reason is reason


def test_what_there_is() -> None:
    made = offer(TREE, UpdateRequest("1.0"))
    assert made.release is not None and made.release.version == "1.1"
    assert made.base is not None and made.base.version == "1.0"
    assert made.firmware is not None and made.firmware.version == "1.2"
    assert made.reason is None


def test_devices_that_differ_by_name_alone_get_the_same() -> None:
    keys = {offer(TREE, UpdateRequest("1.0", device=str(n))).key for n in range(100)}
    assert len(keys) == 1


def test_whatever_a_manifest_depends_on_tells_offers_apart() -> None:
    requests = [
        UpdateRequest(),
        UpdateRequest("1.0"),
        UpdateRequest("1.0.0"),
        UpdateRequest("1.0", "1.2"),
        UpdateRequest("0.9"),
        UpdateRequest("1.1"),
        UpdateRequest("1.1", "1.2"),
    ]
    assert len({offer(TREE, request).key for request in requests}) == len(requests)


def test_the_difference_of_two_releases() -> None:
    changes = difference(TREE.releases[0], TREE.releases[1])
    assert changes.delete == ("b",)
    assert [item.dst_path for item in changes.new] == ["c"]
    assert [item.dst_path for item in changes.update] == ["a"]


def test_the_difference_from_something_unknown() -> None:
    changes = difference(None, TREE.releases[1])
    assert changes.delete == () and changes.update == ()
    assert [item.dst_path for item in changes.new] == ["a", "c"]


def steps_tree(*steps: tuple[str, ...]) -> ReleaseTree:
    """Releases 1.0, 1.1, … with these files each; a name with a slash is in a folder."""
    made = []
    for number, paths in enumerate(steps):
        version = f"1.{number}"
        files = {path: file(f"{version}/{path}") for path in sorted(paths)}
        folders = frozenset(path.rpartition("/")[0] for path in paths if "/" in path)
        found = Release(version, rank(version), MappingProxyType(files), folders)
        made.append(replace(found, content_id=f"id of {version}"))
    return release_tree(made, [])


def offered_from(tree: ReleaseTree, version: str, release: str | None = None) -> str | None:
    made = offer(tree, UpdateRequest(version, release=release))
    return made.release.version if made.release is not None else None


def test_a_device_that_can_not_take_the_newest_at_once_gets_there_in_steps() -> None:
    tree = steps_tree(("lib/a",), ("b",), ("lib",))
    assert offered_from(tree, "1.0") == "1.1"
    assert offered_from(tree, "1.1") == "1.2"
    assert offered_from(tree, "1.2") is None


def test_a_device_that_can_take_none_is_told_so() -> None:
    made = offer(steps_tree(("lib/a",), ("lib",)), UpdateRequest("1.0"))
    assert made.release is None
    assert made.reason is NoOffer.NO_WAY


def test_a_device_whose_version_is_unknown_gets_the_newest() -> None:
    assert offered_from(steps_tree(("lib/a",), ("lib",)), "0.9") == "1.1"


class TestOtherContentOfItsVersion:
    TREE = steps_tree(("a", "b"), ("a", "c"))

    def test_the_newest_is_made_whole(self) -> None:
        made = offer(self.TREE, UpdateRequest("1.1", release="other"))
        manifest = manifest_of(made)
        assert manifest is not None
        assert (manifest.version, manifest.previous_version) == ("1.1", "1.1")
        assert manifest.release == "id of 1.1"
        assert manifest.delete == ()
        assert [item.dst_path for item in manifest.update] == ["a", "c"]

    def test_an_older_one_goes_to_the_newest_with_all_files_listed(self) -> None:
        manifest = manifest_of(offer(self.TREE, UpdateRequest("1.0", release="other")))
        assert manifest is not None
        assert manifest.version == "1.1"
        assert manifest.delete == ("b",)
        assert [item.dst_path for item in manifest.update] == ["a"]
        assert [item.dst_path for item in manifest.new] == ["c"]

    def test_the_same_content_is_up_to_date(self) -> None:
        assert offered_from(self.TREE, "1.1", "id of 1.1") is None
        assert offered_from(self.TREE, "1.1") is None

    def test_a_version_that_the_tree_does_not_know_is_not_repaired(self) -> None:
        assert offered_from(self.TREE, "1.2", "other") is None

    def test_it_tells_offers_apart(self) -> None:
        keys = {
            offer(self.TREE, UpdateRequest("1.0", release=release)).key
            for release in (None, "id of 1.0", "other", "third")
        }
        assert len(keys) == 2
