"""What options look like that several commands have; it needs cyclopts, as `_app` does."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = ["AsJson", "Flag", "Port", "Positive", "Repeated", "Seconds", "Share"]

Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=0))]
Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
Repeated = Annotated[tuple[str, ...], Parameter(negative=())]
