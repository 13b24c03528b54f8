"""All that runs on a device is under the limits of MicroPython 1.11's base."""

import pytest

from tests.support.micropython import PROJECT
from tests.support.micropython_1_11 import shortcomings

ON_A_DEVICE = sorted([*PROJECT.glob("device/**/*.py"), *PROJECT.glob("releases/**/*.py")])


def may_print(path) -> bool:
    return path.parent.name == "examples" or "releases" in path.parts


@pytest.mark.parametrize("path", ON_A_DEVICE, ids=lambda path: str(path.relative_to(PROJECT)))
def test_module(path):
    assert shortcomings(path.read_text(), may_print(path)) == []


def test_there_are_modules_to_check():
    assert len([path for path in ON_A_DEVICE if path.parent.name == "device"]) > 10


@pytest.mark.parametrize(
    "source",
    [
        "f'{x}'", "(x := 1)", "x: int = 1", "def f(a: int): pass", "def f() -> int: pass",
        "def f(a, /): pass", "{**d}", "[*a]", "(1, *a)", "{*a}", "pow(2, 3, 5)",
        "@micropython.native\ndef f(): pass", "@micropython.viper\ndef f(): pass",
        "def __getattr__(name): pass", "b'x'.hex()", "bytes.fromhex('00')", "h.hexdigest()",
        "b.decode('utf8', 'ignore')", "b.decode('utf8', errors='ignore')", "e.errno",
        "json.dumps(x, separators=(',', ':'))", "json.dumps(x, sort_keys=True)", "import random",
        "from random import choice", "import ujson", "import uzlib", "s.sendall(b'')",
        "ssl.SSLContext()", "x.startswith(('a', 'b'))", "x.endswith(('a', 'b'))", "print('x')",
        "x.partition('a')",
        "x.rpartition('a')", "x.splitlines()", "match x:\n  case 1: pass", "def f(*args: int): pass", "lambda a, /: a",
    ],
)  # fmt: skip
def test_each_limit_is_found(source):
    assert len(shortcomings(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "try:\n  import json\nexcept ImportError:\n  import ujson as json",
        "first, *rest = line", "f(*args, **options)", "pow(2, 3)", "x.startswith('a')",
        "class A:\n  def __getattr__(self, name): pass", "b'%d' % 1", "'{}'.format(1)",
    ],
)  # fmt: skip
def test_what_it_has_is_not_found(source):
    assert shortcomings(source) == []


def test_print_is_for_examples():
    assert shortcomings("print('x')", may_print=True) == []
