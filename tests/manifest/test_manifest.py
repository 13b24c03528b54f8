import hashlib
import json
import tracemalloc
from random import Random
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.model import File, Firmware, Release, ReleaseTree
from otaserver.catalogue.release_tree import release_tree
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.versions import rank_of_name as rank
from otaserver.manifest.encoding import encode
from otaserver.manifest.model import Manifest, manifest_of
from otaserver.manifest.offer import offer
from otaserver.manifest.update_request import UpdateRequest

BASE_URL = "http://ota.test:8000"

Contents = dict[str, bytes]

names = st.sampled_from(["a.py", "b.py", "lib", "ü →%?#.py", "c d"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.dictionaries(paths, st.sampled_from([b"", b"1", b"2", b"\xff"]), max_size=6)
version_names = st.one_of(
    st.sampled_from(
        ["1", "1.0", "v1", "1.0.1", "2.0rc1", "2.0", "v2.0", "10", "1-x", "2-x", "10-x", "1.x"]
    ),
    st.from_regex(r"v?[0-9]{1,2}(\.[0-9]{1,2}){0,2}(rc1|-[a-c]|\.dev0)?", fullmatch=True),
)
trees = st.dictionaries(version_names, contents, max_size=5)
firmware_names = st.lists(version_names, unique=True, max_size=4)


def file(path: str, content: bytes) -> File:
    stamp = Stamp(2, len(content), 0, 0)
    sha1, sha256 = hashlib.sha1(content), hashlib.sha256(content)
    return File(path, stamp, sha1.hexdigest(), sha256.hexdigest())


def tree_of(
    releases: dict[str, Contents], firmwares: tuple[str, ...] = (), at: str = ""
) -> ReleaseTree:
    made = []
    for version, inside in releases.items():
        files = {p: file(f"{at}{version}/{p}", c) for p, c in sorted(inside.items())}
        made.append(
            Release(version, rank(version), MappingProxyType(files), content_id=f"id of {version}")
        )
    images = [Firmware(v, rank(v), file(f"{at}firmware_{v}.bin", v.encode())) for v in firmwares]
    return release_tree(made, images)


def manifest_for(tree: ReleaseTree, request: UpdateRequest) -> Manifest | None:
    return manifest_of(offer(tree, request))


def asked(tree: ReleaseTree, current: "str | None" = None, **fields: Any) -> Any:
    legacy = fields.pop("legacy", False)
    request = UpdateRequest(current_ver=current, **fields)
    return json.loads(encode(manifest_for(tree, request), BASE_URL, legacy))


def applied(manifest: Any, old: Contents, served: dict[str, bytes]) -> Contents:
    """Do to a device's files what a manifest says, as a device does."""
    files = dict(old)
    for path in manifest["delete"]:
        del files[path]
    for entry in manifest["new"]:
        assert entry["dst_path"] not in old
        files[entry["dst_path"]] = fetched(entry, served)
    for entry in manifest["update"]:
        assert entry["dst_path"] in old
        files[entry["dst_path"]] = fetched(entry, served)
    return files


def fetched(entry: dict[str, Any], served: dict[str, bytes]) -> bytes:
    content = served[unquote(urlsplit(entry["URL"]).path)]
    assert entry["size"] == len(content)
    assert entry["hash"] == hashlib.sha1(content).hexdigest()
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    return content


def served_by(releases: dict[str, Contents]) -> dict[str, bytes]:
    return {f"/{v}/{p}": c for v, inside in releases.items() for p, c in inside.items()}


TREE = tree_of(
    {
        "1.0.0": {"flash/main.py": b"1", "flash/old.py": b"", "flash/same.py": b"s"},
        "1.0.1": {"flash/main.py": b"2", "flash/new.py": b"", "flash/same.py": b"s"},
    },
    ("1.0.0", "1.0.1"),
)


def test_the_documented_manifest() -> None:
    manifest = asked(TREE, "1.0.0")
    assert manifest == {
        "delete": ["flash/old.py"],
        "firmware": {
            "URL": f"{BASE_URL}/firmware_1.0.1.bin",
            "hash": hashlib.sha1(b"1.0.1").hexdigest(),
            "sha256": hashlib.sha256(b"1.0.1").hexdigest(),
            "size": 5,
            "version": "1.0.1",
        },
        "new": [
            {
                "URL": f"{BASE_URL}/1.0.1/flash/new.py",
                "dst_path": "flash/new.py",
                "hash": hashlib.sha1(b"").hexdigest(),
                "sha256": hashlib.sha256(b"").hexdigest(),
                "size": 0,
            }
        ],
        "update": [
            {
                "URL": f"{BASE_URL}/1.0.1/flash/main.py",
                "dst_path": "flash/main.py",
                "hash": hashlib.sha1(b"2").hexdigest(),
                "sha256": hashlib.sha256(b"2").hexdigest(),
                "size": 1,
            }
        ],
        "previous_version": "1.0.0",
        "release": "id of 1.0.1",
        "version": "1.0.1",
    }


@pytest.mark.parametrize("current", ["1.0.1", "v1.0.1", "1.0.1.0", "2.0", "1.0.1.post1", "99!0"])
def test_a_device_that_has_the_newest_or_more_gets_null(current: str) -> None:
    assert asked(TREE, current) is None


def test_a_tree_without_releases_has_nothing_for_anyone() -> None:
    assert asked(ReleaseTree()) is None
    assert asked(ReleaseTree(), "1.0", firmware_ver="1.0") is None


def test_a_device_without_a_version_gets_everything_as_new() -> None:
    manifest = asked(TREE)
    assert manifest["previous_version"] is None
    assert len(manifest["new"]) == 3
    assert manifest["update"] == manifest["delete"] == []
    assert manifest["firmware"]["version"] == "1.0.1"


@pytest.mark.parametrize(
    "current", ["0.9", "1.0.0.post1", "site-x", "²", "\U0001f600", "1" + "a" * 254]
)
def test_from_an_unknown_base_everything_is_new_and_nothing_deleted(current: str) -> None:
    manifest = asked(TREE, current)
    assert manifest["previous_version"] == current
    assert len(manifest["new"]) == 3
    assert manifest["update"] == manifest["delete"] == []


def test_a_base_of_equal_rank_is_known_by_its_other_name() -> None:
    manifest = asked(TREE, "v1")
    assert manifest["delete"] == ["flash/old.py"]
    assert manifest["previous_version"] == "v1"


def test_a_base_that_shares_its_rank_is_known_by_its_own_name_only() -> None:
    tree = tree_of({"1.0": {"a": b""}, "1.0.0": {"b": b""}, "2": {}})
    assert asked(tree, "1.0")["delete"] == ["a"]
    assert asked(tree, "1.0.0")["delete"] == ["b"]
    assert asked(tree, "1")["delete"] == []


def test_firmware_is_chosen_by_its_own_version_where_that_is_told() -> None:
    assert "firmware" not in asked(TREE, "1.0.0", firmware_ver="1.0.1")
    only = asked(TREE, "1.0.1", firmware_ver="1.0.0")
    assert only["version"] == only["firmware"]["version"] == "1.0.1"
    assert only["new"] == only["update"] == only["delete"] == []


def test_firmware_alone_says_the_firmware_s_version() -> None:
    tree = tree_of({"1.0": {}}, ("3.0",))
    assert asked(tree, "1.0")["version"] == "3.0"
    assert asked(tree, "0.9")["version"] == "1.0"
    assert asked(tree, "0.9")["firmware"]["version"] == "3.0"


def test_firmware_below_the_device_s_is_left_out() -> None:
    tree = tree_of({"3.0": {}}, ("1.0",))
    assert "firmware" not in asked(tree, "2.0")


def test_legacy_paths_are_absolute_and_those_to_delete_are_not() -> None:
    manifest = asked(TREE, "1.0.0", legacy=True)
    assert manifest["new"][0]["dst_path"] == "/flash/new.py"
    assert manifest["update"][0]["dst_path"] == "/flash/main.py"
    assert manifest["delete"] == ["flash/old.py"]
    plain = asked(TREE, "1.0.0")
    assert manifest["new"][0]["URL"] == plain["new"][0]["URL"]


def test_a_product_s_urls_lead_through_it() -> None:
    tree = tree_of({"1.0": {"flash/a": b""}}, ("1.0",), at="lopy4/")
    manifest = asked(tree)
    assert manifest["new"][0]["URL"] == f"{BASE_URL}/lopy4/1.0/flash/a"
    assert manifest["new"][0]["dst_path"] == "flash/a"
    assert manifest["firmware"]["URL"] == f"{BASE_URL}/lopy4/firmware_1.0.bin"


def test_keys_are_sorted_and_the_text_is_ascii() -> None:
    tree = tree_of({"1": {"ü": b""}}, ("1",))
    text = encode(manifest_for(tree, UpdateRequest()), BASE_URL)
    text.decode("ascii")

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=check)


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 400, 1001])
def test_lists_are_written_as_json_writes_them_whatever_their_length(count: int) -> None:
    old = {f"a{number:04}.py": b"" for number in range(count)}
    changed = {f"b{number:04}.py": b"1" for number in range(count)}
    new = {**dict.fromkeys(changed, b"2"), **{f"c{n:04}.py": b"" for n in range(count)}}
    tree = tree_of({"1": {**old, **changed, "x": b""}, "2": {**new, "x": b""}}, ("2",))
    text = encode(manifest_for(tree, UpdateRequest(current_ver="1")), BASE_URL)
    manifest = json.loads(text)
    assert text == json.dumps(manifest, sort_keys=True).encode()
    assert [len(manifest[name]) for name in ("delete", "update", "new")] == [count] * 3


def test_a_large_manifest_takes_little_memory_while_it_is_written() -> None:
    manifest = manifest_for(
        tree_of({"1": {f"{number}.py": b"" for number in range(10_000)}}), UpdateRequest()
    )
    tracemalloc.start()
    try:
        size_bytes = len(encode(manifest, BASE_URL))
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size_bytes
    finally:
        tracemalloc.stop()


@given(trees, version_names)
def test_applying_a_manifest_to_the_old_release_gives_the_new_one(
    releases: dict[str, Contents], current: str
) -> None:
    tree = tree_of(releases)
    base = tree.release(current)
    old = releases[base.version] if base is not None else {}
    manifest = asked(tree, current)
    if manifest is None:
        newest = tree.newest_release
        assert newest is None or rank(current) >= newest.rank
    else:
        assert applied(manifest, old, served_by(releases)) == releases[manifest["version"]]
        assert rank(manifest["version"]) > rank(current)


@given(trees, firmware_names)
def test_an_empty_device_gets_the_whole_newest_release(
    releases: dict[str, Contents], firmwares: list[str]
) -> None:
    tree = tree_of(releases, tuple(firmwares))
    manifest = asked(tree)
    if tree.newest_release is not None:
        assert applied(manifest, {}, served_by(releases)) == releases[manifest["version"]]
    elif tree.newest_firmware is None:
        assert manifest is None


@given(trees, firmware_names, st.one_of(st.none(), version_names))
def test_a_client_that_stores_only_version_rests_after_two_updates_at_most(
    releases: dict[str, Contents], firmwares: list[str], current: "str | None"
) -> None:
    tree = tree_of(releases, tuple(firmwares))
    updates = 0
    while (manifest := asked(tree, current)) is not None:
        updates += 1
        assert updates <= 2
        assert current is None or rank(manifest["version"]) > rank(current)
        current = manifest["version"]


@given(trees, firmware_names, version_names, version_names)
def test_nothing_is_ever_offered_that_is_not_above_what_the_device_has(
    releases: dict[str, Contents], firmwares: list[str], current: str, firmware_ver: str
) -> None:
    manifest = asked(tree_of(releases, tuple(firmwares)), current, firmware_ver=firmware_ver)
    if manifest is None:
        return
    if "firmware" in manifest:
        assert rank(manifest["firmware"]["version"]) > rank(firmware_ver)
    if manifest["new"] or manifest["update"] or manifest["delete"]:
        assert rank(manifest["version"]) > rank(current)


@given(trees, st.randoms(use_true_random=False), version_names)
def test_the_order_of_reading_changes_nothing(
    releases: dict[str, Contents], random: Random, current: str
) -> None:
    shuffled = list(releases.items())
    random.shuffle(shuffled)
    one, other = tree_of(releases), tree_of(dict(shuffled))
    request = UpdateRequest(current_ver=current)
    made = encode(manifest_for(one, request), BASE_URL)
    assert made == encode(manifest_for(other, request), BASE_URL)
    manifest = json.loads(made)
    if manifest is not None:
        for kind in ("new", "update"):
            order = [entry["dst_path"] for entry in manifest[kind]]
            assert order == sorted(order)
        assert manifest["delete"] == sorted(manifest["delete"])
