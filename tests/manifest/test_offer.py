"""What a device is offered, or why nothing."""

from types import MappingProxyType

import pytest

from otaserver.catalogue.model import File, Firmware, Release, ReleaseTree
from otaserver.catalogue.release_tree import release_tree
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.versions import rank_of_name as rank
from otaserver.manifest.difference import difference
from otaserver.manifest.offer import NoOffer, offer
from otaserver.manifest.update_request import UpdateRequest


def file(path: str, content: str = "") -> File:
    return File(path, Stamp(1, 2, 3, 0, 0), content, content)


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
