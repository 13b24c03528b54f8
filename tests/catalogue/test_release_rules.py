"""What breaks a rule is not offered, with the reason, and what was offered before still is."""

from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.model import Catalogue, File, ReleaseTree
from otaserver.catalogue.problems import Problem, Weight
from otaserver.catalogue.release_rules import (
    address_breach,
    breaches,
    path_breach,
    step_breach,
    version_breach,
)
from otaserver.catalogue.release_tree import release_of
from otaserver.manifest.model import Manifest, manifest_of
from otaserver.manifest.offer import NoOffer, offer
from otaserver.manifest.update_request import UpdateRequest, parse_update_request
from tests.catalogue.finding import tree_at
from tests.support.release_rules import BASE, CASES, Case
from tests.support.trees import scanned, scanner, write_tree

OFFERED_BEFORE = "1.0.0"


def tree_of(catalogue: Catalogue, case: Case) -> ReleaseTree:
    return tree_at(catalogue, *(case.product.split("/") if case.product else ()))


def manifest_for(
    tree: ReleaseTree, current: str | None, firmware: str | None = None
) -> Manifest | None:
    return manifest_of(offer(tree, UpdateRequest(current, firmware)))


def said_of(case: Case) -> Problem:
    """The problem that the server reports, word for word."""
    ending = ", and is not offered"
    if case.old is not None:
        ending = f"; {case.version} is not offered to devices on 1.0.0, which get nothing"
    elif case.path.startswith(case.version + "/"):
        ending = f", so {case.version} is not offered"
    path = f"{case.product}/{case.path}" if case.product else case.path
    return Problem(Weight.NOT_OFFERED, path, case.what + ending, case.remedy)


def test_what_is_no_module_is_no_part_of_the_library(root: Path) -> None:
    pages = ("flash/www/ota.html", "flash/www/OTA.json", "flash/www/ota_boot.md")
    write_tree(root, {f"1.0.0/{path}": content for path, content in BASE.items()})
    write_tree(root, {f"1.0.1/{path}": content for path, content in BASE.items()})
    write_tree(root, {f"1.0.0/{path}": b"1" for path in pages})
    assert scanned(root).problems == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
class TestEachRule:
    def test_what_breaks_it_is_not_offered_and_the_reason_is_said(
        self, root: Path, case: Case
    ) -> None:
        case.write(root)
        catalogue = scanned(root)
        assert catalogue.problems == (said_of(case),)
        tree = tree_of(catalogue, case)
        assert manifest_for(tree, OFFERED_BEFORE) is None
        if case.old is not None:
            assert offer(tree, UpdateRequest(OFFERED_BEFORE, None)).reason is NoOffer.NO_WAY

    def test_what_was_offered_before_still_is(self, root: Path, case: Case) -> None:
        case.write(root)
        tree = tree_of(scanned(root), case)
        manifest = manifest_for(tree, "0.9")
        assert manifest is not None
        # A step is only wrong for those that would make it.
        assert manifest.version == (OFFERED_BEFORE if case.old is None else case.version)
        if case.firmware is not None:
            assert manifest.firmware is not None
            assert manifest.firmware.version == OFFERED_BEFORE

    def test_it_is_offered_once_it_is_mended(self, root: Path, case: Case) -> None:
        folder = case.write(root)
        one = scanner(root)
        first = one.scan()
        for inner in (f"firmware_{case.version}.bin", case.version):
            if (folder / inner).exists():
                (folder / inner).rename(folder / f".{inner}")
        write_tree(folder, {f"1.0.2/{path}": content for path, content in BASE.items()})
        second = one.scan(first)
        assert second.problems == ()
        manifest = manifest_for(tree_of(second, case), OFFERED_BEFORE)
        assert manifest is not None
        assert manifest.version == "1.0.2"


def test_a_rule_is_reported_once_for_each_release(root: Path) -> None:
    write_tree(root, {f"1.0.{minor}/{name}.md": b"" for minor in (0, 1) for name in "abc"})
    assert [problem.path for problem in scanned(root).problems] == ["1.0.0/a.md", "1.0.1/a.md"]


def test_all_rules_that_a_release_breaks_are_reported(root: Path) -> None:
    write_tree(
        root, {"1.0 final/x.md": b"", "1.0 final/flash/a~b": b"", "1.0 final/flash/x.": b""}
    )
    texts = [str(problem) for problem in scanned(root).problems]
    assert len(texts) == 3
    assert sum("FAT can't store" in text for text in texts) == 1


@pytest.mark.parametrize(
    "name", ['a"b', "a*b", "a<b", "a>b", "a?b", "a|b", "a\\b", "a~1", "a ", "a."]
)
def test_fat_s_characters(name: str) -> None:
    found = path_breach(f"flash/{name}/x.py", ("flash", "sd"))
    assert found is not None
    assert "FAT" in found.what


@pytest.mark.parametrize(
    "version", ["1.0&1", "1.0#1", "1.0%1", "1.0%41", "1.0\u200b", "1.0\xa0", "1.0-ü", "1.0\x7f"]
)
def test_versions_that_would_arrive_as_others(version: str) -> None:
    """The original client sends its version as it is, and would never come to rest."""
    found = version_breach(version)
    assert found is not None
    assert "unsafe character" in found.what


@pytest.mark.parametrize(
    "version",
    ["1.0+local", "v1.0-3-gabc1234-dirty", "1!2.0", "1.0;a=b", "1.0(2)", "1.0?", "1.0~1"],
)
def test_versions_that_arrive_as_they_are(version: str) -> None:
    assert version_breach(version) is None
    query = f"current_ver={version}&device=x"
    assert parse_update_request(query.encode()).current_ver == version


@pytest.mark.parametrize(
    "path",
    [
        "flash/OTA_VERSION.py",
        "sd/flash.txt",
        "flash/lib/sd/x",
        "flash/é",
        "flash/lib/ota_previous.py",
    ],
)
def test_names_that_come_near_a_rule_and_keep_it(path: str) -> None:
    assert path_breach(path, ("flash", "sd")) is None


@pytest.mark.parametrize(
    "path", ["flash/OTA_VERSION.py/x", "flash/Ota_Version.PY", "sd/OTA_PREV.mpy"]
)
def test_names_that_are_kept(path: str) -> None:
    found = path_breach(path, ("flash", "sd"))
    assert found is not None
    assert "keeps for itself" in found.what


def test_the_limits_are_the_largest_values_that_are_taken() -> None:
    roots = ("flash", "sd")
    assert path_breach("flash/" + "n" * 100, roots) is None
    assert path_breach("flash/" + "é" * 51, roots) is not None
    path = "flash/" + "n" * 97 + "/" + "m" * 96
    assert path_breach(path, roots) is None
    assert path_breach(path + "m", roots) is not None
    assert address_breach("", "x" * 700) is None
    assert address_breach("", "x" * 701) is not None
    assert address_breach("", "é" * 117) is not None


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("README.md", "move it there, or out of the release"),
        ("flash", "move it there, or out of the release"),
        ("Flash/main.py", "rename Flash to flash"),
        ("app/x.py", "move it there, or out of the release, or name app in --roots if devices "
                     "have it"),
        ("2.0/flash/x.py", "move the content of 2.0 up, or if this is a product, rename it"),
    ],
)  # fmt: skip
def test_what_to_do_with_what_is_outside_the_roots(path: str, remedy: str) -> None:
    found = path_breach(path, ("flash", "sd"))
    assert found is not None
    assert found.remedy == remedy


@pytest.mark.parametrize(
    ("count", "versions"), [(2, "1.0 and 1.1"), (7, "1.2, 1.3, 1.4, 1.5, 1.6 and 2 more")]
)
def test_what_is_in_the_way_of_many_releases_is_said_once(
    root: Path, count: int, versions: str
) -> None:
    write_tree(root, {f"1.{minor}/flash/log": b"" for minor in range(count)})
    write_tree(root, {"1.9/flash/log": b"", "2.0/flash/log/x": b""})
    assert [str(problem) for problem in scanned(root).problems] == [
        f"2.0/flash/log is a folder, but {old} has a file of that name; 2.0 is not offered to "
        f"devices on {which}: rename it"
        for old, which in (
            (f"1.{count - 1}", f"{versions}, which get 1.9"),
            ("1.9", "1.9, which get nothing"),
        )
    ]


def test_roots_of_another_device(root: Path) -> None:
    write_tree(root, {"1.0/app/main.py": b"", "1.1/flash/main.py": b"", "latest/app/x": b""})
    catalogue = scanner(root, roots=("app", "data", "sd")).scan()
    assert [str(problem) for problem in catalogue.problems] == [
        "1.1/flash/main.py is outside app/, data/ and sd/, so 1.1 is not offered: "
        "move it there, or out of the release, or name flash in --roots if devices have it",
        "latest has a folder app like a release, but its name is no version, and is not offered: "
        "rename it, to 1.0.1 for example, or move app into a release",
    ]
    assert (manifest_for(tree_at(catalogue), None) or pytest.fail()).version == "1.0"


@pytest.mark.parametrize("roots", [("App",), ("app", "flash")])
def test_a_root_inside_a_root_in_any_case(roots: tuple[str, ...]) -> None:
    assert path_breach(f"{roots[0]}/APP/x", roots) is not None


def test_one_root_is_named_alone() -> None:
    found = path_breach("x", ("app",))
    assert found is not None
    assert found.what == "is outside app/"


# What devices refuse to delete


def test_no_device_is_asked_to_delete_what_it_refuses_to_touch(root: Path) -> None:
    """1.0.0 came onto the devices in the workshop, with whatever lay beside it."""
    refused = {"1.0.0/README.md": b"", "1.0.0/flash/a:b": b"", "1.0.0/flash/x\ty": b""}
    write_tree(root, {**refused, "1.0.0/flash/old.py": b"", "1.0.1/flash/new.py": b""})
    tree = tree_at(scanned(root))
    manifest = manifest_for(tree, "1.0.0")
    assert manifest is not None
    assert manifest.delete == ("flash/old.py",)


# Steps


STEPS = {
    "1.0.0/flash/data/x.txt": b"",
    "1.0.1/flash/main.py": b"1",
    "1.0.2/flash/data": b"",
    "1.0.2/flash/main.py": b"2",
}


def test_a_device_gets_the_newest_that_it_can_take(root: Path) -> None:
    write_tree(root, STEPS)
    catalogue = scanned(root)
    assert [str(problem) for problem in catalogue.problems] == [
        "1.0.2/flash/data is a file, but 1.0.0 has a folder of that name; 1.0.2 is not offered "
        "to devices on 1.0.0, which get 1.0.1: rename it"
    ]
    tree = tree_at(catalogue)
    assert (manifest_for(tree, "1.0.0") or pytest.fail()).version == "1.0.1"
    assert (manifest_for(tree, "1.0") or pytest.fail()).version == "1.0.1"
    assert (manifest_for(tree, "1.0.1") or pytest.fail()).version == "1.0.2"
    assert manifest_for(tree, "1.0.2") is None


def test_a_release_that_is_not_offered_is_still_one_that_devices_may_have(root: Path) -> None:
    """Who has it gets what it can take from there."""
    write_tree(root, {**STEPS, "1.0.0/README.md": b""})
    tree = tree_at(scanned(root))
    assert (manifest_for(tree, "1.0.0") or pytest.fail()).version == "1.0.1"


def test_a_device_that_can_t_go_on_still_gets_firmware(root: Path) -> None:
    write_tree(
        root,
        {"1.0.0/flash/a/x": b"", "1.0.1/flash/a": b"", "firmware_1.0.1.bin": b"\xe9"},
    )
    manifest = manifest_for(tree_at(scanned(root)), "1.0.0")
    assert manifest is not None
    assert (manifest.new, manifest.update, manifest.delete) == ((), (), ())
    assert manifest.firmware is not None


NAMES = st.sampled_from(["a", "A", "b", "boot.py", "ota_boot.py", "x~", "lib"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/".join(["flash", *names]))
CONTENTS = st.sampled_from([b"x", b"import ota_boot\n"])


def without_clashes(tree: dict[str, bytes]) -> dict[str, bytes]:
    """What a disk can hold: no file lies below a file."""
    return {
        path: content
        for path, content in tree.items()
        if not any(path.startswith(other + "/") for other in tree)
    }


TREES = st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=5).map(without_clashes)


@given(st.lists(TREES, min_size=1, max_size=4))
def test_every_device_comes_to_rest(
    tmp_path_factory: pytest.TempPathFactory, trees: list[dict[str, bytes]]
) -> None:
    """Whatever the releases: each step is upwards, is one that devices take, and ends."""
    root = tmp_path_factory.mktemp("tree")
    for number, files in enumerate(trees):
        write_tree(root / f"1.{number}", files)
    tree = tree_at(scanned(root))
    for start in tree.releases:
        at = start
        for _ in range(len(trees) + 1):
            found = offer(tree, UpdateRequest(at.version, None)).release
            if found is None:
                break
            assert found.rank > at.rank
            assert not found.problems
            assert step_breach(at, found) is None
            at = found
        else:
            pytest.fail("it does not come to rest")


@given(st.text(max_size=120))
def test_breaches_are_found_in_any_path(path: str) -> None:
    path_breach(path, ("flash",))


def test_breaches_of_a_release_without_files() -> None:
    from otaserver.catalogue.model import Folder

    nothing: MappingProxyType[str, File] = MappingProxyType({})
    empty = Folder("1.0", 0, MappingProxyType({}), nothing, None)
    assert list(breaches(release_of(empty))) == []
