"""Recipients in a file: the message of each, and every fault found before anything is sent."""

import threading
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from webcom_async import InputError, Outcome, Phone, Recipient
from webcom_async.audience import Audience, ColumnNames, Finding, StopList, Verdict, normalise_phone


def audience(folder: Path, content: str, text: str | None = "Sale!", **options: object) -> Audience:
    """Write *content* to a file and return its audience."""
    path = folder / "people.csv"
    path.write_text(content, encoding="utf-8")
    return Audience(path, text, **options)  # type: ignore[arg-type]


def test_personal_texts_come_from_columns(tmp_path: Path):
    """Each recipient gets the text with their own cells, and their phone in international form."""
    people = audience(tmp_path, "Телефон;Имя\n8 (961) 224-22-43;Анна\n+7 961 224-22-44;Пётр\n", "Привет, {имя}!")

    assert [
        Recipient("79612242243", text="Привет, Анна!"),
        Recipient("79612242244", text="Привет, Пётр!"),
    ] == list(people.recipients())


def test_own_texts_keys_and_ids_come_from_columns(tmp_path: Path):
    """A recipient's own text replaces the common one; key and id are passed through."""
    people = audience(tmp_path, "phone,text,key,client_id_sms\n79612242243,Hi,a,\n79612242244,,,101\n")

    assert [
        Recipient("79612242243", None, "a", "Hi"),
        Recipient("79612242244", "101", "", None),
    ] == list(people.recipients())


def test_bad_and_duplicate_rows_are_named_with_their_lines(tmp_path: Path):
    """Before anything is sent, the line and the fault of each bad row are reported; the others are sent to."""
    content = "phone,key\n79612242243,\nabc,\n8 961 224-22-43,\n79612242243,b\n7.96E+10,\n79612242244,\n"
    audit = (people := audience(tmp_path, content)).check()

    assert (6, 3) == (audit.rows, audit.sendable)
    assert [3, 6] == [finding.line for finding in audit.bad]
    assert "a spreadsheet has rounded it" in audit.bad[1].words
    assert [Finding(4, "79612242243 is in line 2 already")] == audit.duplicates
    assert [2, 5, 7] == [person.row.line for person in people.people() if person.recipient]


def test_a_guess_about_a_phone_is_reported(tmp_path: Path):
    """`8 9xx` of a Russian mobile's length becomes `7 9xx`, and each such line is named; nothing else does."""
    content = "phone\n8 (961) 224-22-43\n+7 961 224 22 44\n84951234567\n896122422\n"
    audit = audience(tmp_path, content).check()

    assert [Finding(2, "'8 (961) 224-22-43' was taken for 79612242243")] == audit.guessed
    assert (4, 0) == (audit.sendable, audit.count("bad"))


def test_a_number_that_became_a_decimal_is_read_as_it_was_and_reported(tmp_path: Path):
    """`79612242243.0`, as a data frame with gaps writes it, is that phone, and not one with a zero at its end."""
    people = audience(tmp_path, "phone;x\n79612242243.0;1\n79612242244,00;2\n79612242245.5;3\n")
    audit = people.check()

    assert ["79612242243", "79612242244"] == [recipient.phone for recipient in people.recipients()]
    assert ([2, 3], [4]) == ([found.line for found in audit.guessed], [found.line for found in audit.bad])


def test_apostrophes_and_marks_around_a_phone_are_left_out_and_those_around_an_id_refused(tmp_path: Path):
    """A row's phone may carry what a spreadsheet or a contact application adds; an id may not."""
    content = "phone,client_id_sms\n'79612242243,\n\u202a+7 961 224-22-44\u202c,101\n79612242245,'102\n"
    people = audience(tmp_path, content)

    assert ["79612242243", "79612242244"] == [recipient.phone for recipient in people.recipients()]
    assert [4] == [finding.line for finding in people.check().bad]


@pytest.mark.parametrize("cell", ["", "   "])
def test_an_empty_cell_that_a_text_needs_is_named_with_its_line(tmp_path: Path, cell: str):
    """`Hello, !` is found before anything is sent."""
    people = audience(tmp_path, f"phone,name\n79612242243,Ann\n79612242244,{cell}\n", "Hello, {name}!")

    assert [Finding(3, "column 'name' is empty, and the text needs it")] == people.check().unsayable
    assert bytes([Verdict.SEND, Verdict.UNSAYABLE]) == people.verdicts


def test_everyone_is_accounted_for(tmp_path: Path):
    """Every recipient that is not sent to has a result with a reason, in its row's place."""
    rows = ["79612242243,,A", "abc,,A", "79612242243,,A", "79612242244,,A", "79612242245,x,A", "79612242246,,"]
    content = "\n".join(["phone,client_id_sms,name", *rows])
    people = audience(tmp_path, content, "Hi {name}", stopped=StopList(["8 961 224-22-44"]))
    skipped = [(p.row.line, p.skipped.outcome, p.skipped.reason.value) for p in people.people() if p.skipped]

    assert [
        (3, Outcome.NOT_SENT, "bad_phone"),
        (4, Outcome.NOT_SENT, "duplicate"),
        (5, Outcome.NOT_SENT, "stop_list"),
        (6, Outcome.NOT_SENT, "bad_client_id"),
        (7, Outcome.NOT_SENT, "no_text"),
    ] == skipped


def test_what_it_costs_is_counted_in_parts(tmp_path: Path):
    """An audit counts the parts of all texts to send, and shows the longest, the costliest and three samples."""
    names = ["Ann", "Анна" * 20, "x" * 120, "Bob", "Eve"]
    rows = "".join(f"7961224224{number},{name}\n" for number, name in enumerate(names))
    audit = audience(tmp_path, f"phone,name\n{rows}", "Hello, {name}!").check()

    assert (6, {1: 4, 2: 1}, {"GSM-7": 4, "UCS-2": 1}) == (audit.parts, audit.by_parts, audit.by_encoding)
    assert audit.longest is not None
    assert audit.costliest is not None
    assert (4, 3) == (audit.longest.line, audit.costliest.line)
    assert ["Hello, Ann!", "79612242240"] == [audit.samples[0].text, audit.samples[0].phone]
    assert 3 == len(audit.samples)


def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path):
    """A file that changed after its check raises, so that no recipient gets an unchecked text."""
    people = audience(tmp_path, "phone,name\n79612242243,A\n79612242244,B\n", "Hi {name}")
    people.check()
    path = people.table.path
    for content in ("phone,name\n79612242243,A\n", "phone,name\n1,\n2,\n", path.read_text() + "79612242245,C\n"):
        path.write_text(content)
        with pytest.raises(InputError, match="was changed"):
            list(people.people())


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("name,mobile no\nA,79612242243\n", {}, "no column 'phone'; its columns are: name, mobile no"),
        ("phone,Phone\n1,2\n", {}, "2 columns 'phone'"),
        ("phone\n1\n", {"columns": ColumnNames(phone="tel")}, "no column 'tel'"),
        ("phone\n1\n", {"text": "Hi {name}"}, r"names \{name\}, and no column has"),
        ("phone\n1\n", {"text": None}, "no text"),
    ],
)
def test_columns_that_are_not_there_are_named(tmp_path: Path, content: str, options: dict, words: str):
    """The error names the missing column and the columns that the file has."""
    with pytest.raises(InputError, match=words):
        audience(tmp_path, content, **({"text": "Sale!"} | options))


def test_columns_may_be_named(tmp_path: Path):
    """Any column may be the one of phones, texts, keys or ids."""
    names = ColumnNames(phone="B", text="c", key="D")
    people = audience(tmp_path, "phone,b,c,d\nx,79612242243,Hi,k\n", None, columns=names)

    assert [Recipient("79612242243", None, "k", "Hi")] == list(people.recipients())


def test_a_stop_list_with_a_line_that_cannot_be_read_is_refused(tmp_path: Path):
    """A stop list with an unreadable line is refused, because that line's phone would be sent to."""
    path = tmp_path / "stop.txt"
    path.write_text("79612242243\nnobody\n")

    with pytest.raises(InputError, match="line 2: 'nobody' is not a phone number"):
        StopList.from_file(path)
    path.write_text("79612242243\n8 961 224 22 44\n")
    assert ("79612242244" in StopList.from_file(path), 2) == (True, len(StopList.from_file(path)))


@pytest.mark.parametrize("cell", ["79612242243.00", "79612242243,0", " 8 961 224-22-43"])
def test_a_stop_list_stops_a_phone_that_became_a_decimal(tmp_path: Path, cell: str):
    """Stop list and audience share one reader: a phone that a data frame made a decimal is still stopped."""
    (tmp_path / "stop.csv").write_text(f"phone;x\n{cell};1\n", encoding="utf-8")
    stopped = StopList.from_file(tmp_path / "stop.csv")

    assert [] == list(audience(tmp_path, "phone\n79612242243\n", stopped=stopped).recipients())


@pytest.mark.parametrize("cell", ["7.96E+10", "7,96122422e10", "79612242243.5", "7961224.0"])
def test_a_stop_list_refuses_a_rounded_phone(tmp_path: Path, cell: str):
    """A rounded number could be any phone's, so the error names its line."""
    (tmp_path / "stop.csv").write_text(f"phone;x\n79612242243;1\n{cell};1\n", encoding="utf-8")

    with pytest.raises(InputError, match=r"stop\.csv, line 3: '.*' is not a phone number: "):
        StopList.from_file(tmp_path / "stop.csv")


def test_another_countrys_phones_can_be_read(tmp_path: Path):
    """With a region, local forms are read, and numbers that its numbering plan lacks are refused."""
    pytest.importorskip("phonenumbers", reason="an extra")
    from webcom_async.audience.phonebook import PhoneBook  # noqa: PLC0415

    content = "phone\n030 901820\n+7 961 224-22-43\n030 1\n"
    people = audience(tmp_path, content, normalise=PhoneBook("DE").normalise)

    assert ["4930901820", "79612242243"] == [recipient.phone for recipient in people.recipients()]
    assert [4] == [finding.line for finding in people.check().bad]


def test_a_file_that_is_changed_after_its_check_is_not_sent(tmp_path: Path):
    """Only checked rows are sent: another row in the same place is an error."""
    people = tmp_path / "people.csv"
    people.write_text("phone,name\n79612242243,A\n79612242244,B\n", encoding="utf-8")
    audience = Audience(people, "Hi {name}")
    audience.check()
    people.write_text("phone,name\n79612242244,B\n79612242243,A\n", encoding="utf-8")

    with pytest.raises(InputError, match="changed since it was checked"):
        list(audience.people())


def test_a_row_without_a_text_does_not_block_one_with_a_text(tmp_path: Path):
    """Of two rows of one phone, the one with a text is sent."""
    people = tmp_path / "people.csv"
    people.write_text("phone,name\n79612242243,\n79612242243,Bob\n79612242243,\n", encoding="utf-8")
    audience = Audience(people, "Hi {name}")
    audit = audience.check()

    assert ["Hi Bob"] == [recipient.text for recipient in audience.recipients()]
    assert (1, 1, 1) == (audit.sendable, audit.count("unsayable"), audit.count("duplicates"))


def test_a_stop_list_is_read_as_the_audience_is(tmp_path: Path):
    """A stop list reads a local number by the audience's rules, for whatever region."""
    stopped = StopList()
    (tmp_path / "stop.txt").write_text("701 123 45 67", encoding="utf-8")
    stopped.update_from(tmp_path / "stop.txt", lambda raw: normalise_phone("7" + raw))

    assert Phone("77011234567") in stopped


# ---------------------------------------------------------------------------- in an event loop


def big(folder: Path, rows: int) -> Audience:
    """Return an audience of *rows* phones, the last of which comes twice."""
    return audience(folder, "phone\n" + "".join(f"{79612242243 + number // 2 * 2}\n" for number in range(rows)))


@pytest.mark.anyio
async def test_an_audience_is_checked_while_the_event_loop_runs(tmp_path: Path):
    """`acheck` finds what `check` finds, and other tasks go on meanwhile."""
    people, reached, seen = big(tmp_path, 20_000), anyio.Event(), threading.Event()
    rows: list[int] = []

    def progress(count: int) -> None:
        rows.append(count)
        anyio.from_thread.run_sync(reached.set)
        assert seen.wait(20)

    async def other_task() -> None:
        await reached.wait()
        seen.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other_task)
        audit = await people.acheck(progress)

    assert [10_000, 20_000] == rows
    assert big(tmp_path, 20_000).check() == audit
    assert len(people.verdicts) == 20_000


@pytest.mark.anyio
async def test_a_cancelled_check_ends_soon(tmp_path: Path):
    """The thread reads no further than its next 10,000 rows."""
    people, rows = big(tmp_path, 40_000), []
    with anyio.CancelScope() as scope:

        def progress(count: int) -> None:
            rows.append(count)
            anyio.from_thread.run_sync(scope.cancel)

        await people.acheck(progress)

    assert scope.cancelled_caught
    assert [10_000] == rows


@pytest.mark.anyio
async def test_a_table_that_cannot_be_read_raises_in_the_event_loop(tmp_path: Path):
    """`acheck` raises what `check` raises."""
    people = audience(tmp_path, "phone\n79612242243\n")
    (tmp_path / "people.csv").unlink()
    with pytest.raises((InputError, OSError)):
        await people.acheck()
