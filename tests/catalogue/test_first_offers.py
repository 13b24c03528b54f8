"""A release that changes after it was offered is noticed, also after a restart."""

from pathlib import Path

import pytest

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.problems import Weight
from otaserver.catalogue.scan import Scanner
from tests.support.trees import rewrite, write_tree


def scanned(root: Path, first_offers: FirstOffers) -> Catalogue:
    return Scanner(str(root), HashStore(":memory:"), 0, first_offers=first_offers).scan()


def changes(catalogue: Catalogue) -> list[str]:
    return [str(p) for p in catalogue.problems if p.weight is Weight.CHANGED]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "releases.sqlite3"


def test_what_stays_the_same_is_not_reported(small_tree: Path, state: Path) -> None:
    for _ in range(2):
        offers = FirstOffers(state)
        assert changes(scanned(small_tree, offers)) == []
        offers.close()


def test_changed_added_and_missing_files_are_named_after_a_restart(
    small_tree: Path, state: Path
) -> None:
    offers = FirstOffers(state)
    scanned(small_tree, offers)
    offers.close()
    rewrite(small_tree / "1.0.1/flash/main.py", b"print(3)\n")
    (small_tree / "1.0.1/flash/same.py").unlink()
    write_tree(small_tree, {"1.0.1/flash/more.py": b""})
    for _ in range(2):
        offers = FirstOffers(state)
        catalogue = scanned(small_tree, offers)
        offers.close()
        assert changes(catalogue) == [
            "1.0.1 changed since it was first offered, in "
            "flash/main.py, flash/more.py, flash/same.py: "
            "restore it, and publish the change as a version of its own"
        ]
    # It is offered all the same: what devices have already can't be taken back.
    assert catalogue.root.tree is not None
    assert catalogue.root.tree.newest_release is not None
    assert catalogue.root.tree.newest_release.version == "1.0.1"


def test_firmware_that_changes_is_noticed_after_a_restart(root: Path, state: Path) -> None:
    write_tree(root, {"p/firmware_1.0.bin": b"\xe9one", "p/firmware_1.1.bin": b""})
    offers = FirstOffers(state)
    scanned(root, offers)
    offers.close()
    rewrite(root / "p/firmware_1.0.bin", b"\xe9two")
    rewrite(root / "p/firmware_1.1.bin", b"\xe9")  # was empty, and so was not offered
    offers = FirstOffers(state)
    assert changes(scanned(root, offers)) == [
        "p/firmware_1.0.bin changed since it was first offered: "
        "restore it, and publish the change as a version of its own"
    ]
    rewrite(root / "p/firmware_1.0.bin", b"\xe9one")
    assert changes(scanned(root, offers)) == []


def test_a_change_that_is_taken_back_is_forgotten(small_tree: Path, state: Path) -> None:
    offers = FirstOffers(state)
    scanned(small_tree, offers)
    main = small_tree / "1.0.1/flash/main.py"
    before = main.read_bytes()
    rewrite(main, b"print(3)\n")
    assert len(changes(scanned(small_tree, offers))) == 1
    rewrite(main, before)
    assert changes(scanned(small_tree, offers)) == []


def test_only_a_few_of_many_files_are_named(root: Path, state: Path) -> None:
    write_tree(root, {f"1.0/flash/{n}.py": b"1" for n in range(9)})
    offers = FirstOffers(state)
    scanned(root, offers)
    for n in range(9):
        rewrite(root / f"1.0/flash/{n}.py", b"2")
    (text,) = changes(scanned(root, offers))
    assert "flash/4.py and 4 more: " in text


def test_what_was_never_offered_may_change(root: Path, state: Path) -> None:
    write_tree(root, {"1.0/flash/main.py": b"1", "1.0/README.md": b""})
    offers = FirstOffers(state)
    assert len(scanned(root, offers).problems) == 1
    rewrite(root / "1.0/flash/main.py", b"2")
    (root / "1.0/README.md").unlink()
    assert scanned(root, offers).problems == ()


def test_another_root_with_the_same_state_is_another_tree(tmp_path: Path, state: Path) -> None:
    offers = FirstOffers(state)
    for name in ("one", "two"):
        root = write_tree(tmp_path / name, {"1.0/flash/main.py": name.encode()})
        assert scanned(root, offers).problems == ()


def test_versions_that_are_gone_are_forgotten_only_when_there_are_many(
    small_tree: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = FirstOffers(state)
    scanned(small_tree, offers)
    offers.forget_all_but(set())
    offers.close()
    kept = FirstOffers(state)
    assert len(kept._content_ids) == 3  # with a firmware
    monkeypatch.setattr("otaserver.catalogue.first_offers._MAX_VERSIONS", 1)
    kept.forget_all_but({str(small_tree / "1.0.1")})
    kept.close()
    assert list(FirstOffers(state)._content_ids) == [str(small_tree / "1.0.1")]


def test_a_damaged_database_is_replaced(small_tree: Path, state: Path) -> None:
    state.parent.mkdir()
    state.write_bytes(b"not a database" * 1000)
    offers = FirstOffers(state)
    assert changes(scanned(small_tree, offers)) == []
