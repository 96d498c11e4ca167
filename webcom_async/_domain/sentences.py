"""Sentences that can be translated."""

from webcom_async._domain.records import mask_phones

__all__ = ["Quote", "Sentence"]


class Quote(str):
    """A parameter of a sentence that quotes the caller's data: an exception masks the phones in it."""

    __slots__ = ()


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

    @property
    def masked(self) -> str:
        """The sentence in English, with phones masked in what it quotes."""
        return self.template.format(**{name: _masked(value) for name, value in self.parameters.items()})

    def __str__(self) -> str:
        return self.template.format(**self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.masked!r})"


def _masked(value: object) -> object:
    if isinstance(value, Sentence):
        return value.masked
    return mask_phones(value) if isinstance(value, Quote) else value
