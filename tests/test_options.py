"""Every setting of a client."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.conftest import Connect
from webcom_async import ConfigurationError, Options, WebcomClient
from webcom_async.emulator import Gateway

WHOLE = ["in_flight", "batch_size", "batch_bytes", "attempts"]
SECONDS = ["grace", "wait_initial", "wait_max", "retry_after_max"]


def test_the_defaults_are_documented():
    """By default a client posts to the vendor's host over TLS, in batches of 500."""
    options = Options()

    assert "https://lk.mysmpp.ru/json" == options.url
    assert (4, 500, 524_288, 6) == (options.in_flight, options.batch_size, options.batch_bytes, options.attempts)
    assert (30.0, 5.0, 63) == (options.timeout, options.grace, options.id_bits)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True])
def test_counts_are_whole_numbers_of_at_least_one(name: str, value: object):
    """Zero would never finish, and a fraction or a flag is a mistake."""
    with pytest.raises(ConfigurationError, match=f"{name} is {value!r}; it must be a whole number of at least 1"):
        Options(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WHOLE)
def test_one_is_enough(name: str):
    """One at a time is slow, and allowed."""
    assert 1 == getattr(Options(**{name: 1}), name)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [-0.1, float("nan"), "1", None, True])
def test_waits_are_numbers_of_at_least_zero(name: str, value: object):
    """A negative wait, or one that is not a number, is refused."""
    with pytest.raises(ConfigurationError, match=f"{name} is"):
        Options(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECONDS)
def test_no_wait_is_a_wait(name: str):
    """Zero seconds switch a wait off, and whole seconds are seconds."""
    assert [0, 2] == [getattr(Options(**{name: value}), name) for value in (0, 2)]


@pytest.mark.parametrize("value", [0, 0.0, -1, float("nan"), "30", None, True])
def test_a_timeout_is_above_zero(value: object):
    """A time-out of zero, or one that is not a number, is refused by name like any other bad setting."""
    with pytest.raises(ConfigurationError, match="timeout is"):
        Options(timeout=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [31, 52, 64, "63", None])
def test_the_width_of_ids_is_checked_at_once(bits: object):
    """A width that ids cannot have is refused where it is set, not at the first campaign."""
    with pytest.raises(ConfigurationError, match="id_bits"):
        Options(id_bits=bits)  # type: ignore[arg-type]


def test_options_cannot_change():
    """A client's settings stay what they were when it was made."""
    with pytest.raises(AttributeError):
        Options().timeout = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://lk.mysmpp.ru", "/json/", "https://lk.mysmpp.ru/json/"),
        ("https://lk.mysmpp.ru/", "/json", "https://lk.mysmpp.ru/json"),
        ("https://my3.webcom.mobi", "json", "https://my3.webcom.mobi/json"),
        ("https://my3.webcom.mobi:8443", "/json", "https://my3.webcom.mobi:8443/json"),
        ("https://proxy.example/webcom/", "/json/", "https://proxy.example/webcom/json/"),
    ],
)
def test_base_url_and_path_are_joined_with_one_slash(base_url: str, path: str, url: str):
    """One slash joins them, however each is written; a slash at the end of the path stays."""
    assert url == Options(base_url=base_url, path=path).url


@pytest.mark.parametrize(
    "base_url",
    ["http://lk.mysmpp.ru", "HTTP://lk.mysmpp.ru", "http://127.0.0.1.example", "http://0.0.0.0", "http://localhost.ru"],
)
def test_clear_text_is_refused(base_url: str):
    """Plain http to another machine needs `allow_cleartext`, because the body holds the password."""
    with pytest.raises(ConfigurationError, match=r"clear text.*allow_cleartext=True"):
        Options(base_url=base_url)

    assert base_url == Options(base_url=base_url, allow_cleartext=True).base_url


@pytest.mark.parametrize(
    ("base_url", "loopback"),
    [
        ("http://localhost:8080", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1:8080", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:8080", True),
        ("https://localhost", True),
        ("https://lk.mysmpp.ru", False),
        ("https://10.0.0.1", False),
        ("https://localhost.ru", False),
    ],
)
def test_this_machine_is_known(base_url: str, loopback: bool):
    """An emulator on this machine needs no TLS; what only looks like this machine does."""
    assert loopback is Options(base_url=base_url).loopback


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "lk.mysmpp.ru",
        "//lk.mysmpp.ru",
        "https://",
        "https:///json",
        "ftp://lk.mysmpp.ru",
        "file:///etc/passwd",
        "https://lk.mysmpp.ru:port",
        "https://lk.mysmpp.ru:99999",
        "https://[::1",
        "https://lk.mysmpp.ru?json",
        "https://lk.mysmpp.ru#json",
        None,
    ],
)
def test_a_base_url_is_scheme_and_host(base_url: object):
    """A URL that is not a gateway's address is refused before anything is posted to it."""
    with pytest.raises(ConfigurationError, match="base_url"):
        Options(base_url=base_url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "base_url",
    [
        "https://login:hunter2@lk.mysmpp.ru",
        "https://hunter2@lk.mysmpp.ru",
        "https://:hunter2@lk.mysmpp.ru",
        "http://login:hunter2@lk.mysmpp.ru",
        "ftp://login:hunter2@lk.mysmpp.ru",
        "https://login:hunter2@lk.mysmpp.ru:port",
        "https://login:hunter2@",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(base_url: str):
    """No error shows a URL's password, whatever else is wrong with the URL."""
    with pytest.raises(ConfigurationError) as refused:
        Options(base_url=base_url)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("time_zone", "hours"), [("Europe/Moscow", 3), ("Asia/Vladivostok", 10), ("Asia/Kolkata", 5.5), ("UTC", 0)]
)
def test_a_zone_is_known_by_its_name(time_zone: str, hours: float):
    """The gateway's zone is any that this machine knows; Moscow is the default."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    assert timedelta(hours=hours) == moment.astimezone(Options(time_zone=time_zone).zone).utcoffset()
    assert timedelta(hours=3) == moment.astimezone(Options().zone).utcoffset()


@pytest.mark.parametrize("time_zone", ["Mars/Olympus", "", "Europe", "../passwd", "/etc/localtime", "a\0b", 3, None])
def test_an_unknown_zone_is_refused(time_zone: object):
    """A misspelt zone would shift every validity period, so it ends the set-up."""
    with pytest.raises(ConfigurationError, match="time_zone"):
        Options(time_zone=time_zone)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("max_retries", "attempts"), ("time_out", "timeout"), ("url", "base_url"), ("max_connections", "in_flight")],
)
@pytest.mark.parametrize(
    "make", [partial(WebcomClient, token="dummy"), partial(WebcomClient.from_env, {})], ids=["constructor", "from_env"]
)
def test_an_unknown_option_is_told_with_the_nearest_and_all(
    make: Callable[..., WebcomClient], wrong: str, nearest: str
):
    """The error names the nearest option, whatever other libraries call it, and lists all of them."""
    with pytest.raises(TypeError, match=f"'{wrong}': do you mean {nearest}[?] It takes .*") as refused:
        make(**{wrong: 3})

    assert set(Options.__struct_fields__) < set(re.split(r"[ ,]+", str(refused.value)))


def test_an_option_that_resembles_none_is_told_with_all():
    """A name with no near one gets the list alone."""
    with pytest.raises(TypeError, match=r"'xyzzy'\. It takes token, login, "):
        WebcomClient(token="dummy", xyzzy=1)  # type: ignore[arg-type]


@pytest.mark.anyio
@pytest.mark.parametrize("call", ["send", "stream", "send_all"])
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("txt", "do you mean text?"),
        ("from_", "do you mean sender?"),
        ("timeout", "it is an option of the client, as in WebcomClient(timeout=...)"),
        ("max_retries", "it is an option of the client, as in WebcomClient(attempts=...)"),
    ],
)
async def test_an_unknown_argument_of_a_call_is_told_with_the_nearest(
    connect: Connect, webcom_gateway: Gateway, call: str, wrong: str, hint: str
):
    """The error names the argument that was meant, be it the client's, and nothing is sent."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(TypeError, match=re.escape(hint)) as refused:
            await getattr(client, call)("79612242243", **{wrong: 3})

    assert str(refused.value).startswith(f"{call}() got an unexpected keyword argument '{wrong}'")
    assert not webcom_gateway.ledger.sent
