"""SQLite: journal, campaigns, reports."""

__all__: list[str] = []
