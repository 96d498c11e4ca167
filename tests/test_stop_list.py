"""Stop lists, and phones in them that may be of someone else."""

from pathlib import Path

import pytest

from webcom_async import InputError
from webcom_async.audience import StopList


@pytest.mark.parametrize("line", ["9612242243", "(961) 224-22-43", "9612242243.00"])
def test_a_stop_list_refuses_a_phone_that_may_be_another_ones(tmp_path: Path, line: str):
    """Read as a number in Lebanon, it would let the Russian mobile be sent to."""
    path = tmp_path / "stop.csv"
    path.write_text(f"phone\n79612242244\n{line}\n", encoding="utf-8")

    with pytest.raises(InputError, match=r"stop\.csv, line 3: .*: write it as 7… or \+…, or give --region RU"):
        StopList.from_file(path)
    with pytest.raises(InputError, match="may be a Russian mobile"):
        StopList([line])
    assert "9612242243" in StopList([f"+{line}"])


def test_a_stop_list_with_a_region_reads_it(tmp_path: Path):
    """There it is said whose it is."""
    book = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")
    path = tmp_path / "stop.txt"
    path.write_text("9612242243\n", encoding="utf-8")
    stopped = StopList()
    stopped.update_from(path, book.PhoneBook("RU").normalise)

    assert "79612242243" in stopped
