"""Time zones: those of phones, and machines without a tz database."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from webcom_async import Phone
from webcom_async.audience.calling_hours import CallingHours

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

# What a machine without a tz database has: no folder of zones, and no package `tzdata`.
BARE = "import sys; sys.modules['tzdata'] = None; "


def without_database(code: str, *words: str | Path) -> str:
    """Run Python without a tz database, and return what it prints on stdout."""
    run = subprocess.run(
        [sys.executable, "-c", BARE + code, *map(str, words)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONTZPATH": ""},
        timeout=50,
    )
    assert 0 == run.returncode, run.stderr
    return run.stdout


def offset(hours: CallingHours, phone: str) -> timedelta | None:
    """Return how far the clock of *phone* is from UTC."""
    return NOON.astimezone(hours.zone(Phone(phone))).utcoffset()


@pytest.mark.parametrize("phone", ["77011234567", "77771234567", "76011234567", "77172123456"])
def test_kazakhstan_has_a_clock_of_its_own(phone: str):
    """Phones of Kazakhstan, +7 6xx and +7 7xx, are at UTC+5, with or without a numbering plan; other +7 are not."""
    hours = CallingHours(time(9), time(20), UTC)

    assert (timedelta(hours=5), timedelta(0)) == (offset(hours, phone), offset(hours, "79612242243"))
    assert timedelta(0) == offset(hours, f"{phone}1")


@pytest.mark.parametrize(
    ("phone", "zone"),
    [("77011234567", 5), ("76011234567", 5), ("79612242243", 0), ("74951234567", 3)],
)
def test_a_numbering_plan_with_one_zone_gives_the_clock(phone: str, zone: int):
    """Where the plan names one zone, it counts; where it names several, the caller's counts, except in Kazakhstan."""
    book = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")

    assert timedelta(hours=zone) == offset(CallingHours(time(9), time(20), UTC, book.zones_of), phone)


def test_a_zone_that_is_not_known_here_ends_no_campaign():
    """A zone that the tz database lacks counts as none: the caller's zone counts, or Kazakhstan's."""
    hours = CallingHours(time(9), time(20), UTC, lambda _: ("Mars/Olympus",))

    assert (timedelta(0), timedelta(hours=5)) == (offset(hours, "79612242243"), offset(hours, "77011234567"))


def test_without_a_tz_database_the_zones_that_matter_are_known():
    """UTC, Moscow's and Kazakhstan's zone need no database; another one is an error that says what to install."""
    code = (
        "from datetime import datetime, time, UTC\n"
        "from webcom_async import ConfigurationError, Options\n"
        "from webcom_async.audience.calling_hours import CallingHours\n"
        "moment = datetime(2026, 6, 1, tzinfo=UTC)\n"
        "almaty = CallingHours(time(9), time(20), UTC).zone('77011234567')\n"
        "zones = [Options().zone, Options(time_zone='UTC').zone, almaty]\n"
        "print(*(moment.astimezone(zone).utcoffset() for zone in zones))\n"
        "try: Options(time_zone='Asia/Omsk')\n"
        "except ConfigurationError as exc: print(exc)\n"
    )

    offsets, said = without_database(code).splitlines()
    assert "3:00:00 0:00:00 5:00:00" == offsets
    assert "install the tzdata package" in said


@pytest.mark.parametrize("words", [(), ("--zone", "UTC"), ("--between", "00:00-23:59:59", "--zone", "UTC")])
def test_without_a_tz_database_send_runs(tmp_path: Path, words: tuple[str, ...]):
    """`send` needs no tz database unless it is given another zone than Moscow's and UTC."""
    pytest.importorskip("cyclopts", reason="the command line is an extra")
    people = tmp_path / "people.csv"
    people.write_text("phone\n79612242243\n77011234567\n", encoding="utf-8")
    code = "from webcom_async.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = ("send", people, "--sender", "ACME", "--text", "Sale!", "--dry-run", "--json")
    until = ("--validity-period", "2040-01-31 18:00")

    assert 2 == json.loads(without_database(code, *command, *until, *words))["sendable"]
