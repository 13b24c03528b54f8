import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otaserver.catalogue.names import (
    LEFT_BEHIND,
    LEFT_BEHIND_ENDINGS,
    UNFINISHED_ENDINGS,
    firmware_version,
    intended_content,
    intended_firmware,
    intended_version,
    is_part,
    is_unfinished,
    plain_version,
)
from otaserver.catalogue.release_rules import version_breach
from otaserver.catalogue.versions import is_version_name

# A file's name: no slash, and not longer than version names may be.
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=40)
PLAIN = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


# What is never part of a tree


@pytest.mark.parametrize("name", ["main.py", "a~b", "#x", "x#", "swp", "a.swp.py", "ü", " ", "-"])
def test_an_ordinary_name_is_part_of_a_tree(name: str) -> None:
    assert is_part(name)


@pytest.mark.parametrize(
    "name",
    [
        ".git", "__pycache__", "main.pyc", "Thumbs.db", "desktop.ini", "Icon\r", "__MACOSX",
        "._main.py", "~$notes.docx", "main.py.orig", "main.py.rej", "MAIN.PYC", "lost+found",
        "System Volume Information", "$RECYCLE.BIN", "@eaDir", "#recycle", "main.py.bak",
        "1.0.1.bak", "1.0.1.OLD", "main.pyZone.Identifier", "ehthumbs.db", "main.py.kate-swp",
        "DEADJOE", "CVS",
    ],
)  # fmt: skip
def test_what_systems_and_tools_leave_behind_is_not(name: str) -> None:
    assert not is_part(name)


@given(st.text(min_size=1, max_size=10))
def test_no_dot_name_and_no_backup_is(name: str) -> None:
    assert not is_part("." + name)
    assert not is_part(name + "~")
    assert not is_part(f"#{name}#")


@given(st.sampled_from(sorted(LEFT_BEHIND)), st.sampled_from([str.upper, str.lower, str.title]))
def test_names_are_left_behind_in_any_case(name: str, in_case: Callable[[str], str]) -> None:
    assert not is_part(in_case(name))


@given(PLAIN, st.sampled_from(LEFT_BEHIND_ENDINGS))
def test_endings_count_at_the_end_only(name: str, ending: str) -> None:
    assert not is_part(name + ending)
    # Which may itself be such an ending, as in a~.bak.
    assume(f".{name}" not in LEFT_BEHIND_ENDINGS)
    assert is_part(f"{name}{ending}.{name}")


# Uploads that have not come to their end


@pytest.mark.parametrize(
    "name",
    [
        "sensor.py.filepart", "sensor.py.part", "x.partial", "x.crdownload", "x.tmp", "X.TMP",
        ".in.main.py.", ".in.main.py", ".main.py.Ab12Cd", ".main.py.a1b2c3", ".rsync-partial",
        ".~tmp~", ".syncthing.main.py.tmp", "~syncthing~main.py.tmp",
        "firmware_1.0.2.bin.filepart",
        ".pureftpd-upload.5f3a.15.1a2b.c3d4", ".goutputstream-AB12CD", ".ansible_tmpab12main.py",
        ".davfs.tmp1a2b3c", ".main.py.~1a2b", "main.py.!sync", "main.py.tmp.drivedownload",
        ".tmp.driveupload", "x.opdownload", "main.py.lftp-pget-status",
    ],
)  # fmt: skip
def test_an_upload_that_goes_on(name: str) -> None:
    assert is_unfinished(name)


@pytest.mark.parametrize(
    "name",
    [
        "main.py", ".1.0.2", ".gitignore", ".config.backup", ".git.sample", ".in", "part",
        "tmp", "x.tmp.py", "partial.py", ".main.py.Ab12C", ".main.py.Ab12Cde", ".main.py.Ab-2Cd",
        ".Ab12Cd", "main.py.Ab12Cd",
    ],
)  # fmt: skip
def test_none(name: str) -> None:
    assert not is_unfinished(name)


@given(PLAIN, st.sampled_from(UNFINISHED_ENDINGS), st.booleans())
def test_an_upload_s_ending_counts_in_any_case(name: str, ending: str, is_hidden: bool) -> None:
    uploaded = "." * is_hidden + name + ending.upper()
    assert is_unfinished(uploaded)


@given(NAMES, st.from_regex(r"[A-Za-z0-9]{5}[A-Z0-9]", fullmatch=True))
def test_rsync_s_names(name: str, letters: str) -> None:
    assume(name)
    assert is_unfinished(f".{name}.{letters}")


# Versions that somebody meant


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("release_1.0.2", "1.0.2"),
        ("release-v1.0.2", "v1.0.2"),
        ("1.0.2 final", "1.0.2-final"),
        ("1.0.2 ", "1.0.2"),
        ("1.0.2 - Copy", "1.0.2-Copy"),
        ("1.0.2 & more", "1.0.2-more"),
        ("Release 1.0.2 (final)", "1.0.2-(final)"),
        ("1.0.1.zip", "1.0.1"),
        ("1.0.1.ZIP", "1.0.1"),
        ("1.0.1.tar.gz", "1.0.1"),
        ("V1.0.1.tgz", "V1.0.1"),
        ("release1.0.2", "1.0.2"),
        ("ver1.0.2", "1.0.2"),
        ("v.1.0.2", "1.0.2"),
        ("board-2 1.0.3", "1.0.3"),
        ("lopy4_v1.20.2.r6", "v1.20.2.r6"),
        ("1.0.1.gz", "1.0.1"),
        ("1.0.1.tar.zst", "1.0.1"),
        ("latest", None),
        ("lopy4", None),
        ("beta", None),
    ],
)
def test_versions(name: str, version: str | None) -> None:
    assert intended_version(name) == version


@pytest.mark.parametrize(
    ("name", "firmware"),
    [
        ("firmware-1.0.4.bin", "firmware_1.0.4.bin"),
        ("Firmware_1.0.3.bin", "firmware_1.0.3.bin"),
        ("firmware_latest.bin", "firmware_VERSION.bin"),
        ("firmware.bin", "firmware_VERSION.bin"),
        ("firmware_1.0.4.BIN", "firmware_1.0.4.bin"),
        ("firmware 1.0.4.bin", "firmware_1.0.4.bin"),
        ("1.0.4.bin", "firmware_1.0.4.bin"),
        ("firmware_FiPy_1.20.2.r6-pybytes.bin", "firmware_1.20.2.r6.bin"),
        ("ESP32_GENERIC-OTA-20240602-v1.23.0.app-bin", "firmware_v1.23.0.bin"),
        ("ESP32_GENERIC-20240602-v1.23.0.bin", "firmware_v1.23.0.bin"),
        ("firmware-1.0.4-rc1.bin", "firmware_1.0.4-rc1.bin"),
        ("firmware-1.0.4.rc1_lopy4.bin", "firmware_1.0.4.rc1.bin"),
        ("firmware-v1.0.4-3-gabc1234-dirty.bin", "firmware_v1.0.4-3-gabc1234-dirty.bin"),
        ("firmware1.0.4.bin", "firmware_1.0.4.bin"),
        ("firmware-1.0.4 (1).bin", "firmware_1.0.4.bin"),
        (
            "ESP32_GENERIC-20240602-unstable-v1.24.0-preview.10.gabcdef0.bin",
            "firmware_v1.24.0-preview.10.gabcdef0.bin",
        ),
        ("firmware_1.0.4", "firmware_1.0.4.bin"),
        ("firmware_1.0.4.bin", None),
        ("firmware_V1.0.1.bin", None),
        ("firmware_1.0.4.txt", None),
        ("bin", None),
    ],
)
def test_firmware(name: str, firmware: str | None) -> None:
    assert intended_firmware(name) == firmware


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.0.1.zip", "1.0.1"),
        ("release_1.0.1.7z", "1.0.1"),
        ("firmware_1.0.1.tar.gz", "firmware_1.0.1.bin"),
        ("firmware_1.0.1.bin.gz", "firmware_1.0.1.bin"),
        ("app-1.0.1.bin.zip", "firmware_1.0.1.bin"),
        ("firmware_latest.zip", None),
        ("notes.zip", None),
        ("1.0.1", None),
        ("1.0.1.txt", None),
    ],
)
def test_archives(name: str, content: str | None) -> None:
    assert intended_content(name) == content


@given(NAMES)
def test_what_is_suggested_would_be_taken(name: str) -> None:
    version = intended_version(name)
    assert version is None or (is_version_name(version) and version_breach(version) is None)
    firmware = intended_firmware(name)
    if firmware is not None and firmware != "firmware_VERSION.bin":
        found = firmware_version(firmware)
        assert found is not None
        assert version_breach(found) is None


@given(NAMES)
def test_a_plain_version_can_be_recorded(version: str) -> None:
    plain = plain_version(version)
    assert plain == plain_version(plain)
    assert not re.search(r"[\s'\"\\]", plain)
    if plain and version_breach(version) is None:
        assert plain == version.strip("-")
