"""Stop lists, and ambiguous phones in them."""

from pathlib import Path

import pytest

from webcom_async import InputError
from webcom_async.audience import StopList


@pytest.mark.parametrize("line", ["9612242243", "(961) 224-22-43", "9612242243.00"])
def test_a_stop_list_refuses_a_phone_that_may_be_another_ones(tmp_path: Path, line: str):
    """A Russian mobile without its country code is refused: read as a number in Lebanon, it would stop nothing."""
    path = tmp_path / "stop.csv"
    path.write_text(f"phone\n79612242244\n{line}\n", encoding="utf-8")

    with pytest.raises(InputError, match=r"stop\.csv, line 3: .*: write it as 7… or \+…, or give --region RU"):
        StopList.from_file(path)
    with pytest.raises(InputError, match="may be a Russian mobile"):
        StopList([line])
    assert "9612242243" in StopList([f"+{line}"])


def test_a_stop_list_with_a_region_reads_it(tmp_path: Path):
    """With a region, a stop list reads local numbers as that region's."""
    book = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")
    path = tmp_path / "stop.txt"
    path.write_text("9612242243\n", encoding="utf-8")
    stopped = StopList()
    stopped.update_from(path, book.PhoneBook("RU").normalise)

    assert "79612242243" in stopped


def test_a_stop_list_asks_for_its_encoding(tmp_path: Path):
    """A stop list whose encoding is in doubt is refused until it is named."""
    path = tmp_path / "stop.csv"
    path.write_bytes("Телефон;Имя\n79612242243;Анна\n".encode("cp866"))

    with pytest.raises(InputError, match=r"line 1: .*--stop-list-encoding\), likely cp866"):
        StopList.from_file(path)
    assert "79612242243" in StopList.from_file(path, encoding="cp866")
