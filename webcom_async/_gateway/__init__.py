"""Everything that talks to the gateway shares this package: session, limits, retry, policy and safeguards."""

__all__: list[str] = []
