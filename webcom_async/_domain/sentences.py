"""Sentences that can be said in another language."""

__all__ = ["Sentence"]


class Sentence:
    """
    An English sentence, apart from the values in it.

    A translation is looked up by the template; `str` gives the English.

    Args:
        template: The sentence, with named braces.
        **parameters: The values of the braces; each may be a `Sentence` in its turn.

    Attributes:
        template: The sentence, with named braces.
        parameters: The values of the braces.
    """

    def __init__(self, template: str, /, **parameters: object) -> None:
        self.template: str = template
        self.parameters: dict[str, object] = parameters

    def __str__(self) -> str:
        return self.template.format(**self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"
