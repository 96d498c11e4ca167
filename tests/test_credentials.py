"""Credentials: a token, or login and password, kept out of sight."""

import os
import pickle
from pathlib import Path

import pytest

from webcom_async import ConfigurationError, Credentials, Secret, WebcomClient

HIDDEN = "hunter2"


def plain(credentials: Credentials) -> list[tuple[str, str]]:
    """Return the credentials as they are on the wire."""
    return list(credentials.reveal().items())


def written(tmp_path: Path, content: str | bytes) -> Path:
    """Return a credentials file with *content*."""
    path = tmp_path / "webcom.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>20}".format, "{!r}".format, "%s".__mod__, pickle.dumps])
def test_a_secret_shows_as_stars(show: object):
    """No form of printing or storing a secret shows its value."""
    shown = show(Secret(HIDDEN))  # type: ignore[operator]

    assert HIDDEN not in str(shown)
    assert "***" in str(shown)


def test_a_secret_is_revealed_on_request_only():
    """Only a call of `reveal` gives the plain value, and no attribute dict leaks it."""
    assert HIDDEN == Secret(HIDDEN).reveal()
    assert not hasattr(Secret(HIDDEN), "__dict__")


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        ({"token": HIDDEN}, [("token", HIDDEN)]),
        ({"password": HIDDEN, "login": "me"}, [("login", "me"), ("password", HIDDEN)]),
    ],
)
def test_either_way_goes_on_the_wire_alone(given: dict[str, str], wire: list[tuple[str, str]]):
    """A token is sent alone, login and password in the vendor's order; the other form is absent, not empty."""
    assert wire == plain(Credentials(**given))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "given: nothing"),
        ({"login": HIDDEN}, "given: login"),
        ({"password": HIDDEN}, "given: password"),
        ({"token": HIDDEN, "login": "me"}, "given: token, login"),
        ({"token": HIDDEN, "password": HIDDEN}, "given: token, password"),
        ({"token": HIDDEN, "login": "me", "password": HIDDEN}, "given: token, login, password"),
        ({"token": ""}, "token must be a non-empty str"),
        ({"login": "me", "password": ""}, "password must be a non-empty str"),
        ({"login": "", "password": HIDDEN}, "login must be a non-empty str"),
        ({"token": " \n"}, "token must be a non-empty str .* and not blank"),
        ({"login": "me", "password": " "}, "password must be .* not blank"),
        ({"login": "\t", "password": HIDDEN}, "login must be .* not blank"),
        ({"token": 5}, "token must be a non-empty str"),
        ({"token": HIDDEN.encode()}, "token must be a non-empty str"),
        ({"token": f"{HIDDEN}\udc80"}, "token"),
    ],
)
def test_anything_else_is_refused_without_being_shown(given: dict[str, str], named: str):
    """Both forms, half a pair, an empty string and text that UTF-8 cannot carry are refused by field, not by value."""
    with pytest.raises(ConfigurationError, match=named) as refused:
        Credentials(**given)

    assert HIDDEN not in str(refused.value)


def test_credentials_show_their_fields_only():
    """The repr shows which fields are set, and no value."""
    assert "Credentials(token=***)" == repr(Credentials(token=HIDDEN))
    assert "Credentials(login=***, password=***)" == str(Credentials(login="me", password=HIDDEN))


def test_pickled_credentials_hold_nothing():
    """Credentials sent to another process or written to a cache do not contain the password."""
    assert HIDDEN.encode() not in pickle.dumps(Credentials(login="me", password=HIDDEN))


@pytest.mark.parametrize(
    ("environ", "wire"),
    [
        ({"WEBCOM_TOKEN": HIDDEN}, [("token", HIDDEN)]),
        ({"WEBCOM_LOGIN": "me", "WEBCOM_PASSWORD": HIDDEN}, [("login", "me"), ("password", HIDDEN)]),
        ({"WEBCOM_TOKEN": HIDDEN, "WEBCOM_LOGIN": "", "WEBCOM_PASSWORD": ""}, [("token", HIDDEN)]),
        (
            {"WEBCOM_TOKEN": "", "WEBCOM_LOGIN": "me", "WEBCOM_PASSWORD": HIDDEN},
            [("login", "me"), ("password", HIDDEN)],
        ),
    ],
)
def test_the_environment_gives_either_way(environ: dict[str, str], wire: list[tuple[str, str]]):
    """The environment may hold either form; an empty variable counts as not set."""
    assert wire == plain(Credentials.from_env(environ | {"TOKEN": "not ours"}))


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD"),
        ({"WEBCOM_TOKEN": "", "WEBCOM_LOGIN": ""}, "set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD"),
        ({"WEBCOM_TOKEN": " "}, "WEBCOM_TOKEN is blank"),
        ({"WEBCOM_TOKEN": HIDDEN, "WEBCOM_LOGIN": " "}, "WEBCOM_LOGIN is blank"),
        ({"WEBCOM_PASSWORD": HIDDEN}, "given: password"),
        ({"WEBCOM_LOGIN": "me", "WEBCOM_PASSWORD": ""}, "given: login"),
        ({"WEBCOM_TOKEN": HIDDEN, "WEBCOM_LOGIN": "me"}, "given: token, login"),
    ],
)
def test_an_unclear_environment_is_refused(environ: dict[str, str], why: str):
    """The error names the missing or superfluous variables, and shows no value."""
    with pytest.raises(ConfigurationError, match=why) as refused:
        Credentials.from_env(environ)

    assert HIDDEN not in str(refused.value)


def test_the_environment_is_this_process_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch):
    """Without an argument, the process's own variables are read at the time of the call."""
    for name in ("WEBCOM_LOGIN", "WEBCOM_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBCOM_TOKEN", HIDDEN)

    assert [("token", HIDDEN)] == plain(Credentials.from_env())


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        ('token = "hunter2"', [("token", HIDDEN)]),
        ('# ours\npassword = "hunter2"\nlogin = "me"\n', [("login", "me"), ("password", HIDDEN)]),
        ('\ufefftoken = "hunter2"\r\n', [("token", HIDDEN)]),
    ],
)
def test_a_file_gives_either_way(tmp_path: Path, content: str, wire: list[tuple[str, str]]):
    """A TOML file holds a token or a pair; an editor's byte order mark does not matter."""
    assert wire == plain(Credentials.from_file(written(tmp_path, content)))
    assert wire == plain(Credentials.from_file(str(tmp_path / "webcom.toml")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("hunter2", "is not TOML"),
        ("token = hunter2", "is not TOML"),
        ('token = "hunter2', "is not TOML"),
        ('token = "hunter2" "hunter2"', "is not TOML"),
        (b'token = "hunter2\xff"', "is not TOML"),
        ('tokn = "hunter2"', "unknown tokn; it takes token, login, password"),
        ('token = "hunter2"\n[webcom]\nlogin = "hunter2"', "unknown webcom"),
        ('password = "hunter2"', "given: password"),
        ("", "given: nothing"),
        ('token = ["hunter2"]', "token must be a non-empty str"),
        ('token = { hunter2 = "hunter2" }', "token must be a non-empty str"),
    ],
)
def test_a_broken_file_is_refused_without_quoting_it(tmp_path: Path, content: str | bytes, why: str):
    """A parser's message would quote the line; ours names the fault, and no chained error repeats the line."""
    with pytest.raises(ConfigurationError, match=why) as refused:
        Credentials.from_file(written(tmp_path, content))

    assert HIDDEN not in str(refused.value)
    assert (None, None) == (refused.value.__cause__, refused.value.__context__)


def test_a_missing_file_is_named(tmp_path: Path):
    """The error names the file and has the system's reason."""
    with pytest.raises(ConfigurationError, match=r"absent\.toml: No such file or directory"):
        Credentials.from_file(tmp_path / "absent.toml")

    with pytest.raises(ConfigurationError, match="it is a directory"):
        Credentials.from_file(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_secret_with_a_line_break_at_its_end_is_told_so(end: str):
    """A token that was read from a file with its last line break is refused, wherever it comes from."""
    for make, name in (
        (lambda: Credentials(token=f"{HIDDEN}{end}"), "credentials: token"),
        (lambda: Credentials(login="me", password=f"{HIDDEN}{end}"), "credentials: password"),
        (lambda: WebcomClient(token=f"{HIDDEN}{end}"), "credentials: token"),
        (lambda: Credentials.from_env({"WEBCOM_TOKEN": f"{HIDDEN}{end}"}), "WEBCOM_TOKEN"),
        (lambda: WebcomClient.from_env({"WEBCOM_LOGIN": f"me{end}", "WEBCOM_PASSWORD": "x"}), "WEBCOM_LOGIN"),
    ):
        with pytest.raises(
            ConfigurationError, match=rf"{name} holds a line break at its end, .*: leave it out"
        ) as refused:
            make()
        assert HIDDEN not in str(refused.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o644, 1)])
def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: int
):
    """The file is read, and the log names it and says what to do."""
    file = written(tmp_path, f'token = "{HIDDEN}"\n')
    file.chmod(mode)

    assert [("token", HIDDEN)] == plain(Credentials.from_file(file))
    assert warned == caplog.text.count(f"{file} can be read by other users of this machine: chmod 600")
    assert HIDDEN not in caplog.text
