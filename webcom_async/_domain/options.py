"""
Every setting of a client, in one frozen struct that is built once and passed on whole.

A new setting is one field here and one line in `OptionFields`.
"""

import math
from datetime import tzinfo
from ipaddress import ip_address
from typing import TypedDict
from urllib.parse import urlsplit

import msgspec

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.types import ID_BITS, IdBits
from webcom_async._domain.zones import DEFAULT_ZONE, find_zone

__all__ = ["OptionFields", "Options"]


class OptionFields(TypedDict, total=False):
    """The fields of `Options` as keyword arguments."""

    base_url: str
    path: str
    allow_cleartext: bool
    in_flight: int
    rate: float | None
    batch_size: int
    batch_bytes: int
    timeout: float
    patience: float | None
    linger: float
    grace: float
    attempts: int
    retry_quota: int
    wait_initial: float
    wait_max: float
    retry_after_max: float
    time_zone: str
    id_bits: IdBits
    max_parts: int | None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """
    The settings of a client.

    Attributes:
        base_url: Scheme and host. Documented hosts: `lk.mysmpp.ru` and `my3.webcom.mobi`. The pages show the first with
            plain `http`; the body carries your password, so `https` is the default here.
        path: The path: `/json` as documented, or `/json/` where the server would redirect to it.
        allow_cleartext: Whether `http://` to another machine is allowed.
        in_flight: The maximum number of requests in flight, over the whole client. The adaptive limit starts at 4 and
            doubles in every round trip, from 32 on it grows by a quarter. If the gateway refuses too large a share of
            requests, or answers in twice the usual time, the limit goes to what the gateway serves, and small steps try
            more. A share of refusals that a smaller limit does not change leaves it as it is.
        rate: The maximum number of recipients per second, over the whole client; None for no limit. A `send()` takes
            the next free slot, and the next turn of the rate, before any batch of a campaign. While single sends
            keep coming, campaigns get at least a sixteenth.
        batch_size: The maximum number of recipients in a request. The gateway states no limit.
        batch_bytes: The maximum size of a request's messages, in bytes.
        timeout: Seconds for one request, from connecting to the last byte.
        patience: Seconds without a whole answer after which a campaign ends, so that it can be resumed. While the
            gateway is silent, or the retry quota is spent, one request at a time probes it, and the campaign goes on
            when it answers. None for 6 times `timeout`, without probes: five silent rounds of `in_flight` requests, or
            a spent quota, end the campaign before. A single `send()` has `attempts` instead.
        linger: Seconds that a `send()` waits for others to share its request; 0 for none. For backends that send many
            at once, such as 0.005: each caller still gets a result, an error and a cancellation of its own. The client
            must be opened with `async with`, in the task that closes it.
        grace: Seconds that requests in flight get to finish when a stream is left early.
        attempts: The maximum number of requests for one batch, the first one included.
        retry_quota: The number of retries that a campaign may spend; every usable answer refunds half of one. When it
            is spent, the campaign ends, because the gateway keeps failing. A retry after a time-out costs less if
            `in_flight` is large: five silent rounds cost no more than the quota.
        wait_initial: The maximum of the first back-off, in seconds; each further one doubles it. The wait is drawn
            evenly between zero and the maximum ("full jitter").
        wait_max: The maximum of any back-off, in seconds.
        retry_after_max: The longest `Retry-After` that is obeyed, in seconds; a longer one ends the campaign.
        time_zone: The gateway's zone, for `validity_period` and `time_send`. Not documented; Moscow is likely.
        id_bits: The width of derived ids: 63, or 53 for gateways that keep numbers as floats.
        max_parts: The maximum number of SMS that a text may take, each of which is billed; None for no limit. A longer
            text of a call is an `InputError`; a recipient's own is a result, `NOT_SENT` with `Reason.TOO_MANY_PARTS`.
            Texts for Viber alone are not counted.

    Raises:
        ConfigurationError: A value is out of range; the message names it.
    """

    base_url: str = "https://lk.mysmpp.ru"
    path: str = "/json"
    allow_cleartext: bool = False
    in_flight: int = 4  # a sibling platform's manual warns above 5 parallel streams
    rate: float | None = None
    batch_size: int = 500  # ours: 36 kB of JSON
    batch_bytes: int = 524_288
    timeout: float = 30.0
    patience: float | None = None
    linger: float = 0.0
    grace: float = 5.0
    attempts: int = 6
    retry_quota: int = 100
    wait_initial: float = 0.5
    wait_max: float = 20.0
    retry_after_max: float = 60.0
    time_zone: str = DEFAULT_ZONE
    id_bits: IdBits = 63
    max_parts: int | None = 10

    def __post_init__(self) -> None:
        for name in ("in_flight", "batch_size", "batch_bytes", "attempts", "retry_quota"):
            _require(name, getattr(self, name), at_least=1, kind=int)
        for name in ("linger", "grace", "wait_initial", "wait_max", "retry_after_max"):
            _require(name, getattr(self, name), at_least=0, kind=float)
        self._check_waits()
        if self.rate is not None:
            _require("rate", self.rate, at_least=0, kind=float)
            if not 0 < self.rate < math.inf:
                raise ConfigurationError(f"rate is {self.rate!r}; it must be above 0 recipients per second")
        if self.max_parts is not None:
            _require("max_parts", self.max_parts, at_least=1, kind=int)
        if self.id_bits not in ID_BITS:
            raise ConfigurationError(f"id_bits is {self.id_bits!r}; it must be one of {ID_BITS}")
        if not isinstance(self.path, str) or not self.path.strip() or not _is_plain(self.path):
            raise ConfigurationError(f"path is {self.path!r}; it must look like /json")
        _ = self.zone
        self._check_url()

    @property
    def url(self) -> str:
        """The URL that messages are posted to."""
        return f"{self.base_url.rstrip('/')}/{self.path.lstrip('/')}"

    def below(self, page: str) -> "Options":
        """Return the same settings for a page below `path`, such as `state.php`."""
        return msgspec.structs.replace(self, path=f"{self.path.rstrip('/')}/{page}")

    @property
    def largest_batch(self) -> int:
        """The maximum number of recipients in a batch: no more than may leave in a second."""
        return self.batch_size if self.rate is None else min(self.batch_size, math.ceil(self.rate))

    @property
    def loopback(self) -> bool:
        """Whether the gateway is on this machine, as an emulator is."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def zone(self) -> tzinfo:
        """The gateway's time zone."""
        zone = find_zone(self.time_zone)
        if zone is None:
            raise ConfigurationError(
                f"time_zone {self.time_zone!r} is not known here: check its name, or install the tzdata package"
            )
        return zone

    def _check_waits(self) -> None:
        _require("timeout", self.timeout, at_least=0, kind=float)
        if not self.timeout:
            raise ConfigurationError("timeout is 0; it must be above 0 seconds")
        if self.patience is not None:
            _require("patience", self.patience, at_least=0, kind=float)
        if self.patience == 0:
            raise ConfigurationError(
                "patience is 0; it must be above 0 seconds, or None for 6 times timeout; to end a campaign at the "
                "first failure, say attempts=1 and retry_quota=1"
            )

    def _check_url(self) -> None:
        # Credentials first: every other message quotes the URL.
        if not isinstance(self.base_url, str) or "@" in self.base_url or not self.base_url.isprintable():
            raise ConfigurationError("base_url must be scheme, host and port; credentials go elsewhere")
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port
        except ValueError as exc:
            raise ConfigurationError(f"base_url {self.base_url!r}: {exc}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"base_url {self.base_url!r} must look like https://host")
        if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/json"):
            raise ConfigurationError(
                f"base_url {self.base_url!r} takes neither the path to post to (see path=) nor a query"
            )
        if parts.scheme == "http" and not (self.allow_cleartext or self.loopback):
            raise ConfigurationError(
                f"base_url {self.base_url!r} would send your password in clear text: "
                "use https, or say allow_cleartext=True in code"
            )


def _is_plain(path: str) -> bool:
    return path.isascii() and path.isprintable()


def _require(name: str, value: object, *, at_least: int, kind: type) -> None:
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not value >= at_least:
        unit = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"{name} is {value!r}; it must be {unit} of at least {at_least}")
