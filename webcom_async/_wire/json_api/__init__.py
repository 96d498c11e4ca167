"""The gateway's JSON interface."""

__all__: list[str] = []
