"""Phones that are unlike the others of a table: left out until the caller includes them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import phones
from webcom_async import Outcome, Reason
from webcom_async.audience import Audience, Audit, Verdict

USUAL = list(phones(100))
ODD = ["8961224224", "9612242243", "796122422431"]


def audience(folder: Path, lines: list[str], header: str = "phone", text: str = "Sale!", **options: object) -> Audience:
    """Write *lines* under a header to a file and return its audience."""
    path = folder / "people.csv"
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return Audience(path, text, **options)  # type: ignore[arg-type]


def sent(audience: Audience) -> list[object]:
    """Return the phones that are sent to, in order."""
    return [recipient.phone for recipient in audience.recipients()]


def test_phones_unlike_nearly_all_others_are_left_out(tmp_path: Path):
    """A phone with a digit too few or too many, or without a country code, is named with its line and not sent to."""
    people = audience(tmp_path, [*USUAL, *ODD])
    audit = people.check()

    assert (100, 3) == (audit.sendable, audit.count("unlike"))
    assert [102, 103, 104] == [finding.line for finding in audit.unlike]
    assert all(phone in finding.words for phone, finding in zip(ODD, audit.unlike, strict=True))
    assert USUAL == sent(people)
    assert bytes([Verdict.SEND] * 100 + [Verdict.UNLIKE] * 3) == people.verdicts


def test_what_is_left_out_has_a_result_with_its_reason(tmp_path: Path):
    """Every row that is left out has a result with its reason."""
    people = audience(tmp_path, [*USUAL, *ODD])
    skipped = [person.skipped for person in people.people() if person.skipped is not None]

    assert [(phone, Outcome.NOT_SENT, Reason.UNLIKE_PHONE) for phone in ODD] == [
        (result.phone, result.outcome, result.reason) for result in skipped
    ]
    assert ["is unlike the others", "Russian mobile without its 7", "is unlike the others"] == [
        next(words for words in ("is unlike the others", "Russian mobile without its 7") if words in result.error)
        for result in skipped
    ]


def test_they_are_sent_to_when_they_are_meant(tmp_path: Path):
    """`include_unlike` sends to all of them, and still names them."""
    people = audience(tmp_path, [*USUAL, *ODD], include_unlike=True)
    audit = people.check()

    assert (103, 103, 3) == (audit.sendable, audit.parts, audit.count("unlike"))
    assert [*USUAL, *ODD] == sent(people)


def test_what_is_left_out_costs_nothing(tmp_path: Path):
    """Rows that are left out count in no sum, and supply neither samples nor the longest text."""
    lines = [f"{ODD[0]},{'x' * 500}", f"{ODD[1]},{'Я' * 300}", *(f"{phone},{phone[-2:]}" for phone in USUAL)]
    lines[50] = lines[50] + "y" * 200
    audit = audience(tmp_path, lines, "phone,name", "Hi {name}").check()

    assert (100, 101, {1: 99, 2: 1}, {"GSM-7": 100}) == (
        audit.sendable,
        audit.parts,
        audit.by_parts,
        audit.by_encoding,
    )
    assert audit.longest == audit.costliest
    assert audit.longest is not None
    assert 52 == audit.longest.line
    assert [4, 5, 6] == [sample.line for sample in audit.samples]


def test_sizes_are_the_same_whatever_the_shapes(tmp_path: Path):
    """Samples and the longest text come in the file's order from a table of several countries."""
    lines = ["442079460958,aa", "79612242243,b", "4930901820,cc", "79612242244,d", "442079460959,ee"]
    audit = audience(tmp_path, lines, "phone,name", "Hi {name}").check()

    assert (5, 5, 0) == (audit.sendable, audit.parts, audit.count("unlike"))
    assert [2, 3, 4] == [sample.line for sample in audit.samples]
    assert audit.longest is not None
    assert audit.costliest is not None
    assert (2, 2) == (audit.longest.line, audit.costliest.line)


def test_a_table_of_many_countries_has_no_odd_ones(tmp_path: Path):
    """In a table with fewer than nine in ten phones alike, no phone is left out as unlike."""
    people = audience(tmp_path, [*phones(8), "442079460958", "4930901820"])

    assert (0, 10) == (people.check().count("unlike"), len(sent(people)))


@pytest.mark.parametrize("written", ["9612242243", "961 224-22-43", "(961) 224.22.43", "9612242243.0"])
def test_a_table_of_russian_mobiles_as_they_are_written_at_home_is_not_sent_abroad(tmp_path: Path, written: str):
    """Ten digits from 9 on, without a plus, are left out even if the whole table is written so."""
    people = audience(tmp_path, [written, "9258432958"])
    audit = people.check()

    assert (0, 0, 2, []) == (audit.sendable, audit.parts, audit.count("unlike"), audit.samples)
    assert [] == sent(people)
    assert ["9612242243"] == sent(audience(tmp_path, [written], include_unlike=True))


def test_a_plus_says_that_a_number_in_lebanon_is_meant(tmp_path: Path):
    """A plus marks a number in Lebanon, and so does a region, which reads the others as its own."""
    assert ["9612242243"] == sent(audience(tmp_path, ["+961 2242243", "9258432958"]))

    book = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")
    people = audience(tmp_path, ["9612242243", "+79258432958"], normalise=book.PhoneBook("RU").normalise)
    assert ["79612242243", "79258432958"] == sent(people)
    assert 0 == people.check().count("unlike")


def test_home_forms_have_no_say_in_what_is_usual(tmp_path: Path):
    """Complete phones are sent to, however many others lack their country code."""
    home = [f"96122422{number}" for number in range(10, 99)]

    assert ["79612242243", "79612242244"] == sent(audience(tmp_path, [*home, "79612242243", "79612242244"]))


def test_a_duplicate_of_a_row_that_is_left_out_is_not_sent(tmp_path: Path):
    """Neither a row that is left out nor its duplicate is sent to."""
    people = audience(tmp_path, [*USUAL, ODD[0], ODD[1], ODD[0], ODD[1]])

    assert USUAL == sent(people)
    assert 104 - 100 == people.check().count("unlike") + people.check().count("duplicates")


def test_a_good_row_after_one_that_is_left_out_is_sent_once(tmp_path: Path):
    """A good row is sent once after one with the same phone or id that is left out."""
    lines = [
        "9612242243,",  # left out
        "+9612242243,",  # a number in Lebanon: unlike the others
        "8961224224,7",  # left out
        "79612249000,7",  # sent
        "79612249001,7",  # its duplicate
        "442079460958,7",  # likewise
        *(f"{phone}," for phone in USUAL),
        "9612242243,",  # a duplicate of the second
    ]
    people = audience(tmp_path, lines, "phone,client_id_sms")
    audit = people.check()

    assert ["79612249000", *USUAL] == sent(people)
    assert (101, 101, 3, 3) == (audit.sendable, audit.parts, audit.count("unlike"), audit.count("duplicates"))
    assert [2, 3, 4] == [finding.line for finding in audit.unlike]
    assert [6, 7, 108] == [finding.line for finding in audit.duplicates]
    assert ["9612242243"] == sent(audience(tmp_path, ["9612242243", "+9612242243", "+9612242243", "9612242243"]))


def test_a_row_without_a_text_does_not_displace_one_with_a_text(tmp_path: Path):
    """Of the rows of one id, the one with a usual phone and a text is sent."""
    lines = ["8961224224,7,A", "79612249000,7,", "79612249001,7,B", *(f"{phone},,C" for phone in USUAL)]
    people = audience(tmp_path, lines, "phone,client_id_sms,name", "Hi {name}")

    assert ["79612249001", *USUAL] == sent(people)
    assert (0, 1, 1) == tuple(people.check().count(kind) for kind in ("unsayable", "unlike", "duplicates"))


def test_a_phone_changed_by_a_rule_is_reported_only_if_it_is_sent_to(tmp_path: Path):
    """A row that is left out is reported once, and not as a guessed phone too."""
    audit = audience(tmp_path, [*USUAL, "8 961 224 99 99", "298212345.0"]).check()

    assert [102] == [finding.line for finding in audit.guessed]
    assert [103] == [finding.line for finding in audit.unlike]


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["79612242243", "79612242244", "+9612242243", "9612242243", "8961224224", "442079460958"]),
        st.sampled_from(["", "", "1", "2"]),
    ),
    min_size=1,
    max_size=30,
)


@given(_ROWS, st.booleans())
def test_no_row_is_sent_to_twice_or_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], include: bool
):
    """In any table each row has one verdict, each id and phone one SMS, and the counts agree."""
    lines = [f"{phone},{given}" for phone, given in [*rows, *((phone, "") for phone in phones(20))]]
    people = audience(tmp_path_factory.mktemp("people"), lines, "phone,client_id_sms", include_unlike=include)
    audit = people.check()
    reached = [recipient.client_id_sms or recipient.phone for recipient in people.recipients()]

    assert len(set(reached)) == len(reached) == audit.sendable == audit.parts
    assert len(lines) == audit.rows == audit.sendable + _left_out(audit, include=include)
    if include:
        assert {given or phone.removeprefix("+") for phone, given in rows} <= set(reached)


def _left_out(audit: Audit, *, include: bool) -> int:
    return audit.count("duplicates") + (0 if include else audit.count("unlike"))


def test_of_many_findings_the_first_thousand_are_kept(tmp_path: Path):
    """All findings are counted, and the first thousand are kept."""
    path = tmp_path / "people.txt"
    path.write_text("\n".join(str(9612240000 + number) for number in range(3_000)), encoding="utf-8")
    audit = Audience(path, "Sale!").check()

    assert (3_000, 1_000) == (audit.count("unlike"), len(audit.unlike))
