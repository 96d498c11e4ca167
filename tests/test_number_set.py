"""The compact map of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from webcom_async.audience._stop_list import NumberMap

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
