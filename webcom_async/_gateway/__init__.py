"""What all requests to the gateway share: session, limits, retry, policy and safeguards."""

__all__: list[str] = []
