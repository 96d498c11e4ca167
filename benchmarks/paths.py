"""The path on which webhooks are posted; apart, because the receiver itself needs a server that is an extra."""

__all__ = ["PATH", "SECRET"]

SECRET = "a-secret-of-23-letters."
PATH = f"/{SECRET}"
