"""The server's rules for releases, held against what the device library really refuses.

The server is asked what it offers, and the device is then given the manifest that the
server would have written without its rules.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from otaserver.catalogue.model import ReleaseTree
from otaserver.catalogue.names import is_part
from otaserver.catalogue.release_rules import DEFAULT_ROOTS, path_breach, version_breach
from otaserver.manifest.encoding import encode
from otaserver.manifest.model import manifest_of
from otaserver.manifest.offer import Offer, offer
from otaserver.manifest.update_request import UpdateRequest
from tests.catalogue.finding import tree_at
from tests.support.file_names import FoldingOS
from tests.support.library import (
    DictionaryOTA,
    QuickBoard,
    Reset,
    files_below,
    ota_files,
    ota_recovery,
    put,
)
from tests.support.release_rules import BASE, CASES, Case, Device
from tests.support.trees import scanned, write_tree

import ota_errors  # isort: skip  (tests.support.library has put it within reach)
import ota_manifest  # isort: skip
import ota_rules  # isort: skip

ERRORS = {
    Device.REFUSES: ota_errors.ManifestError,
    Device.REFUSES_ON_FAT: ota_errors.ManifestError,
    Device.REFUSES_CARD_INSIDE: ota_errors.ManifestError,
    Device.REFUSES_FIRMWARE: ota_errors.FirmwareError,
}


class CardInsideBoard(QuickBoard):
    """Its flash is mounted at the top, and the card in a folder of that, as on an ESP32."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.roots = {"flash": str(folder / "flash"), "sd": str(folder / "flash/sd")}
        (folder / "flash/sd").mkdir(exist_ok=True)


def tree_of(root: Path, product: str = "") -> ReleaseTree:
    return tree_at(scanned(root), *(product.split("/") if product else ()))


def served(root: Path, offered: Offer) -> dict[str, bytes]:
    """Everything that a device can ask a server for, by the address."""
    contents = {
        "/" + quote(path.relative_to(root).as_posix()): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    contents["/manifest.json"] = encode(manifest_of(offered), "http://192.168.1.10:8000")
    return contents


def without_rules(tree: ReleaseTree, case: Case) -> Offer:
    """What the server would offer to a device on 1.0.0 if there were no rules."""
    newest = tree.release(case.version) if case.firmware is None else None
    if newest is not None:
        return Offer("1.0.0", newest, tree.release("1.0.0"))
    firmware = {firmware.version: firmware for firmware in tree.firmwares}
    return Offer("1.0.0", firmware=firmware[case.version])


def device_on(folder: Path, files: Mapping[str, bytes], board: type[QuickBoard]) -> DictionaryOTA:
    put(folder, files)
    return DictionaryOTA(board=board(folder))


def board_for(device: Device) -> type[QuickBoard]:
    return CardInsideBoard if device is Device.REFUSES_CARD_INSIDE else QuickBoard


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_the_server_does_not_offer_the_device_would_refuse(
    root: Path, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write(root)
    tree = tree_of(root, case.product)
    assert offer(tree, UpdateRequest("1.0.0", None)).release is None
    assert offer(tree, UpdateRequest("1.0.0", "1.0.0")).firmware is None
    if case.device is Device.REFUSES_ON_FAT:
        monkeypatch.setattr(ota_files, "os", FoldingOS())
    ota = device_on(tmp_path / "device", case.old or BASE, board_for(case.device))
    ota.served = served(root, without_rules(tree, case))
    before = files_below(tmp_path / "device")
    with pytest.raises(ERRORS.get(case.device, Reset)):
        ota.update()
    if case.device in ERRORS:
        assert files_below(tmp_path / "device") == before
        assert not (tmp_path / "device/flash/.ota/journal").exists()


@pytest.mark.parametrize("stem", ["ota_boot", "ota_recovery", *ota_files.SET])
def test_no_module_of_recovery_is_taken_away(root: Path, tmp_path: Path, stem: str) -> None:
    old = {**BASE, f"flash/lib/{stem}.py": b"OLD = 1\n"}
    new = {path: content for path, content in old.items() if stem not in path}
    case = Case("", "", "", "", Device.REFUSES, {**new, "flash/main.py": b"new\n"}, old)
    case.write(root)
    tree = tree_of(root)
    assert offer(tree, UpdateRequest("1.0.0", None)).release is None
    ota = device_on(tmp_path / "device", old, QuickBoard)
    ota.served = served(root, without_rules(tree, case))
    with pytest.raises(ota_errors.ManifestError, match="which recovery needs"):
        ota.update()


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.device in (Device.REFUSES_ON_FAT, Device.REFUSES_CARD_INSIDE)],
    ids=lambda case: case.rule,
)
def test_what_only_some_boards_refuse_others_take(root: Path, tmp_path: Path, case: Case) -> None:
    case.write(root)
    ota = device_on(tmp_path / "device", case.old or BASE, QuickBoard)
    ota.served = served(root, without_rules(tree_of(root), case))
    with pytest.raises(Reset):
        ota.update()


def test_what_no_rule_forbids_is_taken(root: Path, tmp_path: Path) -> None:
    """So that the refusals above are for the rule and for nothing else."""
    write_tree(root, {f"1.0.0/{path}": content for path, content in BASE.items()})
    write_tree(root, {f"1.0.1/{path}": content for path, content in BASE.items()})
    write_tree(root, {"1.0.1/flash/lib/gr\u00fc\u00dfe a.txt": b"x\n"})
    ota = device_on(tmp_path / "device", BASE, QuickBoard)
    ota.served = served(root, offer(tree_of(root), UpdateRequest("1.0.0", None)))
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path / "device")["flash/lib/gr\u00fc\u00dfe a.txt"] == b"x\n"


def test_a_device_that_was_not_filled_by_an_update_is_still_updated(
    root: Path, tmp_path: Path
) -> None:
    """Its release breaks the rules; it is not asked to delete what it would not touch."""
    old = {**BASE, "flash/a~1.py": b"", "flash/old.py": b""}
    write_tree(root, {f"1.0.0/{path}": content for path, content in old.items()})
    write_tree(root, {"1.0.0/README.md": b"", "1.0.1/flash/boot.py": BASE["flash/boot.py"]})
    write_tree(root, {f"1.0.1/{path}": content for path, content in BASE.items()})
    ota = device_on(tmp_path / "device", old, QuickBoard)
    ota.served = served(root, offer(tree_of(root), UpdateRequest("1.0.0", None)))
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path / "device").keys() == {*BASE, "flash/a~1.py"}


# The rules for one path or version, for any text


ODD = st.sampled_from(
    [
        "flash", "sd", "SD", "lib", "a", "A", "main.py", "x~1", "a.", "a ", "\u00e9",
        "a:b", "a\tb",
        "ota_prev.py", "OTA_PREV.mpy", "ota_version.py", "OTA_VERSION.py", "n" * 99, "\u00e9" * 51,
    ]
)  # fmt: skip
NAMES = st.one_of(
    ODD,
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    ),
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
ROOTED_PATHS = st.tuples(st.sampled_from(["flash", "sd", "etc"]), PATHS).map("/".join)
# A card inside flash: the board that is the strictest.
STRICT_ROOTS = {"flash": "", "sd": "/sd"}


def device_takes_path(path: str) -> bool:
    try:
        ota_rules.checked_path(ota_manifest._text(path, "dst_path"), STRICT_ROOTS)
    except ota_errors.ManifestError:
        return False
    return True


@given(ROOTED_PATHS)
@settings(max_examples=400)
def test_the_device_takes_every_path_that_the_server_does(path: str) -> None:
    if not all(map(is_part, path.split("/"))):
        return
    breach = path_breach(path, DEFAULT_ROOTS)
    if breach is None:
        assert device_takes_path(path)
    elif path.lower().startswith("flash/ota_version.py"):
        event("the device finds that on its own disk")
    elif path.lower().startswith(("sd/flash", "sd/sd")):
        event("only a board whose card holds a root would mind")
    else:
        assert not device_takes_path(path)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70))
@settings(max_examples=400)
def test_the_device_takes_every_version_that_the_server_does(version: str) -> None:
    version = "1" + version
    try:
        ota_rules.checked_version(ota_manifest._text(version, "version"))
        takes_it = True
    except ota_errors.ManifestError:
        takes_it = False
    breach = version_breach(version)
    if breach is None:
        assert takes_it
    elif not re.search(r"[^!-~]|[#%&]", version):  # what the original client can't send
        assert not takes_it


# Whole releases that keep all rules


PLAIN = st.sampled_from(["a", "b.py", "c d", "lib", "\u00e9.txt", "boot.py", "main.py", "n" * 99])
TREE_PATHS = st.tuples(
    st.sampled_from(["flash", "sd"]), st.lists(PLAIN, min_size=1, max_size=3).map("/".join)
).map("/".join)
CONTENTS = st.sampled_from([b"", b"x\n", b"import ota_boot\n", b"y" * 3000])


def without_clashes(tree: dict[str, bytes]) -> dict[str, bytes]:
    """What a disk can hold: no file lies below a file."""
    return {
        path: content
        for path, content in tree.items()
        if not any(path.startswith(other + "/") for other in tree)
    }


TREES = st.dictionaries(TREE_PATHS, CONTENTS, min_size=1, max_size=6).map(without_clashes)


@given(TREES, TREES)
@settings(max_examples=60)
def test_a_release_that_keeps_all_rules_is_taken(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, bytes], new: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("device")
    root = folder / "tree"
    write_tree(root / "1.0.0", old)
    write_tree(root / "1.0.1", new)
    offered = offer(tree_of(root), UpdateRequest("1.0.0", None))
    event("offered" if offered.release is not None else "not offered")
    if offered.release is None or offered.base is None or offered.base.problems:
        return
    ota = device_on(folder, old, QuickBoard)
    ota.served = served(root, offered)
    with pytest.raises(Reset):
        ota.update()
    assert ota_recovery.recover(ota.board) == "trial"
    assert files_below(folder) == new
    ota.confirm()
    assert offer(tree_of(root), UpdateRequest(ota.versions()[0], None)).release is None
