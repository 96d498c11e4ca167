"""
Find the proxy that the environment names.

The environment is read once, when a client is made. A gateway on this machine is reached without a proxy. A plain-text
gateway may have none either: the proxy would read the password.
"""

from urllib.parse import urlsplit

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.options import Options

__all__ = ["PROXY_VARIABLES", "proxy_of"]

PROXY_VARIABLES = "HTTPS_PROXY, ALL_PROXY and NO_PROXY"


def proxy_of(options: Options) -> str | None:
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - a slow import that not every client needs

    url = urlsplit(options.url)
    host = url.hostname or ""
    if options.loopback:
        return None
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and url.scheme == "http":
        raise ConfigurationError(
            "HTTP_PROXY or ALL_PROXY would read your password, which http:// sends in clear text: "
            f"use https, or name {host!r} in NO_PROXY"
        )
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
