"""The structure of the package: imports point down, and each third-party library has its doors."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import webcom_async

PACKAGE = Path(webcom_async.__file__).parent

# From the bottom up. A module may import from lower rows and, in `emulator` and `cli`, from its own row.
LAYERS = [
    ["_reasons", "_untrusted", "_clock", "_event_loop", "segments", "_number_set", "_paths", "_asgi"],
    ["errors", "_background"],
    ["_phones", "_decoding", "_given", "templates"],
    ["phonebook"],
    ["_client_ids"],
    ["models", "delivery", "credentials", "options"],
    ["files"],
    ["audience"],
    ["calling_hours"],
    ["_wire", "_progress", "_sources", "_deadline", "_proxies"],
    ["_wire_delivery"],
    ["_held", "_tally", "_addressing", "_policy", "_safeguards", "_throttle", "_failures"],
    ["_columns", "_transport"],
    ["doctor"],
    ["_batching"],
    ["_http_client"],
    ["_httpx", "_aiohttp"],
    ["_retry", "_line", "_books"],
    ["_inquiry"],
    ["journal", "statuses"],
    ["_bookkeeper", "_report_file"],
    ["webhooks", "tracking"],
    ["_flight", "_pulling"],
    ["_sender", "_single"],
    ["campaign"],
    ["client"],
    ["scaleout"],
    ["postgres"],
    ["pytest_plugin", "cli", "__main__"],
]
# Beside the client, sharing its words and wire, and nothing of its conduct.
EMULATOR_MAY_USE = {
    "_asgi",
    "_reasons",
    "errors",
    "_phones",
    "models",
    "delivery",
    "credentials",
    "_wire",
    "_wire_delivery",
}
CORE = {module for row in LAYERS[:-1] for module in row}

DOORS = {
    "httpx2": {"_httpx"},
    "httpcore2": {"_httpx"},
    "aiohttp": {"_aiohttp"},
    "tenacity": {"_retry"},
    "sqlite3": {"journal._file"},
    "uvicorn": {"emulator._server", "cli._webhook"},
    "cyclopts": {"cli._app", "cli._options"},
    "rich": {"cli._display", "cli._preview_table", "cli._delivery_display", "cli._standing_display"},
    "dbos": {f"scaleout.dbos.{module}" for module in ("_engine", "_ledger", "_names", "_steps", "_working")},
    "sqlalchemy": {"scaleout.dbos._ledger", "scaleout.dbos._sqlite"},
    "pyarrow": {"files._arrow"},
    "phonenumbers": {"phonebook"},
    "psycopg": {"postgres._server"},
    "psycopg_pool": {"postgres._server"},
    "pytest": {"pytest_plugin"},
    "anyio": {
        "_bookkeeper",
        "_clock",
        "_deadline",
        "_event_loop",
        "_held",
        "_pulling",
        "_httpx",
        "_transport",
        "_line",
        "_flight",
        "_inquiry",
        "_sender",
        "_single",
        "campaign",
        "client",
        "scaleout._holding",
        "scaleout._running",
        "scaleout._sqlite",
        "scaleout.dbos._engine",
        "scaleout.dbos._ledger",
        "scaleout.dbos._working",
        "_report_file",
        "tracking",
        "postgres._server",
        "postgres._store",
        "webhooks._app",
        "emulator._conversation",
        "cli._doctor",
        "emulator._pushing",
        "cli._accounts",
        "cli._campaign_course",
        "cli._campaign_results",
        "cli._campaign_start",
        "cli._campaign_state",
        "cli._campaign_status",
        "cli._campaign_worker",
        "cli._report",
        "cli._sending",
        "cli._signals",
        "cli._status",
        "cli._track",
        "cli._webhook",
    },
    "msgspec": {
        "segments",
        "files._jsonl",
        "audience._audit",
        "audience._columns",
        "_books",
        "_client_ids",
        "_phones",
        "_line",
        "_clock",
        "_progress",
        "_wire_delivery",
        "delivery",
        "models",
        "options",
        "_wire",
        "_addressing",
        "_columns",
        "_batching",
        "_policy",
        "_tally",
        "journal._rows",
        "journal._numbers",
        "journal._payloads",
        "journal._log",
        "journal._journal",
        "journal._archive",
        "journal._deliveries",
        "scaleout._folder",
        "scaleout._planning",
        "scaleout._running",
        "scaleout._store",
        "postgres._archive",
        "postgres._books",
        "postgres._planning",
        "postgres._standing",
        "tracking",
        "webhooks._app",
        "emulator._fates",
        "emulator._faults",
        "emulator._gateway",
        "emulator._inquiries",
        "emulator._ledger",
        "cli._display",
        "cli._emulate",
        "doctor",
        "cli._doctor",
        "cli._campaign_start",
        "cli._consenting",
        "cli._sending",
        "cli._joining",
    },
}
PURE = [
    "segments",
    "templates",
    "_number_set",
    "_decoding",
    "_throttle",
    "_safeguards",
    "_reasons",
    "_untrusted",
    "_given",
    "_phones",
    "_client_ids",
    "_addressing",
    "_columns",
    "_batching",
    "_wire",
    "_wire_delivery",
    "_progress",
    "_policy",
    "_tally",
    "models",
    "delivery",
    "errors",
]
IMPURE_STDLIB = {"time", "random", "socket", "asyncio", "threading", "logging", "os", "subprocess", "sqlite3", "ssl"}


@cache
def modules() -> list[str]:
    """Return the dotted names of the package's modules, without the package's own."""
    return list(_modules())


def _modules() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__")


@cache
def imports(module: str) -> frozenset[str]:
    """Return the dotted names that *module* imports when it runs, wherever in it."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    path = PACKAGE.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for_checkers = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    never_run = {inner for node in for_checkers for inner in ast.walk(node)}
    for node in set(ast.walk(tree)) - never_run:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{module} imports relatively"
            yield node.module or ""
            if node.module is not None and node.module.startswith("webcom_async"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(module: str) -> set[str]:
    """Return the first level of what *module* imports of the package."""
    found = {name.split(".")[1] for name in imports(module) if name.startswith("webcom_async.")}
    return {name for name in found if any(name == known.split(".")[0] for known in modules())}


def rank(module: str) -> int:
    """Return how high *module* stands."""
    return next(row for row, names in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in names)


def test_every_module_has_a_layer():
    """A new module is given its place before it is used."""
    known = CORE | {"emulator"} | set(LAYERS[-1])

    assert [] == [module for module in modules() if module.split(".")[0] not in known | {"__init__"}]


@pytest.mark.parametrize("module", [name for name in modules() if name.split(".")[0] in CORE])
def test_imports_point_down(module: str):
    """What a module imports of the package stands below it."""
    others = own(module) - {module.split(".", maxsplit=1)[0]}

    assert set() == {name for name in others if name not in CORE or rank(name) >= rank(module)}


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("emulator")])
def test_the_emulator_shares_the_wire_and_no_conduct(module: str):
    """The emulator is the client's judge: it may not lean on how the client behaves."""
    assert set() <= own(module) - {"emulator"} <= EMULATOR_MAY_USE


@pytest.mark.parametrize("module", modules())
def test_third_party_libraries_come_in_through_their_doors(module: str):
    """A library is imported where its door is, and nowhere else."""
    used = {name.split(".")[0] for name in imports(module)} & set(DOORS)

    assert set() == {library for library in used if module not in DOORS[library]}


@pytest.mark.parametrize("library", sorted(DOORS))
def test_every_door_is_used(library: str):
    """A door that nobody uses any more is taken off the list."""
    users = {module for module in modules() if library in {name.split(".")[0] for name in imports(module)}}

    assert DOORS[library] == users


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_touch_nothing(module: str):
    """No socket, clock, sleep, chance or logger below the effects."""
    impure = IMPURE_STDLIB | {"anyio", "httpx2", "httpcore2"}

    assert set() == {name.split(".")[0] for name in imports(module)} & impure
