"""The core: a campaign, batch by batch, from source to results."""

__all__: list[str] = []
