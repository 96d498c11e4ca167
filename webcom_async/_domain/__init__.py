"""Data and rules, without input or output."""

__all__: list[str] = []
