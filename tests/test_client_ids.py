"""Client ids: given by the caller, or derived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import phones
from webcom_async import ConfigurationError, IdBits, IdScheme, Phone

PHONE = Phone("79612242243")


@pytest.mark.parametrize(
    ("campaign", "phone", "key", "bits", "client_id"),
    [
        ("spring", "79612242243", "", 63, "1699638157105967722"),
        ("spring", "79612242243", "", 53, "6284697214661226"),
        ("spring", "79612242243", "order-7", 63, "5455934346645465137"),
        ("spring", "79612242244", "", 63, "9078493199023211099"),
        ("весна", "79612242244", "", 63, "949766717677558044"),
    ],
)
def test_derived_ids_are_frozen(campaign: str, phone: str, key: str, bits: IdBits, client_id: str):
    """Every release and every machine derives these ids; a change would send every campaign again."""
    assert client_id == IdScheme(campaign, bits).derive(Phone(phone), key)


@pytest.mark.parametrize("bits", [53, 63])
@given(st.sets(st.integers(10_000_000, 999_999_999_999_999), min_size=2, max_size=50), st.text())
def test_no_two_phones_of_a_campaign_share_an_id(bits: IdBits, numbers: set[int], campaign: str):
    """Within a campaign an id belongs to one phone: phones have at most 50 bits, and their ids are a permutation."""
    scheme = IdScheme(campaign, bits)
    ids = scheme.derive_all(numbers)

    assert len(numbers) == len(set(ids))


def test_ids_of_two_campaigns_do_not_meet():
    """The same 100,000 phones in two campaigns have 200,000 ids, which also differ in their lower 53 bits."""
    everyone = list(map(int, phones(100_000)))
    ids = [int(each) for campaign in ("spring", "autumn") for each in IdScheme(campaign).derive_all(everyone)]

    assert 200_000 == len(set(ids)) == len({each % 2**53 for each in ids})


def test_ids_in_one_go_are_the_ids_one_by_one():
    """Deriving many ids at once gives the same ids as deriving each alone."""
    scheme = IdScheme("spring")
    everyone = [Phone(phone) for phone in phones(100)]

    assert [scheme.derive(phone) for phone in everyone] == scheme.derive_all(map(int, everyone))


def test_no_id_is_zero():
    """Zero means "none" to the gateway, so a phone whose id would be 0 always has the id 1."""
    scheme, phone = next(found for found in map(of_zero, map(str, range(1_000))) if found is not None)

    assert "1" == scheme.derive(Phone(str(phone)))
    assert ["1", "1"] == scheme.derive_all([phone, phone])


def of_zero(campaign: str) -> tuple[IdScheme, int] | None:
    """Return the campaign's scheme and the phone whose derived id would be 0; None if no phone has that number."""
    scheme = IdScheme(campaign, 53)
    # Ids are `phone × factor + offset`, so two ids reveal both.
    offset = int(scheme.derive(Phone("0")))
    factor = int(scheme.derive(Phone("1"))) - offset
    phone = -offset * pow(factor, -1, 2**53) % 2**53
    return (scheme, phone) if 10**7 <= phone < 10**15 else None


@pytest.mark.parametrize("bits", [0, 31, 52, 62, 64, 128])
def test_other_widths_are_refused(bits: int):
    """Narrower ids would collide within a campaign; wider ones do not fit the gateway's Int."""
    with pytest.raises(ConfigurationError, match=f"not {bits}"):
        IdScheme("spring", bits)  # type: ignore[arg-type]


def test_campaign_phone_and_key_each_tell_ids_apart():
    """Another campaign, phone or key gives another id, and no combination of them gives the same one."""
    scheme = IdScheme("spring")
    derived = [
        scheme.derive(PHONE),
        scheme.derive(PHONE, "1"),
        scheme.derive(PHONE, "11"),
        scheme.derive(Phone(PHONE + "1")),
        scheme.derive(Phone(PHONE + "1"), "1"),
        IdScheme("spring1").derive(PHONE),
        IdScheme("Spring").derive(PHONE),
        IdScheme("").derive(PHONE),
    ]

    assert len(derived) == len(set(derived))


def test_ids_do_not_depend_on_the_order():
    """Deriving keeps no state: the same recipients in reverse get the same ids."""
    scheme = IdScheme("spring")
    forth = {phone: scheme.derive(Phone(phone)) for phone in phones(100)}
    back = {phone: scheme.derive(Phone(phone)) for phone in reversed(list(phones(100)))}

    assert forth == back
    assert 100 == len(set(forth.values()))


def test_lone_surrogates_in_names_derive_too():
    """A name read from a broken file derives ids as any other name does."""
    assert IdScheme("\ud800").derive(PHONE, "\ud800") != IdScheme("\udfff").derive(PHONE, "\udfff")
