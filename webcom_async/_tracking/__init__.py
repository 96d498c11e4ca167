"""Track accepted messages until they reach a terminal state."""

__all__: list[str] = []
