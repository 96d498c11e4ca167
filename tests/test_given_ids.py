"""A caller's own ids in a file, and numbers that lost digits on their way there."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Connect
from webcom_async import IdScheme, InputError
from webcom_async.audience import Audience, StopList
from webcom_async.emulator import Gateway


def with_ids(folder: Path, *ids: str) -> Audience:
    """Return an audience in which each recipient has one of *ids*."""
    path = folder / "people.csv"
    rows = (f"7961224{number:04};{given}" for number, given in enumerate(ids))
    path.write_text("\n".join(["phone;client_id_sms", *rows]), encoding="utf-8")
    return Audience(path, "Sale!")


def ids_of(audience: Audience) -> list[object]:
    """Return the ids of the recipients to send to."""
    return [recipient.client_id_sms for recipient in audience.recipients()]


@pytest.mark.parametrize("given", ["101", "101.0", "101,00", " 101 "])
def test_a_decimal_id_is_the_number_it_was(tmp_path: Path, given: str):
    """`101.0`, as a data frame with gaps writes it, is the id 101, and causes no second SMS."""
    assert ["101"] == ids_of(with_ids(tmp_path, given))


@pytest.mark.parametrize(
    "given",
    [
        "1.69964E+18",
        "1,7e15",
        "1582218195625938945.0",
        "9007199254740992.0",
        "1699638157105960000",
        "12345678901234500",
    ],
)
def test_a_rounded_id_is_refused(tmp_path: Path, given: str):
    """A rounded id is another id, so a recipient with an SMS under the first would get a second."""
    audience = with_ids(tmp_path, given, "101")
    audit = audience.check()

    assert ["101"] == ids_of(audience)
    assert [2] == [finding.line for finding in audit.bad]
    assert "a spreadsheet has rounded it" in audit.bad[0].words


@pytest.mark.parametrize("given", ["101.5", "101e", "1 01"])
def test_what_is_no_whole_number_is_no_id(tmp_path: Path, given: str):
    """An id is not guessed."""
    assert 1 == with_ids(tmp_path, given).check().count("bad")


def test_ids_of_sixteen_digits_are_judged_by_their_column(tmp_path: Path):
    """One in ten such ids ends in a zero by chance; where half of them do, a spreadsheet has made the zeros."""
    honest = [f"123456789012345{digit}" for digit in range(10)]
    rounded = ["1234567890123450", "1234567890123460", "1234567890123471", "101"]

    assert honest == ids_of(with_ids(tmp_path, *honest))
    assert ["1234567890123471", "101"] == ids_of(with_ids(tmp_path, *rounded))


def test_ids_that_merely_hold_zeros_are_taken(tmp_path: Path):
    """Up to fifteen digits survive a spreadsheet, and so does an id with another digit after them."""
    ids = ["123456789012340", "100000000000000", "1699638157105960001", "9223372036854775807"]

    assert ids == ids_of(with_ids(tmp_path, *ids))


@pytest.mark.anyio
async def test_an_id_that_a_call_gives_as_a_number_is_exact(connect: Connect):
    """The rule for a spreadsheet's zeros applies to files only."""
    async with connect(Gateway()) as client:
        result = await client.send("79612242243", "Sale!", sender="ACME", client_id_sms=1699638157105960000)

    assert "1699638157105960000" == result.client_id_sms


def write(folder: Path, **columns: Any) -> Path:
    """Write a Parquet file of *columns*, and return its path."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    path = folder / "people.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["float16", "float32", "dictionary"])
@pytest.mark.parametrize("column", ["phone", "client_id_sms"])
def test_a_column_of_small_floats_holds_no_phones_and_no_ids(tmp_path: Path, kind: str, column: str):
    """Small floats keep seven digits, so the file is refused, as an audience and as a stop list."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    small = pa.array([1.0, 2.0], pa.float32())
    if kind == "float16":
        small = pa.array([0x3C00, 0x4000], pa.uint16()).view(pa.float16())  # older pyarrows need numpy to make them
    columns = {"phone": ["79612242243"] * 2, column: small.dictionary_encode() if kind == "dictionary" else small}
    path = write(tmp_path, **columns)

    with pytest.raises(InputError, match=f"column '{column}': a float of 32 bits or fewer has rounded it"):
        Audience(path, "Sale!")
    if column == "phone":
        with pytest.raises(InputError, match="has rounded it"):
            StopList.from_file(path)


def test_a_column_of_small_floats_may_fill_a_text(tmp_path: Path):
    """A column that is neither phone nor id may be as exact as its author wants."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    path = write(tmp_path, phone=["79612242243"], points=pa.array([1.5], pa.float32()))

    assert ["1.5 points"] == [recipient.text for recipient in Audience(path, "{points} points").recipients()]


def test_decimals_and_exact_floats_of_a_typed_table_are_phones_and_ids(tmp_path: Path):
    """`decimal(20,2)` and doubles below 2**53 are read as exact numbers; gaps and infinities are not phones."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    decimals = pa.array([Decimal("79612242243.00"), Decimal("298212345.00"), Decimal("79612242244.50")])
    path = write(tmp_path, phone=decimals.cast(pa.decimal128(20, 2)), client_id_sms=[101.0, 9007199254740991.0, 103.0])
    people = [(recipient.phone, recipient.client_id_sms) for recipient in Audience(path, "Sale!").recipients()]
    path = write(tmp_path, phone=[79612242243.0, float("nan"), float("inf")], x=["a", "b", "c"])

    assert [("79612242243", "101"), ("298212345", "9007199254740991")] == people
    assert ["79612242243"] == [recipient.phone for recipient in Audience(path, "Sale!").recipients()]


def test_a_float_that_has_lost_digits_is_refused_in_every_typed_file(tmp_path: Path):
    """At 2**53 and beyond, a float is only close to the number, and is not an id."""
    (tmp_path / "people.jsonl").write_text('{"phone": 79612242243, "client_id_sms": 1582218195625938945.0}\n')
    for path in (
        tmp_path / "people.jsonl",
        write(tmp_path, phone=["79612242243"], client_id_sms=[9007199254740992.0]),
    ):
        [finding] = Audience(path, "Sale!").check().bad

        assert "a spreadsheet has rounded it" in finding.words


def test_honest_ids_are_not_taken_for_rounded_ones(tmp_path: Path):
    """Ids of which no more end in zeros than by chance, one in ten thousand or in ten, are taken."""
    scheme = IdScheme("spring")
    ids = scheme.derive_all(range(79610000000, 79610000000 + 20_000))
    assert any(len(each) > 16 and each.endswith("0" * (len(each) - 15)) for each in ids)

    assert ids == ids_of(with_ids(tmp_path, *ids))


def test_one_rounded_id_among_a_few_is_seen(tmp_path: Path):
    """One rounded cell, typed in or pasted from a spreadsheet, is found beside exact ones."""
    ids = ["1582218195625938945", "1699638157105967211", "1699638157105960000"]

    assert ids[:2] == ids_of(with_ids(tmp_path, *ids))


@pytest.mark.parametrize("header", ["client_id_sms\u00a0", "\u3000client_id_sms", "client_id_sms\n"])
def test_a_file_of_results_is_known_behind_odd_blanks(tmp_path: Path, header: str):
    """A column found as that of the ids marks a file of results, however its header was typed."""
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({"phone": "79612242243", header: "101", "outcome": "accepted"}), encoding="utf-8")

    assert [None] == ids_of(Audience(path, "Summer!"))


def test_a_column_of_reasons_does_not_make_a_file_ours(tmp_path: Path):
    """Other people's tables have `reason` and `error` too, so their ids are used as written."""
    path = tmp_path / "people.csv"
    path.write_text("phone,client_id_sms,reason,error\n79612242243,101,birthday,\n", encoding="utf-8")

    assert ["101"] == ids_of(Audience(path, "Sale!"))
