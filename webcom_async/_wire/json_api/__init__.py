"""The gateway's JSON."""

__all__: list[str] = []
