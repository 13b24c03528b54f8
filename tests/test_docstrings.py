"""Public functions and classes document each of their arguments."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# Every FTP command takes the same two arguments, which `otaserver.ftp.commands` documents.
_COMMANDS = re.compile(r"otaserver/ftp/\w+_commands\.py")

# "See `Base.method`", "See Base.method" or "see ota_board": the arguments are documented
# there. "Do nothing": they are not used.
_REFERENCE = re.compile(r"\b[Ss]ee (`|\w+\.\w|ota_)|\ADo nothing\b")

# Finds the arguments that a docstring names.
_NamesIn = Callable[[str], set[str]]


def _modules() -> Iterator[str]:
    """Name the modules to check; device/examples/ has scripts, which are not called."""
    for path in (*PROJECT.glob("otaserver/**/*.py"), *PROJECT.glob("device/*.py")):
        name = path.relative_to(PROJECT).as_posix()
        if not _COMMANDS.fullmatch(name):
            yield name


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    every += [rest for rest in (given.vararg, given.kwarg) if rest is not None]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def _mentioned(docstring: str) -> set[str]:
    """Find all words: the device library may name an argument in a sentence, to stay small."""
    return set(re.findall(r"\w+", docstring.lower()))


def _documented(docstring: str) -> set[str]:
    """Find the names that entries such as ``name: …`` or ``name, other: …`` begin with."""
    entries = re.findall(r"^\s+(\*{0,2}\w+(?:, \*{0,2}\w+)*):", docstring, re.MULTILINE)
    return {name.lstrip("*") for entry in entries for name in entry.split(", ")}


def _is_property_setter(function: ast.AST) -> bool:
    decorators = getattr(function, "decorator_list", [])
    return any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in decorators)


def _offences(
    body: list[ast.stmt], place: str, names_in: _NamesIn, class_docstring: str | None = None
) -> Iterator[str]:
    """List what the public functions and classes in a body leave undocumented."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                docstring = ast.get_docstring(node) or ""
                yield from _offences(node.body, f"{place}{node.name}.", names_in, docstring)
            continue
        if not isinstance(node, _FUNCTIONS) or _is_property_setter(node):
            continue
        docstring = ast.get_docstring(node) or ""
        if node.name == "__init__" and class_docstring is not None:
            docstring = class_docstring
        elif node.name.startswith("_"):
            continue
        missing = [name for name in _arguments(node) if name not in names_in(docstring)]
        if missing and not _REFERENCE.search(docstring):
            yield f"{place}{node.name}: {', '.join(missing)}"


def offences(source: str, place: str = "", names_in: _NamesIn = _documented) -> list[str]:
    """List the functions of a module that leave arguments undocumented, with those arguments."""
    return list(_offences(ast.parse(source).body, place, names_in))


def test_every_argument_is_documented() -> None:
    found = []
    for name in _modules():
        names_in = _mentioned if name.startswith("device/") else _documented
        found += offences((PROJECT / name).read_text(), f"{name}: ", names_in)
    assert found == [], "\n".join(["undocumented arguments:", *found])


@pytest.mark.parametrize(
    "source",
    [
        "def f(a): pass",
        "def f(a):\n  'About a.'",
        "async def f(a):\n  'Await a.'",
        "def f(a, b):\n  '''Do.\n\n  Args:\n      a: one.\n  '''",
        "def f(*a, b=1, **c):\n  '''Do.\n\n  Args:\n      a: one.\n      b: two.\n  '''",
        "class A:\n  'A class.'\n  def __init__(self, a): pass",
        "class A:\n  'A class.'\n  def f(self, a):\n    'Do.'",
        "class A:\n  'A class.'\n  @classmethod\n  def f(cls, a):\n    'Do.'",
    ],
)
def test_an_undocumented_argument_is_found(source: str) -> None:
    assert len(offences(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def f(): pass",
        "def _f(a): pass",
        "class _A:\n  def f(self, a): pass",
        "def f(a, b):\n  '''Do.\n\n  Args:\n      a, b: two.\n  '''",
        "def f(a, *b):\n  '''Do.\n\n  Args:\n      a: one.\n      *b: more.\n  '''",
        "class A:\n  '''A class.\n\n  Args:\n      a: one.\n  '''\n  def __init__(self, a): pass",
        "class A:\n  def f(self, a):\n    'Do. See `B.f`.'",
    ],
)
def test_a_documented_argument_is_not(source: str) -> None:
    assert offences(source) == []
