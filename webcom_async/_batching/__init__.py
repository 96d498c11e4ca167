"""Turn what a source yields into the recipients of one request."""

__all__: list[str] = []
