"""
The account's credentials, a token or a login and password, kept out of sight.

The plain values are reachable only through `Secret.reveal`, which the wire calls when it builds a body. No repr, str,
format or pickle shows them.
"""

import logging
import os
import re
import stat
import sys
from collections.abc import Mapping
from hashlib import blake2b
from typing import Self
from urllib.parse import quote, quote_plus

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.given import StrPath, open_file, refuse_blank

__all__ = ["Credentials", "Secret", "hide_password", "is_shared"]

_logger = logging.getLogger("webcom_async")
_LINE_BREAKS = "\r\n"
_FIELDS = ("token", "login", "password")
_DIGEST_BYTES = 16
_TELLING = 8  # characters
_UNLIKE_A_WORD = 4  # characters, of more than one kind


class Secret:
    """A string that shows as `***` until it is revealed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain value. Call it where it is used, so that no local variable keeps it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), ("***",)


class Credentials:
    """
    A token, or a login and password.

    Raises:
        ConfigurationError: There is none of them, all of them, half a pair, or an empty or blank string.
    """

    __slots__ = ("_parts",)

    def __init__(self, *, token: str | None = None, login: str | None = None, password: str | None = None) -> None:
        given: dict[str, object] = {"token": token, "login": login, "password": password}
        present = tuple(field for field in given if given[field] is not None)
        if present not in {("token",), ("login", "password")}:
            raise ConfigurationError(
                f"credentials are either a token, or login and password; given: {', '.join(present) or 'nothing'}. "
                "WebcomClient.from_env() reads them from the environment"
            )
        for field in present:
            if not _usable(given[field]):
                raise ConfigurationError(
                    f"credentials: {field} must be a non-empty str that UTF-8 can carry, and not blank"
                )
            _refuse_line_break(f"credentials: {field}", str(given[field]))
        self._parts = {field: Secret(str(given[field])) for field in present}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read `WEBCOM_TOKEN`, or `WEBCOM_LOGIN` and `WEBCOM_PASSWORD`, from *environ*, by default the process's
        environment.

        An empty variable counts as not set.

        Raises:
            ConfigurationError: None of them is set, both ways are, or one is blank or holds a line break.
        """
        environ = os.environ if environ is None else environ
        found = {field: environ.get(f"WEBCOM_{field.upper()}") or None for field in _FIELDS}
        for field, value in found.items():
            name = f"WEBCOM_{field.upper()}"
            refuse_blank(name, value, ConfigurationError, advice="give it a value, or unset it")
            _refuse_line_break(name, value or "")
        if not any(found.values()):
            raise ConfigurationError("no credentials: set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD")
        return cls(**found)

    @classmethod
    def from_file(cls, path: StrPath) -> Self:
        """
        Read a TOML file with `token = "…"`, or `login = "…"` and `password = "…"`.

        The logger `webcom_async` warns of a file that other users of this machine can read.

        Raises:
            ConfigurationError: The file cannot be read, is not TOML, or holds other keys.
        """
        import tomllib  # noqa: PLC0415 - see `redact`

        refuse_blank("the path of the credentials file", path, ConfigurationError)
        try:
            with open_file(path, encoding="utf-8-sig") as file:
                content = tomllib.loads(file.read())
                shared = is_shared(os.fstat(file.fileno()).st_mode)
        except OSError as exc:
            raise ConfigurationError(f"credentials file {path}: {exc.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            # The parser's own message would quote the line, which holds the secret.
            message = f'credentials file {path} is not TOML such as: token = "…"'
        else:
            strange = sorted(set(content) - set(_FIELDS))
            if shared:
                _logger.warning("credentials file %s can be read by other users of this machine: chmod 600", path)
            if not strange:
                return cls(**content)
            message = f"credentials file {path}: unknown {', '.join(strange)}; it takes {', '.join(_FIELDS)}"
        raise ConfigurationError(message)

    def reveal(self) -> dict[str, str]:
        """Return the secrets under their wire names, in the vendor's order."""
        return {field: secret.reveal() for field, secret in self._parts.items()}

    def digest(self, of: str) -> str:
        """Return a digest of the account and *of* that reveals nothing."""
        named = self._parts.get("login") or self._parts["token"]
        key = blake2b(of.encode(errors="surrogatepass")).digest()
        return blake2b(named.reveal().encode(), key=key, digest_size=_DIGEST_BYTES).hexdigest()

    def redact(self, text: str) -> str:
        """
        Return *text* without the secrets, for a server that echoes the request.

        Short secrets and plain numbers stay: they may mean something else.
        """
        from html import escape  # noqa: PLC0415 - this and tomllib take a twentieth of this package's import time

        for field in ("token", "password"):
            secret = self._parts.get(field)
            if secret is not None and len(secret.reveal()) >= _TELLING and not secret.reveal().isdigit():
                for spelling in (str, escape, quote, quote_plus):
                    text = text.replace(spelling(secret.reveal()), "***")
        return text

    def __repr__(self) -> str:
        return f"Credentials({', '.join(f'{field}=***' for field in self._parts)})"


def _refuse_line_break(what: str, value: str) -> None:
    if any(each in value for each in _LINE_BREAKS):
        place = " at its end" if value.rstrip(_LINE_BREAKS).isprintable() else ""
        raise ConfigurationError(
            f"{what} holds a line break{place}, as a file may: leave it out, as $(cat FILE) does in a shell"
        )


def is_shared(mode: int) -> bool:
    """Whether other users of this machine can read a file of this *mode*; False on Windows, which has no such modes."""
    return sys.platform != "win32" and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def hide_password(text: str, password: str) -> str:
    """
    Return *text* without *password*, as the message of a database may quote it.

    It is hidden where it is marked as a password, and as a word of its own if it cannot mean anything else: `a` or
    `postgres` would blank half of a sentence.
    """
    for spelling in sorted({password, quote(password, safe=""), quote_plus(password)}, key=len, reverse=True):
        word = re.escape(spelling)
        text = re.sub(rf"(://[^\s/@:]*:){word}(?=@)", r"\1***", text)
        text = re.sub(rf"(password\s*=\s*[\"']?){word}(?![^\s&,;\"')])", r"\1***", text, flags=re.IGNORECASE)
        if _is_unmistakable(spelling):
            text = re.sub(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])", "***", text)
    return text


def _is_unmistakable(password: str) -> bool:
    kinds = {(each.isdigit(), each.islower(), each.isupper()) for each in password}
    return len(password) >= _UNLIKE_A_WORD and len(kinds) > 1


def _usable(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value.strip()) and bool(value.encode())
    except UnicodeEncodeError:
        return False
