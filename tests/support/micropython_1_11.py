"""What MicroPython 1.11's base does not have, found in a module's syntax tree."""

import ast

MISSING_METHODS = {
    "partition": "split(x, 1)",
    "rpartition": "rfind and a slice",
    "splitlines": "split",
    "center": "format",
    "hex": "binascii.hexlify",
    "fromhex": "binascii.unhexlify",
    "hexdigest": "binascii.hexlify(h.digest())",
    "sendall": "a loop on send",
    "removeprefix": "a slice",
    "removesuffix": "a slice",
    "casefold": "lower",
    "zfill": "format",
    "ljust": "format",
    "rjust": "format",
    "isidentifier": "nothing",
}
U_NAMES = {
    "ubinascii", "uhashlib", "ujson", "uos", "usocket", "ustruct", "utime", "uzlib", "ussl",
}  # fmt: skip
MISSING_MODULES = {"random", "typing", "pathlib", "dataclasses", "enum", "functools", "contextlib"}
SYNTAX = {
    ast.JoinedStr: "f-string",
    ast.NamedExpr: ":=",
    ast.AnnAssign: "annotation",
    ast.Match: "match",
    ast.TryStar: "except*",
}


def shortcomings(source: str, may_print: bool = False) -> list[str]:
    """Return a line for each thing in ``source`` that MicroPython 1.11's base does not know."""
    tree = ast.parse(source)
    found = [*_imports(tree)]
    for node in ast.walk(tree):
        for problem in _problems(node):
            found.append(f"{node.lineno}: {problem}")
        if not may_print and _is_call_of(node, "print"):
            found.append(f"{node.lineno}: print in a module")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            found.append(f"{node.lineno}: module __getattr__")
    return found


def _problems(node: ast.AST):
    if type(node) in SYNTAX:
        yield SYNTAX[type(node)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        yield from _function(node)
    elif isinstance(node, ast.Dict) and None in node.keys:
        yield "{**d}"
    elif isinstance(node, ast.List | ast.Tuple | ast.Set) and isinstance(
        getattr(node, "ctx", ast.Load()), ast.Load
    ):
        if any(isinstance(item, ast.Starred) for item in node.elts):
            yield "[*a]"
    elif isinstance(node, ast.Attribute):
        if node.attr in MISSING_METHODS:
            yield f".{node.attr}: use {MISSING_METHODS[node.attr]}"
        elif node.attr == "errno" and isinstance(node.value, ast.Name):
            yield ".errno: use args[0]"
    elif isinstance(node, ast.Call):
        yield from _call(node)


def _function(node):
    arguments = node.args
    if arguments.posonlyargs:
        yield "positional-only argument"
    if isinstance(node, ast.Lambda):
        return
    every = [*arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    if node.returns or any(argument and argument.annotation for argument in every):
        yield "annotation"
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Attribute) and decorator.attr in ("native", "viper"):
            yield f"@micropython.{decorator.attr}"


def _call(node: ast.Call):
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    keywords = {keyword.arg for keyword in node.keywords}
    if _is_call_of(node, "pow") and len(node.args) == 3:
        yield "pow with three arguments"
    if method in ("startswith", "endswith") and node.args and isinstance(node.args[0], ast.Tuple):
        yield f"a tuple to {method}"
    if method == "decode" and (len(node.args) > 1 or "errors" in keywords):
        yield "decode with an error handler"
    if method == "dumps" and keywords & {"separators", "sort_keys", "indent"}:
        yield "an argument that dumps does not have"
    if method == "SSLContext":
        yield "ssl.SSLContext"


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _imports(tree: ast.Module):
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and node.handlers
        for part in (node.body, *(handler.body for handler in node.handlers))
        for statement in part
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").partition(".")[0]]
        for name in names:
            if name in MISSING_MODULES:
                yield f"{node.lineno}: import {name}"
            elif name in U_NAMES and id(node) not in guarded:
                yield f"{node.lineno}: import {name} alone, which newer ports do not have"
