"""The two kinds of text that identify a recipient."""

from typing import Literal, NewType, get_args

__all__ = ["ClientIdSms", "IdBits", "Phone"]


Phone = NewType("Phone", str)
"""Digits only, country code first: `79612242243`."""


ClientIdSms = NewType("ClientIdSms", str)
"""Decimal digits, 1 to 2**63 - 1: the idempotency key."""


IdBits = Literal[53, 63]
"""Width of a derived id. 53 is for gateways that keep numbers as floats."""


ID_BITS: tuple[int, ...] = get_args(IdBits)
