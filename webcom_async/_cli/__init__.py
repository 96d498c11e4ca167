"""The command line, `webcom-async`; installed with the `[cli]` extra."""

import sys
from collections.abc import Sequence

from webcom_async._cli.ui.outputs import safe_outputs

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich", "uvicorn")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return its exit code.

    Args:
        arguments: Words after the program's name; those of the process if left out.
    """
    with safe_outputs():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        from webcom_async._cli import app as _app  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        if (exc.name or "").split(".")[0] not in _EXTRA:
            raise
        sys.stderr.write('webcom-async: the command line needs: pip install "webcom-async[cli]"\n')
        return 2
    return _app.run(arguments)
