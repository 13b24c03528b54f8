import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.walk import is_served


@pytest.mark.parametrize("name", ["main.py", "a~b", "#x", "x#", "swp", "a.swp.py", "ü", " ", "-"])
def test_an_ordinary_name_is_part_of_a_tree(name: str) -> None:
    assert is_served(name)


@given(st.text(min_size=1, max_size=10))
def test_no_dot_name_and_no_backup_is(name: str) -> None:
    assert not is_served("." + name)
    assert not is_served(name + "~")
    assert not is_served(f"#{name}#")
