"""Words and rules that touch nothing."""

__all__: list[str] = []
