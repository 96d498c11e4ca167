"""
The public surface, read from the source: a line per public module, name and member.

A module is public if no part of its path begins with an underscore, and its public names are its `__all__`. Nothing is
imported, so no extra is needed, and every interpreter reads the same.

    python -m tests.public_surface      # writes tests/public_surface.txt
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

[FOLDER] = find_spec("webcom_async").submodule_search_locations
SNAPSHOT = Path(__file__).with_name("public_surface.txt")
# No caller names them, and all have one signature.
OF_NO_INTEREST = {
    *("__post_init__", "__repr__", "__rich_repr__"),
    *("__get_pydantic_core_schema__", "__pydantic_serializer__"),
}
# Constructors of what only the package makes, and members that only the package uses.
FOR_THE_PACKAGE = {
    "webcom_async.Batches.__init__",
    "webcom_async.Campaign.__init__",
    "webcom_async.Campaign.events",
    "webcom_async.Campaign.safeguards",
    "webcom_async.Results.__init__",
    "webcom_async.Statuses.__init__",
    "webcom_async.Track.__init__",
    "webcom_async.Tracking.__init__",
    "webcom_async.emulator.Call.reports",
    "webcom_async.emulator.Inquiries.answer",
    "webcom_async.emulator.Inquiries.balance",
    "webcom_async.emulator.Inquiries.questions",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Assignment = ast.Assign | ast.AnnAssign
Identity = tuple[str, str]  # the module and the name of a definition


class Definition(NamedTuple):
    """A class, function, constant or alias, and its place in the source."""

    module: str
    name: str
    node: ast.ClassDef | Function | Assignment

    @property
    def identity(self) -> Identity:
        """The key that tells it from every other definition."""
        return self.module, self.name


class Entry(NamedTuple):
    """
    One line of the surface.

    Attributes:
        path: The public path.
        what: What is there.
        module: Where its annotations are written.
        annotations: The types in it.
    """

    path: str
    what: str
    module: str
    annotations: list[ast.expr]


def surface() -> str:
    """Return all lines, sorted."""
    found = [*((module, "module") for module in public_modules()), *((entry.path, entry.what) for entry in entries())]
    return "".join(f"{path}: {what}\n" for path, what in sorted(found))


def private_types() -> dict[str, str]:
    """Return the package's types that no public module exports, each with a public path that needs it."""
    public = public_paths()
    return {
        ".".join(identity): entry.path
        for entry in entries()
        for annotation in entry.annotations
        for identity in _types(entry.module, annotation)
        if identity not in public
    }


def entries() -> Iterator[Entry]:
    """Yield the entries for callers."""
    return (entry for entry in reachable() if entry.path not in FOR_THE_PACKAGE)


def reachable() -> Iterator[Entry]:
    """Yield the names and members of public paths; a name of several modules is written out at its shortest path."""
    for paths in public_paths().values():
        home, *others = sorted(paths, key=lambda path: (path.count("."), path))
        module, _, name = home.rpartition(".")
        yield from _entries(home, resolve(module, name))
        yield from (Entry(other, f"is {home}", module, []) for other in others)


@cache
def public_paths() -> dict[Identity, list[str]]:
    """Return the public paths of everything that is exported."""
    found: dict[Identity, list[str]] = {}
    for module in public_modules():
        for name in ast.literal_eval(_definitions(module)["__all__"].value):
            found.setdefault(resolve(module, name).identity, []).append(f"{module}.{name}")
    return found


def public_modules() -> list[str]:
    """Return the paths of the package's public modules."""
    return [module for module in _files() if not any(part.startswith("_") for part in module.split("."))]


def resolve(module: str, name: str) -> Definition:
    """
    Return the definition of what *module* calls *name*.

    Raises:
        KeyError: The package does not define it.
    """
    node = _definitions(module).get(name)
    return resolve(*_imports(module)[name]) if node is None else Definition(module, name, node)


# ---------------------------------------------------------------------------- reading modules


@cache
def _files() -> dict[str, Path]:
    root = Path(FOLDER).parent
    named = {".".join(path.relative_to(root).with_suffix("").parts): path for path in Path(FOLDER).rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


@cache
def _statements(module: str) -> list[ast.stmt]:
    """Return a module's statements, with those behind `if TYPE_CHECKING` and `try`."""
    tree = ast.parse(_files()[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, _Unquoted().visit(getattr(node, field)))
    nested = [node.body if isinstance(node, ast.If | ast.Try) else [node] for node in tree.body]
    return [statement for body in nested for statement in body]


class _Unquoted(ast.NodeTransformer):
    """Takes annotations out of their quotes."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return node if ast.unparse(node.value) == "Literal" else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node


@cache
def _definitions(module: str) -> dict[str, ast.ClassDef | Function | Assignment]:
    found = {}
    for node in _statements(module):
        if isinstance(node, ast.ClassDef | Function):
            found[node.name] = node
        elif isinstance(node, Assignment):
            found |= {ast.unparse(target): node for target in _targets(node)}
    return found


@cache
def _imports(module: str) -> dict[str, Identity]:
    """Return where the names come from that *module* imports from the package."""
    nodes = [node for node in _statements(module) if isinstance(node, ast.ImportFrom) and node.module in _files()]
    return {alias.asname or alias.name: (node.module, alias.name) for node in nodes for alias in node.names}


def _targets(node: Assignment) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


# ---------------------------------------------------------------------------- entries


def _entries(path: str, found: Definition) -> Iterator[Entry]:
    node, module = found.node, found.module
    if isinstance(node, ast.ClassDef):
        heads = ", ".join(map(ast.unparse, [*node.bases, *node.keywords]))
        yield Entry(path, f"class ({heads})" if heads else "class", module, [])
        yield from (entry._replace(path=f"{path}.{name}") for name, entry in _members(found).items())
    elif isinstance(node, Function):
        yield Entry(path, f"{_kind(node)} ({ast.unparse(node.args)}){_result(node)}", module, _annotations(node))
    else:
        yield Entry(path, f"value {_value(node)}", module, _aliased(node))


def _members(found: Definition) -> dict[str, Entry]:
    """Return the public members of a class, and of its bases that are not public themselves."""
    members: dict[str, Entry] = {}
    for base in reversed(_private_bases(found)):
        members |= _members(base)
    for node in found.node.body:
        members |= {entry.path: entry for entry in _member(found.module, node)}
    return {name: entry for name, entry in members.items() if _is_public(name)}


def _private_bases(found: Definition) -> list[Definition]:
    names = [ast.unparse(base) for base in found.node.bases]
    bases = [resolve(found.module, name) for name in names if _is_ours(found.module, name)]
    return [base for base in bases if base.identity not in public_paths()]


def _is_ours(module: str, name: str) -> bool:
    return name in _definitions(module) or name in _imports(module)


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.endswith("__") and name not in OF_NO_INTEREST)


def _member(module: str, node: ast.stmt) -> Iterator[Entry]:
    if isinstance(node, Function):
        if node.name == "__init__":
            yield from _attributes(module, node)
        yield Entry(node.name, _method(node), module, _annotations(node))
    elif isinstance(node, Assignment):
        for target in map(ast.unparse, _targets(node)):
            if not target.startswith("__"):
                yield Entry(target, f"field {_value(node)}", module, _annotations(node))


def _method(node: Function) -> str:
    kind = _kind(node)
    if "@property" in kind:
        return f"property{_result(node)}"
    arguments = deepcopy(node.args)
    if "@staticmethod" not in kind:
        del (arguments.posonlyargs or arguments.args)[0]
    return f"{kind} ({ast.unparse(arguments)}){_result(node)}"


def _attributes(module: str, init: Function) -> Iterator[Entry]:
    """Yield what a constructor keeps under a public name, with the type that it or its argument has."""
    arguments = {argument.arg: argument.annotation for argument in ast.walk(init.args) if isinstance(argument, ast.arg)}
    for node in ast.walk(init):
        for target in _targets(node) if isinstance(node, Assignment) else []:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                kept = arguments.get(ast.unparse(node.value)) if node.value is not None else None
                annotation = getattr(node, "annotation", kept)
                types = [annotation] if annotation is not None else []
                yield Entry(target.attr, " ".join(["attribute", *map(ast.unparse, types)]), module, types)


def _kind(node: Function) -> str:
    decorators = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    return " ".join([*decorators, "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"])


def _result(node: Function) -> str:
    return "" if node.returns is None else f" -> {ast.unparse(node.returns)}"


def _value(node: Assignment) -> str:
    annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
    return annotation if node.value is None else f"{annotation} = {ast.unparse(node.value)}".strip()


# ---------------------------------------------------------------------------- types


def _annotations(node: ast.AST) -> list[ast.expr]:
    """Return the annotations of a function's arguments and result, or of a field."""
    if isinstance(node, Function):
        arguments = [argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
        return [annotation for annotation in [*arguments, node.returns] if annotation is not None]
    return [node.annotation] if isinstance(node, ast.AnnAssign) else []


def _aliased(node: Assignment) -> list[ast.expr]:
    """Return what an alias is made of."""
    is_alias = isinstance(node.value, ast.Subscript | ast.BinOp)
    return [*_annotations(node), *([node.value] if is_alias else [])]


def _types(module: str, annotation: ast.expr) -> list[Identity]:
    """Return the package's own types that *annotation* names."""
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
    found = [resolve(module, name) for name in names if _is_ours(module, name)]
    return [definition.identity for definition in found if not _is_type_variable(definition.node)]


def _is_type_variable(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar(")


if __name__ == "__main__":
    SNAPSHOT.write_text(surface(), encoding="utf-8")
