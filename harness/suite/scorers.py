"""The scorers with parameters that a suite may declare, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.suite.declaration import Declaration, Fraction, Name, Number, Words


class DeclaredScorer(Declaration):
    """A scorer with parameters: declared once, and used by its name in checks."""

    name: Name


class NumberScorer(DeclaredScorer):
    """The last number of the answer is the target's, within the wider of the two tolerances."""

    kind: Literal["number"]
    absolute: Annotated[Number, Field(ge=0)] = 0.0
    relative: Fraction = 0.0  # of the target's number


class ContainsScorer(DeclaredScorer):
    """The answer contains these texts."""

    kind: Literal["contains"]
    texts: Annotated[list[Annotated[str, Field(pattern=r"\S")]], Field(min_length=1)]
    require: Literal["all", "any"] = "all"
    ignore_case: bool = False


class RegexScorer(DeclaredScorer):
    """The answer, without white space around it, matches a pattern of Python's `re`."""

    kind: Literal["regex"]
    pattern: Annotated[str, Field(min_length=1, max_length=10_000)]
    match: Literal["whole", "anywhere"] = "whole"


class XmlSchemaScorer(DeclaredScorer):
    """The answer is one XML document that an XML Schema accepts."""

    kind: Literal["xml_schema"]
    xsd: str


class GrammarScorer(DeclaredScorer):
    """The answer is a sentence of a Lark grammar, from its rule `start`."""

    kind: Literal["grammar"]
    lark: str


class RefusalScorer(DeclaredScorer):
    """`refusal` with further phrases that refuse, such as the product's own."""

    kind: Literal["refusal"]
    phrases: Annotated[list[Words], Field(min_length=1)]


class AbstentionScorer(DeclaredScorer):
    """`abstention` with the labels that abstain, instead of `null`."""

    kind: Literal["abstention"]
    labels: Annotated[list[Words], Field(min_length=1)]


class BrierScorer(DeclaredScorer):
    """`brier` with another scorer to say whether the answer is right, or another source of confidence."""

    kind: Literal["brier"]
    correct: Name = "exact_match"
    confidence: Literal["stated", "logprob"] = "stated"  # logprob: the model's own probability of its whole answer


ScorerSpec = (
    NumberScorer
    | ContainsScorer
    | RegexScorer
    | XmlSchemaScorer
    | GrammarScorer
    | RefusalScorer
    | AbstentionScorer
    | BrierScorer
)


def _entry_form(value: Any) -> str | None:
    """Tell a scorer's name from its declaration, so that a fault in one is not also reported as one in the other."""
    if isinstance(value, str):
        return "name"
    return "declaration" if isinstance(value, dict) and "kind" in value else None


ScorerEntry = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Annotated[ScorerSpec, Field(discriminator="kind")], Tag("declaration")],
    Discriminator(
        _entry_form,
        custom_error_type="scorer_entry",
        custom_error_message="a scorer is a name, or a mapping with a `name` and a `kind`",
    ),
]
