"""From what callers give to what one request carries."""

__all__: list[str] = []
