"""Send a campaign or a single message, batch by batch, from source to results."""

__all__: list[str] = []
