"""What is remembered: contracts, and an adapter per database."""

__all__: list[str] = []
