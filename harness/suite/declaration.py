"""The words every declaration is made of: shares, names, models, and unknown keys refused."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _fraction(value: Any) -> Any:
    """Turn "95%" into 0.95; anything else is left to the type check."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        # Through decimal text, so that "99.5%" is the same float as 0.995.
        return float(f"{match[1]}e-2")
    return _whole_to_float(value)


def _whole_to_float(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        raise ValueError("larger than any number that can be calculated with") from None


Fraction = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]
OpenFraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0, lt=1)]
Gain = Annotated[float, BeforeValidator(_fraction), Field(ge=0, lt=1)]  # none is more than 1
Number = Annotated[float, BeforeValidator(_whole_to_float)]
Name = Annotated[str, Field(pattern=NAME, max_length=80)]
Words = Annotated[str, Field(pattern=r"\w")]


class Declaration(BaseModel):
    """Anything a suite file declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class HubModel(Declaration):
    """Weights on the Hugging Face hub, pinned to a commit."""

    hub: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class LocalModel(Declaration):
    """Weights in a local folder, relative to the suite."""

    path: str


class HubRows(Declaration):
    """One split of a data set on the Hugging Face hub, pinned to a commit."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    split: Name
    config: Name | None = None

    def __str__(self) -> str:
        """The name of these rows in messages, and of their digest in a run."""
        return f"{self.hub}@{self.revision[:12]}/{self.config + '/' if self.config else ''}{self.split}"


# A file beside the suite, or a data set on the hub; told apart first, so that only what was meant is complained about.
RowsRef = Annotated[
    Annotated[str, Tag("a file")] | Annotated[HubRows, Tag("on the hub")],
    Discriminator(lambda value: "on the hub" if isinstance(value, dict | HubRows) else "a file"),
]
ModelRef = Name | HubModel | LocalModel  # a bare name is looked up in the catalogue
