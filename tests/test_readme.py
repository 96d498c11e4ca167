"""The README's words, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.builders import phones
from webcom_async.emulator import Fate, Gateway, Step, UrlPost, push, serve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_the_first_example_runs_as_it_stands(tmp_path: Path):
    """The ten lines on the first screen send to a file of phones and print who was rejected."""
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    gateway = Gateway()
    gateway.accounts[0].stop_list = {"79612242244"}
    (tmp_path / "phones.txt").write_text("\n".join(phones(3)))
    (tmp_path / "example.py").write_text(PYTHON[0], encoding="utf-8")
    with serve(gateway) as base_url:
        environ = os.environ | {"WEBCOM_TOKEN": gateway.token, "WEBCOM_BASE_URL": base_url}
        command = [sys.executable, "-W", "error::ResourceWarning", "example.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert "" == done.stderr
    assert "79612242244 rejected stop_list Phone number is on the stop list" == done.stdout.splitlines()[0]
    assert "3 recipients: 2 accepted, 1 rejected" in done.stdout.splitlines()[1]
    assert ["79612242243", "79612242245"] == [sms.phone for sms in gateway.ledger.sent]


def test_the_example_is_short():
    """The first screen shows no more than a dozen lines of code."""
    assert len([line for line in PYTHON[0].splitlines() if line.strip()]) <= 12


def test_the_fixture_example_passes_as_a_test(tmp_path: Path):
    """The test in the README passes for whoever has the package and pytest."""
    (tmp_path / "test_example.py").write_text(f"import pytest\n\npytestmark = pytest.mark.anyio\n{PYTHON[1]}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout
    assert " passed" in done.stdout


def test_the_backend_sends_codes_and_receives_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The FastAPI application in the README, in under forty lines, hears from the gateway who got a code."""
    pytest.importorskip("fastapi", reason="it is not the package's own")
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    from tests.asgi_servers import served  # noqa: PLC0415 - needs the extra

    [code] = [block for block in PYTHON if "FastAPI" in block]
    assert len([line for line in code.splitlines() if line.strip()]) < 40
    gateway = Gateway()
    gateway.fates.usual = Fate((Step(0, "deliver"),))
    gateway.webhooks.enabled = True
    secret = "a-secret-of-23-letters."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBCOM_WEBHOOK_SECRET", secret)
    monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
    with serve(gateway) as base_url, httpx2.Client(trust_env=False) as user:
        monkeypatch.setenv("WEBCOM_BASE_URL", base_url)
        names: dict[str, Any] = {"__name__": "backend"}
        exec(compile(code, "backend.py", "exec"), names)
        with served(names["app"]) as backend:
            sent = user.post(f"{backend}/codes", params={"phone": "+7 961 224-22-43"}).json()
            before = user.get(f"{backend}/codes/{sent['id_sms']}").json()
            anyio.run(push, gateway.webhooks, UrlPost(f"{backend}/webcom/{secret}"))
            after = user.get(f"{backend}/codes/{sent['id_sms']}").json()
            wrong = user.post(f"{backend}/codes", params={"phone": "none"})

    assert ("accepted", {"state": "nothing is known yet"}, {"state": "deliver"}) == (sent["outcome"], before, after)
    assert 422 == wrong.status_code
    assert 0 == len(gateway.webhooks)


def test_continuous_integration_runs_the_readmes_two_commands():
    """The commands that the README tells people to copy are those that are tried on every change."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    for command in ('python -m pip install -e ".[cli]" && webcom-async demo', "python -m pip install nox && nox"):
        assert command in CONSOLE
        assert command in script


def test_every_option_in_the_readme_exists():
    """Settings named in the README's table are settings, with the default that stands there."""
    options = __import__("webcom_async").Options()
    table = README.split("## Settings")[1].split("## Command line")[0]
    for names, defaults in re.findall(r"^\| (`.*?`) \| (\S.*?) \|", table, re.MULTILINE):
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True):
            actual = getattr(options, name.strip("`"))
            assert default.strip("`").replace(",", "") == f"{actual:g}" if isinstance(actual, float) else f"{actual}"
