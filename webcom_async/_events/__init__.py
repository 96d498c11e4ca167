"""Events as frozen structs, and their observers."""

__all__: list[str] = []
