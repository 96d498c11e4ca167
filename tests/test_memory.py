"""Memory does not grow with a campaign."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
pytest.importorskip("rich", reason="the emulator runs from the command line")
pytest.importorskip("resource", reason="peak memory is asked of a POSIX system")

ROOT = Path(__file__).parent.parent


@pytest.mark.socket
def test_memory_over_an_idle_client_is_bounded():
    """A campaign of 100,000 recipients over a socket peaks less than 60 MB above an idle client."""
    command = [sys.executable, "-m", "benchmarks", "--case", "memory", "--recipients", "100000"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT)
    figures = json.loads(done.stdout)

    assert 100_000 == figures["recipients"]
    assert figures["over_idle_mib"] < 60
