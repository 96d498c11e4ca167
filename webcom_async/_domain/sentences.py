"""Sentences that can be translated."""

__all__ = ["Sentence"]


class Sentence:
    """
    An English sentence whose values are kept apart.

    A translation is looked up by the template; `str` gives the English.

    Args:
        template: The sentence, with named braces.
        **parameters: The values for the braces; each may be a `Sentence` itself.

    Attributes:
        template: The sentence, with named braces.
        parameters: The values for the braces.
    """

    def __init__(self, template: str, /, **parameters: object) -> None:
        self.template: str = template
        self.parameters: dict[str, object] = parameters

    def __str__(self) -> str:
        return self.template.format(**self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"
