"""The public surface is what its lists say."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import webcom_async


def test_the_list_of_exports_is_sorted_and_complete():
    """Every listed name exists, once and in order."""
    assert sorted(set(webcom_async.__all__)) == webcom_async.__all__
    assert all(hasattr(webcom_async, name) for name in webcom_async.__all__)


def test_every_public_module_lists_what_it_exports():
    """`__all__` of each importable module lists its public names."""
    needs_extra = (
        "__main__",
        "_cli.",
        "_http.aiohttp_transport",
        "_storage.postgres.",
        "audience.phonebook",
        "emulator._server",
        "files._arrow",
        "postgres",
        "scaleout.dbos",
        "webhooks._server",
    )
    names = [
        found.name.removeprefix("webcom_async.")
        for found in pkgutil.walk_packages(webcom_async.__path__, "webcom_async.", _cannot_be_imported)
    ]
    for name in names:
        if not name.startswith(needs_extra):
            module = importlib.import_module(f"webcom_async.{name}")
            assert all(hasattr(module, export) for export in module.__all__), name


def _cannot_be_imported(name: str) -> None:
    """Ignore a module whose extra is not installed; its package cannot be imported."""


def test_what_scales_out_is_there_when_it_is_named():
    """Every name that `webcom_async.scaleout` lists is imported at its first use, and is documented."""
    scaleout = importlib.import_module("webcom_async.scaleout")

    assert sorted(set(scaleout.__all__)) == sorted(scaleout.__all__)
    assert set(scaleout.__all__) <= set(dir(scaleout))
    assert all(getattr(scaleout, name).__doc__ for name in scaleout.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scaleout.nothing


def test_every_error_is_exported():
    """Every error that the package raises can be caught by its public name."""
    errors = importlib.import_module("webcom_async._domain.errors")
    raised = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}

    assert raised <= set(webcom_async.__all__)


@pytest.mark.parametrize("name", [name for name in webcom_async.__all__ if not name.startswith("_")])
def test_every_export_has_a_docstring(name: str):
    """Every name that a user can import has a docstring."""
    assert getattr(webcom_async, name).__doc__ or name in {"IdBits", "IdSource", "RecipientSource"}


def test_the_version_is_the_installed_one():
    """`__version__` is the version of the installed package."""
    assert version("webcom-async") == webcom_async.__version__


def test_the_package_is_typed():
    """The package has the marker that makes type checkers read its annotations."""
    assert Path(webcom_async.__file__).with_name("py.typed").is_file()


def test_the_words_need_no_http_library():
    """A program that only names outcomes, and a pytest that only knows the plugin, import no HTTP library."""
    code = "import sys, webcom_async, webcom_async.pytest_plugin; webcom_async.Outcome; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set() == {"httpx2", "tenacity", "sqlite3", "webcom_async.client", "webcom_async.emulator"} & set(loaded)


def test_what_sends_is_imported_when_it_is_named():
    """`dir` lists the client before its import, and a wrong name raises as in any module."""
    assert set(webcom_async.__all__) <= set(dir(webcom_async))
    assert webcom_async.WebcomClient is importlib.import_module("webcom_async.client").WebcomClient
    with pytest.raises(AttributeError, match="no attribute 'Webcom'"):
        webcom_async.Webcom  # noqa: B018


def test_importing_the_package_needs_no_extra():
    """The core imports no optional library, and no event loop but the standard one."""
    code = "import sys, webcom_async.client, webcom_async.emulator; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set() == {"uvicorn", "cyclopts", "rich", "aiohttp", "pyarrow", "phonenumbers", "trio", "pytest"} & set(
        loaded
    )
