"""The README's examples, run as they are."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx2
import pytest

from tests.builders import phones
from tests.conftest import Connect
from webcom_async import Outcome, WebcomClient, events
from webcom_async.emulator import Fault, Gateway, GatewayTransport, Scenario, Step, UrlPost, push, serve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
[BACKEND] = [block for block in PYTHON if "FastAPI" in block]
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]

SECRET = "a-secret-of-23-letters."
LOST = Fault(processed=True, close=True)
HANGS = Fault(delay=2)  # seconds, after the SMS was sent: for longer than the caller waits


def test_the_first_example_runs_as_it_stands(tmp_path: Path):
    """The README's first example sends to a file of phones and prints the rejected ones."""
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


def test_the_first_example_with_a_wrong_token_ends_in_a_line(tmp_path: Path):
    """A wrong token is one line on stderr and exit code 2, as from the command line, and nothing is sent."""
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    gateway = Gateway()
    (tmp_path / "phones.txt").write_text("\n".join(phones(3)))
    (tmp_path / "example.py").write_text(PYTHON[0], encoding="utf-8")
    with serve(gateway) as base_url:
        environ = os.environ | {"WEBCOM_TOKEN": "wrong", "WEBCOM_BASE_URL": base_url}
        command = [sys.executable, "example.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    [line] = done.stderr.splitlines()
    assert line.startswith("AuthenticationError: the gateway answered: Incorrect login or password")
    assert (2, 0) == (done.returncode, len(gateway.ledger))


def test_the_example_is_short():
    """The first screen shows no more than a dozen lines of code."""
    assert len([line for line in PYTHON[0].splitlines() if line.strip()]) <= 12


def test_the_fixture_example_passes_as_a_test(tmp_path: Path):
    """The test in the README passes with the package and pytest alone."""
    (tmp_path / "test_example.py").write_text(f"import pytest\n\npytestmark = pytest.mark.anyio\n{PYTHON[1]}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout
    assert " passed" in done.stdout


@pytest.mark.anyio
async def test_the_message_example_sends_one_sms_per_attempt(connect: Connect, webcom_gateway: Gateway):
    """Called again after a time-out and lost answers, the example sends no second SMS; a new code arrives."""
    [code] = [block for block in PYTHON if "async def send_code(client" in block]
    send_code, impatient = _defined(code), _defined(code.replace("fail_after(5)", "fail_after(0.3)"))
    faults, phone = webcom_gateway.faults, "+7 961 224-22-43"
    ask_again, sent = "If no code comes in a minute, ask again.", "The code was sent."
    async with connect(webcom_gateway, attempts=2) as client:
        faults.script(HANGS)
        told = [await impatient(client, phone, "1111", "first"), await send_code(client, phone, "1111", "first")]
        faults.script(LOST, LOST)
        told += [await send_code(client, phone, "2222", "second") for _ in range(2)]
        told += [await send_code(client, phone, "3333", "third")]
        webcom_gateway.accounts[0].stop_list = {"79612242243"}
        refused = await send_code(client, phone, "4444", "fourth")

    # Over a socket the transport repeats a request at once whose kept connection breaks, and may have an answer then.
    assert told.pop(2) in {ask_again, sent}
    assert [ask_again, sent, sent, sent] == told
    assert "No code was sent: Phone number is on the stop list" == refused
    assert ["Your code: 1111", "Your code: 2222", "Your code: 3333"] == [sms.text for sms in webcom_gateway.ledger.sent]


def _defined(code: str) -> Callable[..., Awaitable[str]]:
    names: dict[str, Any] = {"anyio": anyio, "Outcome": Outcome, "WebcomClient": WebcomClient}
    exec(code, names)
    return names["send_code"]


class Backend(NamedTuple):
    """The README's FastAPI application on a socket, beside an emulator, and a client that calls it."""

    url: str
    user: httpx2.Client
    gateway: Gateway
    names: dict[str, Any]

    def post(self, path: str, **params: str) -> Any:
        """Return what the application answers."""
        return self.user.post(f"{self.url}{path}", params=params).json()


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Run the README's backend as it is."""
    pytest.importorskip("fastapi", reason="it is not the package's own")
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    from tests.asgi_servers import served  # noqa: PLC0415 - needs the extra

    gateway = Gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBCOM_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
    with serve(gateway) as base_url, httpx2.Client(trust_env=False) as user:
        monkeypatch.setenv("WEBCOM_BASE_URL", base_url)
        names: dict[str, Any] = {"__name__": "backend"}
        exec(compile(BACKEND, "backend.py", "exec"), names)
        with served(names["app"]) as url:
            yield Backend(url, user, gateway, names)


def test_the_backend_is_short():
    """The backend has fewer than forty lines of code."""
    assert len([line for line in BACKEND.splitlines() if line.strip()]) < 40


def test_the_backend_sends_codes_and_receives_reports(backend: Backend):
    """The README's FastAPI application sends a code, and receives its delivery report."""
    gateway = backend.gateway
    gateway.scenarios.default = Scenario((Step(0, "deliver"),))
    gateway.webhooks.enabled = True
    sent = backend.post("/codes", phone="+7 961 224-22-43")
    place = f"{backend.url}/codes/{sent['id_sms']}"
    before = backend.user.get(place).json()
    anyio.run(push, gateway.webhooks, UrlPost(f"{backend.url}/webcom/{SECRET}"))
    after = backend.user.get(place).json()
    wrong = backend.user.post(f"{backend.url}/codes", params={"phone": "none"})

    assert ("accepted", {"state": "nothing is known yet"}, {"state": "deliver"}) == (sent["outcome"], before, after)
    assert 422 == wrong.status_code
    assert 0 == len(gateway.webhooks)


def test_the_backend_sends_one_sms_per_code_however_often_it_is_asked(backend: Backend):
    """After a time-out, lost answers and a user's second request one SMS is sent; a new code is another SMS."""
    phone, codes, ledger = "+7 961 224-22-43", backend.names["codes"], backend.gateway.ledger
    backend.gateway.faults.script(HANGS)
    backend.names["timeout"] = lambda _: asyncio.timeout(0.3)
    first = backend.post("/codes", phone=phone)
    backend.names["timeout"] = asyncio.timeout
    backend.gateway.faults.script(LOST)
    again = [backend.post(f"/codes/{first['attempt']}") for _ in range(2)]
    second = backend.post("/codes", phone=phone)
    unheard_of = backend.user.post(f"{backend.url}/codes/none")

    assert ("unknown", None) == (first["outcome"], first["id_sms"])
    assert ["accepted"] * 3 == [answer["outcome"] for answer in [*again, second]]
    assert [f"Your code: {code}" for _, code in codes.values()] == [sms.text for sms in ledger.sent]
    assert [again[1]["id_sms"], second["id_sms"]] == [sms.id_sms for sms in ledger.sent]
    assert 404 == unheard_of.status_code


def test_the_backend_says_which_attempt_to_repeat_where_the_gateway_serves_nothing(backend: Backend):
    """Once the account is topped up, the same attempt sends the code that was made for it."""
    backend.gateway.accounts[0].balance = 0
    refused = backend.user.post(f"{backend.url}/codes", params={"phone": "+7 961 224-22-43"})
    backend.gateway.accounts[0].balance = None
    sent = backend.post(f"/codes/{refused.json()['detail']['attempt']}")

    assert (503, "accepted") == (refused.status_code, sent["outcome"])
    assert [f"Your code: {code}" for _, code in backend.names["codes"].values()] == [
        sms.text for sms in backend.gateway.ledger.sent
    ]


def test_continuous_integration_runs_the_readmes_two_commands():
    """Continuous integration runs the commands that the README tells readers to copy."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    for command in ('python -m pip install -e ".[cli]" && webcom-async demo', "python -m pip install nox && nox"):
        assert command in CONSOLE
        assert command in script


def test_every_option_in_the_readme_exists():
    """Every setting in the README's table exists, with the default that the table names."""
    options = __import__("webcom_async").Options()
    table = README.split("## Settings")[1].split("## Command line")[0]
    for names, defaults in re.findall(r"^\| (`.*?`) \| (\S.*?) \|", table, re.MULTILINE):
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True):
            actual = getattr(options, name.strip("`"))
            assert default.strip("`").replace(",", "") == f"{actual:g}" if isinstance(actual, float) else f"{actual}"


@pytest.mark.anyio
async def test_the_observer_example_counts(webcom_gateway: Gateway):
    """The observer in the README sees a campaign's batches."""
    [code] = [block for block in PYTHON if "observers=[count]" in block]
    connected = partial(WebcomClient, transport=GatewayTransport(webcom_gateway))
    names: dict[str, Any] = {"WebcomClient": connected, "metrics": Counter(), "token": webcom_gateway.token}
    exec(code, names)
    async with names["client"] as client:
        await client.send_all(phones(3), text="Sale!", sender="ACME")

    assert {"accepted": 3} == names["metrics"]


def test_every_event_is_in_the_readme():
    """The README's table has every event, with its name, level and fields."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\w+) \| (.*) \|$", README, re.MULTILINE)
    listed = {struct: (name, level, re.findall(r"`(\w+)`", fields)) for name, struct, level, fields in rows}
    kinds = [getattr(events, name) for name in events.__all__ if name not in {"Event", "Observer", "Observers"}]

    assert listed == {
        kind.__name__: (
            kind.__struct_config__.tag,
            logging.getLevelName(kind.level),
            list(kind.__struct_fields__),
        )
        for kind in kinds
    }
