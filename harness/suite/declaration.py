"""The words every declaration is made of: shares, names, models, and unknown keys refused."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
OTHER_MODELS = "for the hub write `model: {hub: OWNER/NAME, revision: COMMIT}`, for a folder `model: {path: FOLDER}`"


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


def _model_name(value: str) -> str:
    if not re.fullmatch(NAME, value) or len(value) > 80:
        raise ValueError(f"{value!r} is no name of the catalogue; {OTHER_MODELS}")
    return value


def _commit(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise ValueError(f"must be a commit, 40 hexadecimal digits, and not {value!r}; a branch or a tag may move")
    return value


Fraction = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]
OpenFraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0, lt=1)]
HalfOpenFraction = Annotated[float, BeforeValidator(_fraction), Field(ge=0, lt=1)]
Gain = HalfOpenFraction  # none is more than 1
ErrorRate = Annotated[float, BeforeValidator(_fraction), Field(gt=0, le=0.2)]
Number = Annotated[float, BeforeValidator(_whole_to_float)]
Name = Annotated[str, Field(pattern=NAME, max_length=80)]
Commit = Annotated[str, AfterValidator(_commit)]
Words = Annotated[str, Field(pattern=r"\w")]


class Declaration(BaseModel):
    """Anything a suite file declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class HubModel(Declaration):
    """Weights on the Hugging Face hub, pinned to a commit."""

    hub: str
    revision: Commit


class LocalModel(Declaration):
    """Weights in a local folder, relative to the suite."""

    path: str


class HubRows(Declaration):
    """One split of a data set on the Hugging Face hub, pinned to a commit."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Commit
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


def _form_of_model(value: Any) -> str:
    if isinstance(value, HubModel) or (isinstance(value, dict) and not {"hub", "revision"}.isdisjoint(value)):
        return "on the hub"
    return "a folder" if isinstance(value, dict | LocalModel) else "a name"


ModelRef = Annotated[
    Annotated[str, AfterValidator(_model_name), Tag("a name")]  # looked up in the catalogue
    | Annotated[HubModel, Tag("on the hub")]
    | Annotated[LocalModel, Tag("a folder")],
    Discriminator(_form_of_model),
]
