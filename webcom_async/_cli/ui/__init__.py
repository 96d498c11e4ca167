"""What a person sees."""

__all__: list[str] = []
