"""Standard streams and files that fail, and the words that say so."""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from webcom_async import ClientIdSms, Delivery, DeliveryReport, DeliveryState, Phone

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")

from webcom_async._cli.commands.track import _ChangesFile
from webcom_async._cli.options import FileOptions
from webcom_async._cli.run.resume_hint import remember_command, way_to_results
from webcom_async._cli.ui.outputs import SafeStream, safe_outputs

resource = pytest.importorskip("resource", reason="POSIX systems limit the size of a file")


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """Let no file of this process grow over *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def change(number: int) -> Delivery:
    """Return a change of the SMS with that number."""
    report = DeliveryReport(str(number), DeliveryState.DELIVER, "deliver")
    return Delivery(ClientIdSms(str(number)), Phone(str(79612242243 + number)), report)


def test_changes_that_cannot_be_written_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A full disk raises nothing; the file keeps whole rows, and stderr says once why and how many are missing."""
    path = tmp_path / "changes.csv"
    file = _ChangesFile(path)
    with no_file_over(400):
        for number in range(20):
            file.write(change(number))
    file.close()

    with path.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    told = capsys.readouterr().err
    assert 0 < len(rows) < 20
    assert {"deliver"} == {row["state"] for row in rows}
    assert 1 == told.count(f"{path}: the changes could not be written: File too large")
    assert f"{20 - len(rows)} changes are missing from {path}" in told


class FullStream(io.StringIO):
    """A stream that takes nothing until it has room."""

    room = False

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_stream_that_has_room_again_is_written_again():
    """What came meanwhile is lost, which is said once; what comes later is written."""
    told: list[str] = []
    full = FullStream()
    stream = SafeStream(full, told.append)
    for line in ("one\n", "two\n"):
        assert len(line) == stream.write(line)
    full.room = True
    stream.write("three\n")

    assert (["No space left on device"], "three\n") == (told, full.getvalue())


def test_a_stream_writes_what_its_encoding_has():
    """Signs of tables become plain, letters become escapes, and nothing is lost or raised."""
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("«5 × 5» … Ян\n")
    stream.flush()

    assert b'"5 x 5" ... \\u042f\\u043d\n' == raw.getvalue()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_closed_stream_takes_everything(stream: str | None):
    """A program that has no stdout, or has closed it, is told once that it is closed."""
    told: list[str] = []
    closed = io.StringIO()
    closed.close()
    safe = SafeStream(None if stream is None else closed, told.append)
    safe.flush()
    assert not told
    safe.write("one\n")
    safe.write("two\n")
    safe.leave()

    assert ["it is closed"] == told
    assert not safe.isatty()


def test_the_streams_of_a_program_are_its_own_again(capsys: pytest.CaptureFixture[str]):
    """A program that runs the command line in its process finds its streams as it left them."""
    before = sys.stdout, sys.stderr
    with safe_outputs():
        print("said")

    assert before == (sys.stdout, sys.stderr)
    assert "said\n" == capsys.readouterr().out


def test_the_command_that_writes_all_results_has_the_files_options(tmp_path: Path):
    """With a journal it is an export into a free name; options that were not given are left out."""
    results = tmp_path / "results.csv"
    (tmp_path / "results-2.csv").touch()
    options = FileOptions(phone_column="-tel", stop_list=(Path("a.txt"), Path("b.txt")), use_ids=True)
    told = way_to_results(results, Path("j"), "spring", file=Path("people.csv"), text="Sale", options=options)
    expected = (
        f"webcom-async export {tmp_path}/results-3.csv --journal j --campaign spring --file people.csv --text Sale "
        "--phone-column=-tel --stop-list a.txt --stop-list b.txt --use-ids"
    )

    assert expected == told


def test_without_a_journal_the_same_command_writes_all_results():
    """It names the campaign that was made up, and says that the file must be another."""
    remember_command(["send", "people.csv", "--results", "r.csv"])
    told = way_to_results(Path("r.csv"), None, "cli-1", made_up=True)

    assert "webcom-async send people.csv --results r.csv --campaign cli-1, with another file for --results" == told
