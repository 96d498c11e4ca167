"""Journals and stores: contracts, and an adapter for each database."""

__all__: list[str] = []
