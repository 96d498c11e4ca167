"""
Phones by national numbering plans: local forms, validity and time zones.

The only module that imports phonenumbers, an extra. Source: libphonenumber's metadata, as the package carries it.
"""

import phonenumbers
from phonenumbers import timezone

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.phones import bad_phone, read_phone
from webcom_async._domain.sentences import Quote, Sentence
from webcom_async._domain.types import Phone

__all__ = ["PhoneBook", "zones_of"]

_NO_ZONE = timezone.UNKNOWN_TIMEZONE


class PhoneBook:
    """
    Reads phones in a country's local form, and refuses numbers that no plan has.

    Args:
        region: The country of numbers without a country code: two letters, such as `RU` or `KZ`.

    Raises:
        ConfigurationError: The region is not known.
    """

    def __init__(self, region: str) -> None:
        self.region: str = region.upper()
        if self.region not in phonenumbers.SUPPORTED_REGIONS:
            raise ConfigurationError(f"{region!r} is not a region: give two letters, such as RU")

    def normalise(self, raw: str) -> Phone:
        """
        Return *raw* as digits, country code first.

        *raw* may hold digits, separators and a leading plus. Other characters are refused, because libphonenumber alone
        turns letters into digits, and drops an extension or a second phone after a slash.

        Raises:
            InputError: *raw* is not a phone number, or its country has no such number.
        """
        digits, international = read_phone(raw)
        try:
            number = phonenumbers.parse(f"+{digits}" if international else digits, self.region)
        except phonenumbers.NumberParseException as exc:
            raise bad_phone(raw, str(exc).lower()) from None
        if not phonenumbers.is_valid_number(number):
            raise bad_phone(raw, _no_such_number(number.country_code, "" if international else digits))
        return Phone(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:])


def _no_such_number(code: int | None, national: str) -> Sentence:
    """Return what is wrong with a number, with advice to add a plus if that makes *national* a foreign one."""
    if national and _is_international(national):
        return Sentence(
            "country code {code} has no such number; if it is one of another country, write +{digits}",
            code=code,
            digits=Quote(national),
        )
    return Sentence("country code {code} has no such number", code=code)


def _is_international(digits: str) -> bool:
    """Whether *digits* are a number of some country with a plus before them."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False


def zones_of(phone: Phone) -> tuple[str, ...]:
    """Return the possible time zones of *phone*, as tz database names; none if the plan does not say."""
    try:
        zones = timezone.time_zones_for_number(phonenumbers.parse(f"+{phone}"))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(zone for zone in zones if zone != _NO_ZONE)
