"""What several commands do."""

__all__: list[str] = []
