"""Commands for campaigns of many workers."""

__all__: list[str] = []
