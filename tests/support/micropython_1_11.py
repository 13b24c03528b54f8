"""What MicroPython 1.11's base does not have, found in a module's text.

Pycom's firmware is made of that base. What can only be seen while it runs, such as a second
hash or a read that timed out, is left to the stand-ins for the boards.
"""

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator

# Where something was found, and what; the place is a line's number, or a node that has one.
Found = tuple[ast.AST | int, str]
MISSING_METHODS = {
    "partition": "split(x, 1)",
    "rpartition": "rfind and a slice",
    "splitlines": "split",
    "center": "format",
    "hex": "binascii.hexlify",
    "fromhex": "binascii.unhexlify",
    "hexdigest": "binascii.hexlify(h.digest())",
    "copy": "another way: hashes have none",
    "sendall": "a loop on send",
    "errno": "args[0]",
    "SSLContext": "wrap_socket",
    "removeprefix": "a slice",
    "removesuffix": "a slice",
    "casefold": "lower",
    "zfill": "format",
    "ljust": "format",
    "rjust": "format",
    "isidentifier": "nothing",
    "native": "plain code",
    "viper": "plain code",
}
# What a name may not be imported as, either.
MISSING_NAMES = {"SSLContext", "native", "viper", "fromhex"}
# Where a Pycom has something else.
STOCK_NETWORK = {"active", "STA_IF", "AP_IF"}
MODULES = {
    "_thread", "array", "binascii", "collections", "esp32", "gc", "hashlib", "io", "json",
    "machine", "math", "micropython", "network", "os", "pycom", "re", "select", "socket", "ssl",
    "struct", "sys", "time",
}  # fmt: skip
# Only where an import that fails is caught: 1.11 has no deflate, newer ports none of the others.
GUARDED = {
    "deflate", "ubinascii", "uhashlib", "ujson", "uos", "uselect", "usocket", "ussl", "ustruct",
    "utime", "uzlib",
}  # fmt: skip
SYNTAX = {
    ast.JoinedStr: "f-string",
    ast.NamedExpr: ":=",
    ast.AnnAssign: "annotation",
    ast.Match: "match",
    ast.TryStar: "except*",
    ast.MatMult: "matrix product",
    ast.AsyncFunctionDef: "async",
}
KEYWORDS_MISSING: dict[str, set[str] | None] = {
    "dumps": None,  # any
    "dump": None,
    "decode": None,
    "encode": None,
    "min": {"default"},
    "max": {"default"},
}
MOST_ARGUMENTS = {"decode": 1, "encode": 1, "str": 2, "bytes": 2}


def shortcomings(
    source: str, may_print: bool = False, own: frozenset[str] = frozenset()
) -> list[str]:
    """Return a line for each thing in ``source`` that MicroPython 1.11's base does not know.

    may_print: whether it is an application, which may print and use recv. own: the modules
    that are on the device beside it.
    """
    tree = ast.parse(source)
    names = _Names(tree)
    found: list[Found] = [
        *_imports(tree, own),
        *_module_getattr(tree),
        *_tokens(source),
        *_hashes(tree),
    ]
    for node in ast.walk(tree):
        found += [(node, problem) for problem in _problems(node, names)]
        if not may_print:
            found += [(node, problem) for problem in _for_applications(node)]
    return [f"{getattr(node, 'lineno', node)}: {problem}" for node, problem in found]


class _Names:
    """What the names of a module stand for, as far as it can be told without running it."""

    def __init__(self, tree: ast.Module) -> None:
        self.imported: dict[str, str] = {}
        self.tuples: set[str] = set()
        self.is_pycom = False
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                self.imported |= {one.asname or one.name: one.name for one in node.names}
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                self.tuples |= {one.id for one in node.targets if isinstance(one, ast.Name)}
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.is_pycom |= _imports_pycom(node)

    def called(self, node: ast.Call) -> str:
        """Return the name of what is called: a method's, a function's, before any ``as``."""
        if isinstance(node.func, ast.Attribute):
            return node.func.attr
        if isinstance(node.func, ast.Name):
            return self.imported.get(node.func.id, node.func.id)
        return ""


def _imports_pycom(node: ast.Import | ast.ImportFrom) -> bool:
    names = {one.name for one in node.names}
    if isinstance(node, ast.ImportFrom):
        return node.module == "pycom" or (node.module == "network" and "LoRa" in names)
    return "pycom" in names


def _problems(node: ast.AST, names: _Names) -> Iterator[str]:
    if type(node) in SYNTAX:
        yield SYNTAX[type(node)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        yield from _function(node)
    elif isinstance(node, ast.Dict) and None in node.keys:
        yield "{**d}"
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        yield from _display(node)
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        yield from _operator(node)
    elif isinstance(node, ast.Attribute):
        yield from _attribute(node, names)
    elif isinstance(node, ast.Call):
        yield from _call(node, names)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    arguments = node.args
    if arguments.posonlyargs:
        yield "positional-only argument"
    if isinstance(node, ast.Lambda):
        return
    every = [*arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    if node.returns or any(argument and argument.annotation for argument in every):
        yield "annotation"


def _display(node: ast.List | ast.Tuple | ast.Set) -> Iterator[str]:
    is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    if is_read and any(isinstance(item, ast.Starred) for item in node.elts):
        yield "[*a]"


def _operator(node: ast.BinOp | ast.AugAssign) -> Iterator[str]:
    sides = (node.value,) if isinstance(node, ast.AugAssign) else (node.left, node.right)
    if isinstance(node.op, ast.BitOr) and any(_is_dict(side) for side in sides):
        yield "d | e"


def _is_dict(node: ast.AST) -> bool:
    return isinstance(node, ast.Dict | ast.DictComp) or _is_call_of(node, "dict")


def _attribute(node: ast.Attribute, names: _Names) -> Iterator[str]:
    if node.attr in MISSING_METHODS:
        yield f".{node.attr}: use {MISSING_METHODS[node.attr]}"
    if names.is_pycom and node.attr in STOCK_NETWORK:
        yield f".{node.attr}, which a Pycom does not have"


def _call(node: ast.Call, names: _Names) -> Iterator[str]:
    name = names.called(node)
    keywords = {keyword.arg for keyword in node.keywords}
    if name == "pow" and len(node.args) + len(keywords) == 3:
        yield "pow with three arguments"
    if name in ("startswith", "endswith") and any(_is_tuple(one, names) for one in node.args[:1]):
        yield f"a tuple to {name}"
    missing = KEYWORDS_MISSING.get(name, set())
    if keywords and (missing is None or keywords & missing):
        yield f"an argument that {name} does not have"
    if len(node.args) > MOST_ARGUMENTS.get(name, len(node.args)) or (
        name in ("str", "bytes") and "errors" in keywords
    ):
        yield f"{name} with an error handler"


def _is_tuple(node: ast.AST, names: _Names) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names.tuples
    return isinstance(node, ast.Tuple) or _is_call_of(node, "tuple")


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _for_applications(node: ast.AST) -> Iterator[str]:
    if _is_call_of(node, "print"):
        yield "print in a module"
    if isinstance(node, ast.Attribute) and node.attr == "recv":
        yield ".recv: use readinto, since b'' may be a time-out as well as the end"


def _imports(tree: ast.Module, own: frozenset[str]) -> Iterator[Found]:
    guarded = _guarded(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(node.module or "").partition(".")[0]]
            for alias in node.names:
                if alias.name in MISSING_NAMES:
                    yield node, f"import of {alias.name}"
        else:
            continue
        for module in modules:
            if module in GUARDED and id(node) not in guarded:
                yield node, f"import {module} alone, which not every port has"
            elif module not in MODULES | GUARDED | own:
                yield node, f"import {module}"


def _guarded(tree: ast.Module) -> set[int]:
    """Return the nodes that stand where a failing import is caught, or is caught already."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any(map(_catches_import_error, node.handlers))
        for part in (node.body, *(handler.body for handler in node.handlers))
        for statement in part
        for inner in ast.walk(statement)
    }


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.type, ast.Name) and handler.type.id == "ImportError"


def _module_getattr(tree: ast.Module) -> Iterator[Found]:
    """Find a module's own __getattr__, also one under an ``if``, or by assignment."""
    to_look_at: list[ast.AST] = list(tree.body)
    while to_look_at:
        node = to_look_at.pop()
        if isinstance(node, ast.ClassDef):
            continue
        names = [getattr(node, "name", "")]
        if isinstance(node, ast.Assign):
            names = [getattr(target, "id", "") for target in node.targets]
        if "__getattr__" in names:
            yield node, "module __getattr__"
        if not isinstance(node, ast.FunctionDef):
            to_look_at += ast.iter_child_nodes(node)


def _tokens(source: str) -> Iterator[Found]:
    """Find what a syntax tree no longer tells."""
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in (tokenize.NL, tokenize.COMMENT)
    ]
    for number, (token, following) in enumerate(itertools.pairwise(tokens)):
        if _is_split_format(token, following):
            yield token.start[0], "literals side by side, with a format"
        opens = (token.string, following.string) == ("with", "(")
        if opens and _is_list_of_contexts(tokens[number + 1 :]):
            yield token.start[0], "with in parentheses"


def _is_split_format(token: tokenize.TokenInfo, following: tokenize.TokenInfo) -> bool:
    are_literals = token.type == following.type == tokenize.STRING
    return are_literals and any(mark in token.string + following.string for mark in "{%")


def _is_list_of_contexts(tokens: list[tokenize.TokenInfo]) -> bool:
    """Say whether a parenthesis holds ``as`` or a comma of its own, and ends the ``with``."""
    depth = 0
    is_list = False
    for number, token in enumerate(tokens):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        is_list |= depth == 1 and token.string in ("as", ",")
        if not depth:
            return is_list and tokens[number + 1].string == ":"
    return False


def _hashes(tree: ast.Module) -> Iterator[Found]:
    """Find hashes that an exception would leave undigested: Pycom has one at a time."""
    for node in ast.walk(tree):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(body, list):
                for number, statement in enumerate(body):
                    if _new_hash(statement) and not _is_digested(statement, body[number + 1 :]):
                        yield statement, "a hash without a digest in a finally"


def _new_hash(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        return False
    made = ast.unparse(statement.value.func)
    return made.startswith(("hashlib.", "uhashlib.")) or made in ("sha256", "sha1", "md5")


def _is_digested(statement: ast.Assign, rest: list[ast.stmt]) -> bool:
    """Say whether a ``try`` follows that ends in the digest, and nothing that may fail before."""
    digest = f"{ast.unparse(statement.targets[0])}.digest()"
    for following in rest:
        if isinstance(following, ast.Try):
            return any(digest in ast.unparse(last) for last in following.finalbody)
        if any(isinstance(inner, ast.Call) for inner in ast.walk(following)):
            return False
    return False
