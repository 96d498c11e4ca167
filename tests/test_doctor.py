"""A check-up of the gateway finds each deviation that the emulator can show."""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW
from webcom_async import ConfigurationError, Credentials, Options, Recipient, RequestRefused, WebcomClient
from webcom_async.doctor import MOST_SMS, Capabilities, Order, Repeat, examine
from webcom_async.emulator import Behaviour, Gateway, GatewayTransport, Language, serve

pytestmark = pytest.mark.anyio

PHONE = "8 961 224-22-43"
LOCAL = "http://127.0.0.1"


async def check_up(gateway: Gateway) -> Capabilities:
    """Return what a check-up finds."""
    options = Options(base_url=LOCAL)
    known = Credentials(token=gateway.token)
    found = await examine(GatewayTransport(gateway), known, options, PHONE, sender="ACME", now=NOW)
    assert found.sms == len(gateway.ledger) <= MOST_SMS
    assert {"79612242243"} == {sms.phone for sms in gateway.ledger.sent}
    return found


async def test_a_gateway_that_keeps_its_manuals_word_needs_no_setting():
    """The documented behaviour is found, with no more SMS than the user agreed to, all to the one phone."""
    found = await check_up(Gateway())

    assert found.as_documented
    assert {"path": "/json", "id_bits": 63, "batch_size": 500} == found.options()
    assert (Repeat.FIRST_ID, Order.REQUEST, False, 500) == (
        found.repeat,
        found.order,
        found.refused_uses_up_id,
        found.largest_batch,
    )
    assert (200, 200, "en", False, False) == (
        found.error_status,
        found.refusal_status,
        found.language,
        found.final_dot,
        found.numeric_ids,
    )


@pytest.mark.parametrize(
    ("behaviour", "field", "value"),
    [
        (Behaviour(redirect=True), "path", "/json/"),
        (Behaviour(reverse=True), "order", Order.OTHER),
        (Behaviour(echo_client_ids=True), "order", Order.NAMED),
        (Behaviour(reverse=True, echo_client_ids=True), "order", Order.NAMED),
        (Behaviour(id_bits=53), "id_bits", 53),
        (Behaviour(id_bits=62), "id_bits", 53),
        (Behaviour(id_bits=32), "id_bits", 0),
        (Behaviour(id_bits=31), "id_bits", 0),
        (Behaviour(refused_uses_up_id=True), "refused_uses_up_id", True),
        (Behaviour(max_recipients=1), "largest_batch", 1),
        (Behaviour(max_recipients=99), "largest_batch", 99),
        (Behaviour(max_recipients=100), "largest_batch", 100),
        (Behaviour(error_status=400), "error_status", 400),
        (Behaviour(refusal_status=400), "refusal_status", 400),
        (Behaviour(language=Language.RUSSIAN), "language", Language.RUSSIAN.value),
        (Behaviour(final_dot=True), "final_dot", True),
        (Behaviour(numeric_ids=True), "numeric_ids", True),
    ],
    ids=str,
)
async def test_each_deviation_is_found(behaviour: Behaviour, field: str, value: object):
    """The check-up finds the deviation that the emulator is set to."""
    found = await check_up(Gateway(behaviour=behaviour))

    assert value == getattr(found, field)


async def test_no_two_deviations_hide_each_other():
    """A gateway with all deviations at once has all of them found."""
    behaviour = Behaviour(
        redirect=True, reverse=True, id_bits=53, refused_uses_up_id=True, max_recipients=7, final_dot=True
    )
    found = await check_up(Gateway(behaviour=behaviour))

    assert ("/json/", Order.OTHER, 53, True, 7, True) == (
        found.path,
        found.order,
        found.id_bits,
        found.refused_uses_up_id,
        found.largest_batch,
        found.final_dot,
    )


async def test_a_gateway_that_forgets_ids_is_never_retried():
    """Where a repeated id is another SMS, the settings allow one attempt, and no more SMS are sent than agreed."""
    gateway = Gateway()

    class Forgetful(GatewayTransport):
        async def send(self, *given: Any, **named: Any) -> Any:
            gateway._used.clear()
            return await super().send(*given, **named)

    options = Options(base_url=LOCAL)
    found = await examine(Forgetful(gateway), Credentials(token=gateway.token), options, PHONE, sender="ACME")

    assert (Repeat.SENT_AGAIN, 1, False) == (found.repeat, found.options()["attempts"], found.as_documented)
    assert found.sms == len(gateway.ledger) <= MOST_SMS


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(redirect=True), Behaviour(reverse=True), Behaviour(id_bits=53), Behaviour(max_recipients=3)],
    ids=str,
)
async def test_a_client_that_reads_the_file_suits_the_gateway(tmp_path: Path, behaviour: Behaviour):
    """With the settings of the check-up, each recipient's result is its own."""
    (await check_up(Gateway(behaviour=behaviour))).save(tmp_path / "file")
    gateway = Gateway(behaviour=behaviour)
    gateway.accounts[0].stop_list = {"79612242244"}
    found = Capabilities.from_file(tmp_path / "file")
    transport = GatewayTransport(gateway)
    async with WebcomClient(token=gateway.token, transport=transport, base_url=LOCAL, **found.options()) as client:
        people = [Recipient(str(79612242243 + number)) for number in range(9)]
        async with client.stream(people, text="Sale!", sender="ACME", campaign="spring") as results:
            ended = {result.phone: (result.outcome.value, result.id_sms) async for result in results}

    sent = {sms.phone: ("accepted", sms.id_sms) for sms in gateway.ledger.sent}
    assert sent | {"79612242244": ("rejected", None)} == ended


async def test_ids_that_are_too_narrow_are_no_setting():
    """Where derived ids would collide, there is no safe setting, and the check-up says so."""
    found = await check_up(Gateway(behaviour=Behaviour(id_bits=32)))

    with pytest.raises(ConfigurationError, match="fewer than 53 bits"):
        found.options()


async def test_nothing_is_learnt_from_an_account_that_cannot_send():
    """Wrong credentials, or a phone on the stop list, end the check-up with the gateway's words."""
    gateway = Gateway()
    gateway.accounts[0].stop_list = {"79612242243"}
    options = Options(base_url=LOCAL)
    for token, words in ((gateway.token, "stop list"), ("wrong", "Incorrect login")):
        with pytest.raises(RequestRefused, match=words):
            await examine(GatewayTransport(gateway), Credentials(token=token), options, PHONE, sender="ACME")
    assert 0 == len(gateway.ledger)


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    """The error names a file that no check-up wrote."""
    (tmp_path / "file").write_text('{"path": "/json"}')
    for name in ("file", "missing"):
        with pytest.raises(ConfigurationError, match=name):
            Capabilities.from_file(tmp_path / name)


@pytest.mark.socket
@pytest.mark.skipif(find_spec("cyclopts") is None, reason="the command line is an extra")
def test_the_command_asks_writes_and_is_read(tmp_path: Path):
    """Without consent nothing is sent; with it, the command writes the file that `send` needs for this gateway."""
    gateway = Gateway(behaviour=Behaviour(redirect=True, id_bits=53, max_recipients=2))
    out, people = tmp_path / "capabilities.json", tmp_path / "people.csv"
    people.write_text("\n".join(str(79612242243 + number) for number in range(5)))
    with serve(gateway) as url:
        environ = os.environ | {"WEBCOM_TOKEN": gateway.token, "WEBCOM_BASE_URL": url}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "webcom_async", *words]
            pipes = {"stdin": subprocess.DEVNULL, "capture_output": True}
            return subprocess.run(command, env=environ, text=True, check=False, **pipes)  # type: ignore[call-overload]

        refused = run("doctor", PHONE, "--sender", "ACME", "--out", str(out))
        assert (2, 0, 1) == (refused.returncode, gateway.requests, len(refused.stderr.splitlines()))
        done = run("doctor", PHONE, "--sender", "ACME", "--out", str(out), "--yes", "--json")
        assert 1 == done.returncode, done.stderr
        assert json.loads(done.stdout) == json.loads(out.read_text())
        before = len(gateway.ledger)
        results = tmp_path / "results.csv"
        words = ("send", str(people), "--sender", "ACME", "--text", "Sale!", "--results", str(results))
        sent = run(*words, "--campaign", "spring", "--capabilities", str(out))

    assert (0, 5) == (sent.returncode, len(gateway.ledger) - before), sent.stderr
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [1, 2, 3, 4, 5] == sorted(int(row["line"]) for row in rows)
    assert all(row["phone"] == row["input_phone"] for row in rows)
