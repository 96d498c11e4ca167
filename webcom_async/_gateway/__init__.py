"""The way to the gateway that everything shares: session, limits, retry, policy, safeguards."""

__all__: list[str] = []
