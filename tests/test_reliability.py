"""The reliability measurements: every subject runs, and each of them notices a broken promise."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.reliability import matrix
from tests.reliability.judge import Counts, judged
from tests.reliability.scales import TINY
from tests.reliability.table import Row, Subject, markdown, plain
from tests.reliability.troubled import TroubledGateway
from webcom_async import Outcome, SendResult
from webcom_async.emulator import GatewayAnswer, Ledger, Received, Sms

pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
pytest.importorskip("rich", reason="the emulator runs from the command line")
pytest.importorskip("resource", reason="peak memory is asked of a POSIX system")

from tests.reliability.__main__ import SUBJECTS

ROOT = Path(__file__).parent.parent


class Forgetful(TroubledGateway):
    """A gateway that sends again what it has sent."""

    def process(self, request: Received) -> GatewayAnswer:
        """Forget every id first."""
        self._used.clear()
        return super().process(request)


class Silent(TroubledGateway):
    """A gateway that claims to have sent, and has not."""

    def process(self, request: Received) -> GatewayAnswer:
        """Answer as usual, and take the SMS out of the ledger."""
        answer = super().process(request)
        self.ledger.sent.clear()
        return answer


def sms(phone: str, id_sms: str) -> Sms:
    """Return what the ledger holds of an SMS."""
    return Sms(id_sms, "login", "1", "sms", "ACME", "Sale!", phone, "")


def claim(phone: str, outcome: Outcome, id_sms: str | None = None) -> SendResult:
    """Return what a client claims of a phone."""
    return SendResult("1", phone, outcome, id_sms)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SUBJECTS))
@pytest.mark.socket
def test_every_subject_is_measured(name: str):
    """Every subject gives rows with figures and the seed that repeats them, at a tiny scale."""
    command = [sys.executable, "-m", "tests.reliability", "--only", name, "--scale", "tiny", "--seed", "5", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=ROOT)
    subject = msgspec.json.decode(done.stdout, type=Subject)

    assert 5 == subject.seed
    assert all(row.runs and row.bar and row.measured for row in subject.rows)
    assert done.returncode == (0 if all(row.ok for row in subject.rows) else 1)


@pytest.mark.parametrize(("gateway", "words"), [(Forgetful, "twice"), (Silent, "invented")])
def test_the_matrix_sees_a_gateway_that_cheats(gateway: type[TroubledGateway], words: str):
    """A gateway that bills a recipient twice, or sends nothing, makes the row miss its bar and say why."""
    row, _ = matrix.measure(TINY, 5, gateway)

    assert not row.ok
    assert f" 0 {words}" not in row.measured


@pytest.mark.parametrize(
    ("result", "wrong"),
    [
        ([], Counts(lost=1)),
        ([claim("1", Outcome.ACCEPTED, "7")], Counts()),
        ([claim("1", Outcome.ACCEPTED, "8")], Counts(wrong_id=1)),
        ([claim("1", Outcome.NOT_SENT)], Counts(falsely_unsent=1)),
        ([claim("1", Outcome.REJECTED)], Counts(falsely_unsent=1)),
        ([claim("1", Outcome.UNKNOWN)], Counts()),
        ([claim("1", Outcome.ACCEPTED, "7"), claim("2", Outcome.ACCEPTED, "9")], Counts(invented=1)),
        ([claim("1", Outcome.ACCEPTED, "7")] * 2, Counts(twice=1)),
    ],
)
def test_the_judge_goes_by_the_ledger(result: list[SendResult], wrong: Counts):
    """The judge tells each kind of false claim apart."""
    ledger = Ledger()
    ledger.sent.append(sms("1", "7"))

    assert wrong == judged(["1"], result, ledger)


def test_the_judge_sees_a_second_bill():
    """Two SMS to one phone count as billed twice, whatever the client claims."""
    ledger = Ledger()
    ledger.sent += [sms("1", "7"), sms("1", "7")]

    assert 1 == judged(["1"], [claim("1", Outcome.ACCEPTED, "7")], ledger).twice


def test_a_missed_bar_is_printed():
    """A row that missed its bar says so in every form of the table."""
    row = Row("what", "1", "0", "1", ok=False)

    assert "MISSED" in plain([row])
    assert "| MISSED |" in markdown([row])
