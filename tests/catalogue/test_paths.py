import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import MAX_PATH_BYTES, BadPath, split_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (b"/", ()),
        (b"/a", ("a",)),
        (b"/a/", ("a",)),
        (b"/1.0.0/flash/main.py", ("1.0.0", "flash", "main.py")),
        ("/ü/→".encode(), ("ü", "→")),
        (b"/...", ("...",)),
        (b"/a\\b", ("a\\b",)),
        (b"/a b/%2e", ("a b", "%2e")),
    ],
)
def test_a_path_is_parted_at_its_slashes(path: bytes, names: tuple[str, ...]) -> None:
    assert split_path(path).names == names


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"a",
        b"//",
        b"///",
        b"//a",
        b"/a//",
        b"/a//b",
        b"/.",
        b"/./",
        b"/..",
        b"/../",
        b"/a/../b",
        b"/a/.",
        b"/a\0",
        b"/\xff",
        b"/\xc0\xae\xc0\xae/",
        b"/\xed\xa0\x80",
        b"/" + b"a" * MAX_PATH_BYTES,
    ],
)
def test_what_can_be_no_path_in_a_tree_is_refused_in_a_sentence(path: bytes) -> None:
    with pytest.raises(BadPath) as refusal:
        split_path(path)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=40))
def test_no_path_leads_upwards(path: bytes) -> None:
    try:
        names = split_path(path).names
    except BadPath:
        return
    assert not set(names) & {"", ".", ".."}
    assert not any("/" in name or "\0" in name for name in names)
    assert "/".join(("", *names)).encode() in (path, path.removesuffix(b"/"))
