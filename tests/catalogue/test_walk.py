import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.names import is_part


@pytest.mark.parametrize("name", ["main.py", "a~b", "#x", "x#", "swp", "a.swp.py", "ü", " ", "-"])
def test_an_ordinary_name_is_part_of_a_tree(name: str) -> None:
    assert is_part(name)


@given(st.text(min_size=1, max_size=10))
def test_no_dot_name_and_no_backup_is(name: str) -> None:
    assert not is_part("." + name)
    assert not is_part(name + "~")
    assert not is_part(f"#{name}#")
