"""One exchange with the gateway, over any HTTP library."""

__all__: list[str] = []
