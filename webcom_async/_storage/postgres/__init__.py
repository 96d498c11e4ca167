"""PostgreSQL: journal and campaigns."""

__all__: list[str] = []
