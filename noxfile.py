"""
The checks of the project, in tiers.

* `nox -s quick`: before each commit, in less than a minute;
* `nox`: before each merge, in less than a quarter of an hour. The suite on the oldest and the newest Python, the core
  without extras, style and types;
* `nox -s full`: before each release. All of that, with the other interpreters, the other HTTP libraries and the lowest
  versions.

`nox -s NAME` runs one session; `nox -l` lists them.

An interpreter that is not installed is skipped, and nox says so; those that pyenv keeps are found without its shims.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

import nox

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
PYTHONS = nox.project.python_versions(PROJECT)
OLDEST, *BETWEEN, NEWEST = PYTHONS
PACKAGE = "webcom_async"
WORKERS = ("-n", "3", "--dist", "worksteal")  # more than two cores: many tests wait for processes
# Half of the suite's time, for what the oldest and the newest interpreter say enough of.
SAID_ONCE = (
    "cli",
    "cli_blanks",
    "cli_mishaps",
    "cli_own_output",
    "cli_scaleout",
    "cli_unlike",
    "places",
    "reliability",
)
SLOW = (*SAID_ONCE, "dbos", "taskiq_nats")
# What the coverage of the package leaves out: process tests that add two lines to it, and two tests that watch what a
# measured process has of its own: the modules that it loads, and the files that it cannot write.
UNMEASURED = (
    "--ignore=tests/test_reliability.py",
    "--ignore=tests/test_taskiq_nats.py",
    "--deselect=tests/test_exports.py::test_the_words_need_no_http_library",
    "--deselect=tests/test_cli_mishaps.py::test_results_that_cannot_be_written_end_a_campaign_with_its_report",
)
# What a library of HTTP may do otherwise than another one.
SOCKETS = [
    "tests/unit/test_transport.py",
    *(f"tests/test_{name}.py" for name in ("tls", "secrecy", "send", "campaign", "failures")),
]

nox.needs_version = ">=2025.5.1"
DEFAULT = (f"tests-{OLDEST}", f"tests-{NEWEST}", "bare", "lint", "typing")
REST = (*(f"tests-{version}" for version in BETWEEN), "httpx", "aiohttp", "lowest")

nox.options.sessions = DEFAULT
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = False

pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
for version in PYTHONS:
    found = sorted(pyenv.glob(f"{version}.*/bin"))
    os.environ["PATH"] += "".join(f"{os.pathsep}{folder}" for folder in found)


@nox.session(reuse_venv=True)
def quick(session: nox.Session) -> None:
    """The fast tier, on the interpreter that runs nox: the units, and campaigns to the emulator in this process."""
    session.install("-e", ".[cli,parquet,phones]", *GROUPS["tests"])
    session.run("python", "-m", "tests.quick", *session.posargs)


@nox.session(venv_backend="none")
def full(session: nox.Session) -> None:
    """Run the default sessions, with the whole suite in `bare`, and the rest of the matrix."""
    for name in (*DEFAULT, *REST):
        session.notify(name, posargs=["tests"] if name == "bare" else [])


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """
    The suite, with all extras, against the built wheel: the checkout is out of reach.

    By default on the oldest interpreter and on the newest. Only the newest runs the engine's tests, which wait for
    leases to end. In `full` also on those between, without what takes longest.
    """
    session.install("build", *GROUPS["tests"])
    built = Path(session.create_tmp())
    session.run("python", "-m", "build", "--outdir", str(built), str(HERE), silent=True)
    [file] = built.glob("*.whl")
    session.install("--force-reinstall", "--no-deps", str(file))
    session.install(f"{file}[cli,dbos,parquet,phones,postgres]", *GROUPS["frameworks"], *GROUPS["scaleout"])
    elsewhere = built / "suite"
    shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.copytree(HERE, elsewhere, ignore=shutil.ignore_patterns(PACKAGE, ".git", ".nox", "*_cache"))
    session.chdir(elsewhere)
    # On the oldest interpreter `lowest` runs the engine's tests, with the engine's oldest version.
    left_out = {OLDEST: ("dbos",), NEWEST: ()}.get(session.python, SLOW)
    session.run("pytest", *WORKERS, *_without(left_out), *session.posargs)
    if session.python == OLDEST and not session.posargs:
        # A share of the proof: a process killed at 400 moments.
        session.run("python", "-m", "tests.reliability", "--only", "kills")


def _without(names: Iterable[str]) -> list[str]:
    return [f"--ignore=tests/{folder}test_{name}.py" for folder in ("", "unit/") for name in names]


@nox.session(python=OLDEST)
def bare(session: nox.Session) -> None:
    """The core without any extra: the fast tier by default, in `full` the suite; what needs an extra is skipped."""
    session.install("-e", ".", *GROUPS["tests"])
    if session.posargs:
        session.run("pytest", *WORKERS, *session.posargs)
    else:
        session.run("python", "-m", "tests.quick")


@nox.session(python=OLDEST)
def httpx(session: nox.Session) -> None:
    """In `full`: the suite with a caller's own `httpx.AsyncClient` or `httpx2.AsyncClient`; no command line."""
    session.install("-e", ".[emulator]", "httpx>=0.28", *GROUPS["tests"])
    session.run("pytest", *WORKERS, "--http=httpx", *_without(SAID_ONCE), *session.posargs)
    session.run("pytest", *WORKERS, "--http=httpx2", *SOCKETS, *session.posargs)


@nox.session(python=OLDEST)
def aiohttp(session: nox.Session) -> None:
    """In `full`: the suite with our transport on aiohttp; without the command line, which has one of its own."""
    session.install("-e", ".[emulator,aiohttp]", *GROUPS["tests"])
    session.run("pytest", *WORKERS, "--http=aiohttp", *_without(SAID_ONCE), *session.posargs)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """In `full`: the suite with the lowest versions that the package allows of what it needs itself."""
    extras = PROJECT["project"]["optional-dependencies"]
    names = ("cli", "aiohttp", "parquet", "phones", "postgres", "dbos")
    ours = [requirement for extra in names for requirement in extras[extra]]
    needed = PROJECT["project"]["dependencies"] + ours
    lowest_versions = [re.sub(r">=([\d.]+).*", r"==\1", requirement) for requirement in needed]
    session.install("-e", ".", *lowest_versions, *GROUPS["tests"])
    session.run("pytest", *WORKERS, *_without(set(SLOW) - {"dbos"}), *session.posargs)
    session.run("pytest", *WORKERS, "--http=aiohttp", *SOCKETS, *session.posargs)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style, spelling and the project file."""
    session.install("-e", ".", *GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell", PACKAGE, "tests", "benchmarks", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
    session.run("validate-pyproject", "pyproject.toml")
    session.run("lint-imports")
    session.run("python", "-m", "tests.catalogue")


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Two strict type checkers on the package and on its public surface as a caller sees it."""
    extra = [requirement for requirement in GROUPS["typing"] if isinstance(requirement, str)]
    # Not editable: `--verifytypes` looks at an installed package.
    session.install(".[cli,aiohttp,dbos,parquet,phones,postgres]", *extra, *GROUPS["tests"])
    session.run("basedpyright")
    session.run("basedpyright", "--ignoreexternal", "--verifytypes", PACKAGE)
    session.run("mypy")


@nox.session(python=OLDEST)
def coverage(session: nox.Session) -> None:
    """The suite's coverage of the package, branches included; below the floor in `pyproject.toml` it fails."""
    session.install("-e", ".[cli,aiohttp,dbos,parquet,phones,postgres]", *GROUPS["frameworks"])
    session.install(*nox.project.dependency_groups(PROJECT, "coverage"))
    measured = ("pytest", *WORKERS, "--cov", *UNMEASURED)
    session.run(*measured, "--cov-report=", "--cov-fail-under=0", *session.posargs)
    session.run(*measured, "--cov-append", "--cov-report=term", "--http=aiohttp", *SOCKETS)


@nox.session(python=OLDEST, reuse_venv=True)
def mutants(session: nox.Session) -> None:
    """Each changed detail of the core is noticed by a test; `-- --since REVISION`, `-- --all`, `-- --minutes 60`."""
    session.install("-e", ".[cli]", *nox.project.dependency_groups(PROJECT, "mutants"))
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(python=OLDEST)
def reliability(session: nox.Session) -> None:
    """The proof of the promises, as a table; `-- --long` for the long run."""
    session.install("-e", ".[cli,postgres]", *GROUPS["tests"])
    session.run("python", "-m", "tests.reliability", *session.posargs)


@nox.session(python=OLDEST)
def screenshots(session: nox.Session) -> None:
    """The pictures in `docs/`, of real commands on a terminal."""
    session.install("-e", ".[cli,postgres,dbos]", *GROUPS["tests"])
    session.run("python", "-m", "tests.screenshots", *session.posargs)


@nox.session(python=OLDEST)
def scaleout(session: nox.Session) -> None:
    """The proof of campaigns of many workers; `-- --seeds 20 --recipients 500000` for the whole of it."""
    session.install("-e", ".[cli,postgres,dbos]", *GROUPS["tests"])
    session.run("python", "-m", "tests.scaleout", *session.posargs)


@nox.session(python=OLDEST)
def million(session: nox.Session) -> None:
    """A file of a million rows: previewed, sent, killed twice, resumed, exported; `-- --rows N` for fewer."""
    session.install("-e", ".[cli]", *GROUPS["tests"])
    session.run("python", "-m", "tests.million", *session.posargs)


@nox.session(python=OLDEST)
def segments(session: nox.Session) -> None:
    """Counting parts beside the npm package `sms-segments-calculator`; needs the npm registry."""
    session.install("-e", ".", *GROUPS["segments"])
    session.run("python", "-m", "tests.segments_calculator", *session.posargs)


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """The benchmarks, beside other libraries; `-- --long` for the full scale, `-- --help` for the rest."""
    session.install("-e", ".[cli]", *GROUPS["bench"])
    session.run("python", "-m", "benchmarks", *session.posargs)
