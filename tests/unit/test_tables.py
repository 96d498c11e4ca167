"""Tables: their numbers, spelled and compared."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_places import KINDS, seen
from webcom_async import InputError
from webcom_async._domain.phones import whole_number
from webcom_async.audience._stop_list import NumberMap
from webcom_async.files._table import spelling

numbers = st.one_of(st.integers(1, 2**64 - 1), st.integers(79_000_000_000, 79_000_003_000))


@given(st.lists(st.tuples(numbers, st.integers(0, 2**64 - 1)), max_size=2_000))
def test_it_behaves_as_a_dict_does(pairs: list[tuple[int, int]]):
    """The map keeps the first value of a number, as `dict.setdefault` does."""
    compact, plain = NumberMap(), dict[int, int]()

    assert [plain.setdefault(*pair) for pair in pairs] == [compact.setdefault(*pair) for pair in pairs]
    assert len(plain) == len(compact)
    assert all(number in compact for number in plain)
    assert all((number in plain) == (number in compact) for number in range(79_000_000_000, 79_000_000_100))


def test_consecutive_phones_keep_it_fast_and_small():
    """Consecutive phones, as a generated list has them, take at most 48 bytes each."""
    compact = NumberMap()
    for phone in range(79_000_000_000, 79_000_100_000):
        compact.setdefault(phone, 1)

    assert 100_000 == len(compact)
    assert compact._keys.itemsize * (len(compact._keys) + len(compact._values)) <= 48 * 100_000


# ---------------------------------------------------------------------------- typed tables


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (1e17, "100000000000000000"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (101.0, "101"),
        (0.5, "0.5"),
        (Decimal("0E-10"), "0E-10"),
        (Decimal("1.50"), "1.50"),
        (None, ""),
    ],
)
def test_numbers_in_typed_tables_are_spelled_as_ever(value: object, spelled: str):
    """Ids are derived from keys, so a key that a later release spelled otherwise would be another SMS."""
    [spell] = spelling(1, exact=())

    assert spelled == spell(value)


@pytest.mark.parametrize("value", [1e17, 9_007_199_254_740_992.0, -1e16])
def test_a_float_that_has_lost_digits_is_no_phone_and_no_id(value: float):
    """Such a float is spelled so that every reader refuses it in these columns."""
    [spell] = spelling(1, exact={0})

    with pytest.raises(ValueError, match="rounded"):
        whole_number(spell(value) or "")


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_no_arrow_table(tmp_path: Path, kind: str):
    """Mode, owner, size, time and name stay, and the call does not block."""
    pytest.importorskip("pyarrow", reason="Arrow is an extra")
    from webcom_async.files._arrow import ArrowTable  # noqa: PLC0415 - an extra

    path = tmp_path / "given"
    KINDS[kind](path)
    before = seen(tmp_path)

    with pytest.raises(InputError) as refused:
        ArrowTable(path)

    assert before == seen(tmp_path)
    assert str(path) in str(refused.value)
