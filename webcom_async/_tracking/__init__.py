"""What became of accepted messages."""

__all__: list[str] = []
