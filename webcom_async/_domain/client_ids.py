"""
`client_id_sms`: the idempotency key, under which a recipient can be sent to again without a second SMS.

Derived ids are a frozen format: another machine, or a later release, must derive the same id for the same campaign,
phone and key. An id must not depend on the text (a text that is edited between two runs must not message all recipients
again), on the order of recipients, or on chance.

Source: apidocs.webcom.mobi, sending: a number already used by this account is not sent again, and the answer has the
`id_sms` of the first SMS. The page types it Int and shows it in quotes.
"""

import secrets
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import cast

import msgspec

from webcom_async._domain.errors import ConfigurationError, InputError
from webcom_async._domain.phones import plain_int, quoted, shown
from webcom_async._domain.reasons import Reason
from webcom_async._domain.types import ID_BITS, ClientIdSms, IdBits, Phone

__all__ = ["Derive", "IdScheme", "check_client_id", "mint_campaign", "random_ids"]


Derive = Callable[[Phone, str], ClientIdSms]
"""A function that returns the id of a phone and a key."""

_LARGEST = 2**63 - 1
_LONGEST = len(str(_LARGEST))
_INSTEAD_OF_ZERO = 1  # the gateway's language takes zero for "none"
_json = msgspec.json.Encoder().encode
_SALT_OF_NEW = b"new ids"
_PERSON = b"webcom-async-id2"  # versions the scheme: a change here re-sends every campaign


class IdScheme:
    """
    The ids of one campaign: `phone × factor + offset`, modulo 2**bits.

    The factor is odd, so that no two phones of a campaign share an id, which a digest of them could not promise; it
    also takes a third of a digest's time. Factor and offset are BLAKE2b of the campaign's name, so that ids of two
    campaigns collide as rarely as random ones do. A key moves the offset, by its own keyed BLAKE2b.

    Args:
        campaign: The campaign's name. The same name gives the same ids, on any machine.
        bits: The width of an id: 63, or 53 for a gateway that stores no more.
        new: Whether these are the ids that recipients get instead, if ids repeat and they were never sent to.

    Raises:
        ConfigurationError: The width is another one.
    """

    def __init__(self, campaign: str, bits: IdBits = 63, *, new: bool = False) -> None:
        if bits not in ID_BITS:
            raise ConfigurationError(f"id_bits is 63 or 53, not {bits}: narrower ids collide within a campaign")
        salt = _SALT_OF_NEW if new else b""
        self._secret = blake2b(campaign.encode(errors="surrogatepass"), person=_PERSON, salt=salt).digest()
        self._mask = (1 << bits) - 1
        self._factor = _number(self._secret[:8]) & self._mask | 1
        self._offset = _number(self._secret[8:16])

    def derive(self, phone: Phone, key: str = "") -> ClientIdSms:
        """Return the id of *phone* and *key*."""
        offset = self._offset + self._of_key(key) if key else self._offset
        return ClientIdSms(str((int(phone) * self._factor + offset & self._mask) or _INSTEAD_OF_ZERO))

    def derive_all(self, numbers: Iterable[int]) -> list[ClientIdSms]:
        """
        Return what `derive` returns for each phone, given as *numbers*, without keys.

        One JSON array takes half the time of a `str` for each; workload A pays for it.
        """
        factor, offset, mask = self._factor, self._offset, self._mask
        ids = [number * factor + offset & mask for number in numbers]
        if 0 in ids:
            ids = [each or _INSTEAD_OF_ZERO for each in ids]
        return cast("list[ClientIdSms]", _json(ids)[1:-1].decode().split(","))

    def _of_key(self, key: str) -> int:
        digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, key=self._secret, person=_PERSON)
        return _number(digest.digest())


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")


def mint_campaign() -> str:
    return secrets.token_hex(16)


def random_ids(bits: IdBits) -> Derive:
    return lambda _phone, _key: ClientIdSms(str(secrets.randbits(bits) or _INSTEAD_OF_ZERO))


def check_client_id(given: object) -> ClientIdSms:
    """
    Return a caller's id in the form of the wire.

    Raises:
        InputError: It is not decimal digits from 1 to 2**63 - 1 without leading zeros. The gateway types the field Int:
            `007` and `7` would be one id, and a larger number would be cut.
    """
    given = plain_int(given)
    text = shown(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()):
        raise InputError(f"client_id_sms {quoted(given)} must be decimal digits", Reason.BAD_CLIENT_ID)
    if text.startswith("0"):
        raise InputError(
            f"client_id_sms {quoted(given)} must not start with 0: the gateway reads a number",
            Reason.BAD_CLIENT_ID,
        )
    if len(text) > _LONGEST or int(text) > _LARGEST:
        raise InputError(f"client_id_sms {quoted(given)} is over {_LARGEST} (19 digits)", Reason.BAD_CLIENT_ID)
    # msgspec cannot encode subclasses of str, such as numpy's.
    return ClientIdSms(str.__str__(text))
