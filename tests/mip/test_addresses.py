import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import TreePath, split_path
from otaserver.mip.addresses import ContentAddress, PackageAddress, parse_address

HASH = "0a" * 32


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/pi/package/6/ota/latest.json", PackageAddress(6, (), "ota", None)),
        ("/pi/package/py/ota/1.0.json", PackageAddress(None, (), "ota", "1.0")),
        ("/pi/package/6/a/b/release/1.0.json", PackageAddress(6, ("a", "b"), "release", "1.0")),
        ("/pi/package/6/x/1.0.json.json", PackageAddress(6, (), "x", "1.0.json")),
        (f"/pi/file/0a/{HASH}", ContentAddress(HASH)),
    ],
)
def test_what_mip_asks_for(path: str, address: object) -> None:
    assert parse_address(split_path(path.encode())) == address


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pi/",
        "/pi",
        "/pi/package/6/ota/latest",
        "/pi/package/6/ota/latest.json/",
        "/pi/package/6/latest.json",
        "/pi/package/06/ota/latest.json",
        "/pi/package/mpy/ota/latest.json",
        "/pi/package/1234/ota/latest.json",
        "/pi/package/٦/ota/latest.json",
        "/po/package/6/ota/latest.json",
        f"/pi/file/0b/{HASH}",
        f"/pi/file/0/{HASH}",
        f"/pi/file/{HASH}/{HASH}",
        f"/pi/file/0a/{HASH[:-1]}",
        f"/pi/file/0A/{HASH.upper()}",
        f"/pi/file/{HASH}",
    ],
)
def test_what_it_never_asks_for(path: str) -> None:
    assert parse_address(split_path(path.encode())) is None


@given(st.lists(st.sampled_from(["pi", "package", "file", "6", "py", "a.json", "\n", "ü", HASH])))
def test_any_path_is_taken(names: list[str]) -> None:
    parse_address(TreePath(tuple(names), False))
