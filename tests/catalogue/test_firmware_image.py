"""Which files are images that a slot takes."""

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.firmware_image import image_breach
from tests.support.esp_image import esp_image, full_flash_image
from tests.support.trees import scanned, scanner, write_tree

REAL_IMAGES = Path("/work/shared/firmware")
IMAGE = esp_image("1.0.1", b"firmware " * 500)


def said_of(image: bytes) -> str:
    breach = image_breach(io.BytesIO(image), len(image))
    return breach.what if breach is not None else ""


@given(st.binary(max_size=9000))
def test_an_image_is_taken_whatever_it_carries(payload: bytes) -> None:
    assert said_of(esp_image("1.0", payload)) == ""


@pytest.mark.parametrize("after", [b"\xff" * 5000, bytes(4096), b"signature" * 500])
def test_so_is_one_with_something_behind_it(after: bytes) -> None:
    assert said_of(IMAGE + after) == ""


def test_so_is_one_without_a_sha_256() -> None:
    assert IMAGE[23] == 1
    image = IMAGE[:23] + b"\0" + IMAGE[24:-32]
    assert said_of(image) == ""
    assert said_of(image[:-1]) == "is cut short, by 1 bytes or more"


def test_real_images_are_taken() -> None:
    images = sorted(REAL_IMAGES.glob("*.bin"))
    if not images:
        pytest.skip("no real firmware images here")
    for image in images:
        assert said_of(image.read_bytes()) == "", image.name


@pytest.mark.parametrize("first", [b"\0", b"\x7fELF", b"PK\3\4", b"\xff\xff", b"\xea"])
def test_the_first_byte(first: bytes) -> None:
    assert said_of(first + IMAGE) == "is not an application image: its first byte isn't 0xE9"


def test_an_empty_file() -> None:
    assert said_of(b"") == "is empty"


@given(st.integers(24, len(IMAGE) - 1))
def test_wherever_an_image_is_cut_short_it_is_noticed(size_bytes: int) -> None:
    assert said_of(IMAGE[:size_bytes]).startswith("is cut short, by ")


def test_several_segments() -> None:
    """One whose last segments are missing, down to their headers."""
    segments = b"".join(struct.pack("<II", 0, 16) + bytes(16) for _ in range(4))
    image = bytes([0xE9, 4]) + bytes(22) + segments + bytes(16)
    assert said_of(image) == ""
    for size_bytes in range(24, 24 + len(segments)):
        assert said_of(image[:size_bytes]).startswith("is cut short")


@pytest.mark.parametrize(
    ("table", "application"),
    [
        (0x7000, 0xF000),
        (0x8000, 0x10000),
        (0x9000, 0x20000),
        (0x10000, 0x20000),
        (0xF000, 0x100000),
    ],
)
@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_a_full_flash_image(table: int, application: int, partitions: int) -> None:
    """At 0x8000 on most chips; less 0x1000 where the file begins with the bootloader."""
    image = full_flash_image(table, application, partitions)
    assert said_of(image) == "is a full flash image, with bootloader and partition table"


@given(st.binary(max_size=200))
def test_any_file_is_read_without_an_error(content: bytes) -> None:
    said_of(content)
    said_of(b"\xe9" + content)
    said_of(b"\xe9\x02" + bytes(22) + content)


def test_an_image_that_becomes_another_is_looked_at_again(root: Path) -> None:
    write_tree(root, {"firmware_1.0.0.bin": IMAGE, "firmware_1.0.1.bin": IMAGE[:-50]})
    one = scanner(root)
    first = one.scan()
    assert [str(problem) for problem in first.problems] == [
        "firmware_1.0.1.bin is cut short, by 50 bytes or more, and is not offered: upload it again"
    ]
    write_tree(root, {"firmware_1.0.1.bin": IMAGE})
    assert one.scan(first).problems == ()


def test_an_image_with_a_version_that_can_t_be_sent(root: Path) -> None:
    write_tree(root, {"firmware_1.0.1 final.bin": IMAGE})
    assert [str(problem) for problem in scanned(root).problems] == [
        "firmware_1.0.1 final.bin has a version with a space, a quote or another unsafe "
        "character, and is not offered: change the version, to 1.0.1-final for example"
    ]
