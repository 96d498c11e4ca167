"""The gateway's formats, one package each."""

__all__: list[str] = []
