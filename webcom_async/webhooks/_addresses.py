"""
Decide which addresses may call the webhook, and which proxies are trusted to name them.

Pure: an address and headers in, yes or no out.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from webcom_async._domain.errors import ConfigurationError

__all__ = ["AllowList"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_FORWARDED = b"x-forwarded-for"
_MOST_HOPS = 20  # addresses in the header that are read


class AllowList:
    """
    The addresses that may call.

    Args:
        allowed: Addresses and networks, such as `192.0.2.0/24`; all, if empty.
        proxies: Addresses and networks of your own proxies. `X-Forwarded-For` is trusted from these alone, and read
            from its right end to the first address that is not a proxy's.

    Raises:
        ConfigurationError: An item is neither an address nor a network.
    """

    def __init__(self, allowed: Iterable[str] = (), proxies: Iterable[str] = ()) -> None:
        self._allowed = _networks("allowed", allowed)
        self._proxies = _networks("proxies", proxies)

    def admits(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a call from *peer*, with *headers*, comes from an allowed address."""
        if not self._allowed:
            return True
        caller = self._caller(_address(peer), headers)
        return caller is not None and _within(caller, self._allowed)

    def _caller(self, peer: _Address | None, headers: Iterable[tuple[bytes, bytes]]) -> _Address | None:
        if peer is None or not _within(peer, self._proxies):
            return peer
        written = b",".join(value for name, value in headers if name.lower() == _FORWARDED)
        hops = written.decode("latin-1").split(",")[-_MOST_HOPS:] if written else []
        for hop in reversed(hops):
            address = _address(hop)
            if address is None or not _within(address, self._proxies):
                return address
        return peer


def _networks(name: str, written: Iterable[str]) -> Sequence[_Network]:
    if isinstance(written, str):
        raise ConfigurationError(f"{name} is one str: put it in a list")
    try:
        return [ip_network(one) for one in written]
    except ValueError as exc:
        raise ConfigurationError(f"{name}: {exc}") from None


def _address(written: str | None) -> _Address | None:
    text = (written or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]  # an IPv4 address with a port
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families reports IPv4 callers as `::ffff:192.0.2.1`.
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: _Address, networks: Sequence[_Network]) -> bool:
    return any(address in network for network in networks)
