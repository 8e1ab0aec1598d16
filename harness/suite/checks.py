"""The checks that a suite may declare, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.suite.declaration import Declaration, Gain, Name, Number, OpenFraction
from harness.suite.systems import Connection, LoadedCandidate


class CheckDeclaration(Declaration):
    """What every check may say: its name in reports, whether it blocks, and why its bar is what it is."""

    name: Name | None = None
    blocking: bool = True
    reason: str | None = None


class BetterThan(CheckDeclaration):
    """The candidate must beat each of these baselines on the test set."""

    kind: Literal["better_than"]
    scorer: Name = "exact_match"
    baselines: Literal["all"] | list[Name] = "all"
    require: Literal["all", "any"] = "all"  # any: beating one of them is enough, at Holm's price for several chances
    min_gain: Gain = 0.0
    tag: Name | None = None  # only the examples with this tag
    mid_p: bool = False  # McNemar's mid-p: less conservative, no longer exact


class RecipeBetterThan(CheckDeclaration):
    """What `train.seeds` trainings gain on average must beat each of these baselines, whatever seed comes next."""

    kind: Literal["recipe_better_than"]
    scorer: Name = "exact_match"
    baselines: Literal["all"] | list[Name] = "all"
    min_gain: Gain = 0.0


class Preferred(CheckDeclaration):
    """A judge model must prefer the candidate's answers to each of these baselines', on average."""

    kind: Literal["preferred"]
    judge: Name
    baselines: Literal["all"] | list[Name] = "all"
    min_gain: Gain = 0.0  # of the mean preference, 1 when every answer is preferred in both orders


class ValidOutput(CheckDeclaration):
    """The lower bound of the candidate's schema-valid share must reach the bar."""

    kind: Literal["valid_output"]
    on: Literal["probe", "test"] = "probe"
    bar: OpenFraction = 0.995
    rule: Literal["lower_bound", "point"] = "lower_bound"  # point: the share itself decides, whatever chance did


class BenchmarkDrop(CheckDeclaration):
    """The candidate may not be worse than the base model by the margin or more."""

    kind: Literal["benchmark_drop"]
    benchmark: Name
    margin: OpenFraction = 0.05
    margin_type: Literal["relative", "absolute"] = "relative"


class LogprobDrop(CheckDeclaration):
    """The right choices of a benchmark may not become less likely by the margin (nats) or more, on average."""

    kind: Literal["logprob_drop"]
    benchmark: Name
    margin: Annotated[Number, Field(gt=0)] = 0.1


class KLDivergence(CheckDeclaration):
    """On general rows that were not trained on, the candidate may not be `limit` nats per token from the base."""

    kind: Literal["kl_divergence"]
    prompts: str
    limit: Annotated[Number, Field(gt=0)] = 0.1


class ServedAsJudged(CheckDeclaration):
    """A server must answer as the candidate did when it was judged: same prompts, answers and log-probabilities."""

    kind: Literal["served_as_judged"]
    endpoint: Connection
    served_adapter: LoadedCandidate | None = None  # load the candidate there first; None: it is served already
    examples: Annotated[int, Field(ge=1)] = 32  # of the test set, drawn by the seed
    tolerance: Annotated[Number, Field(gt=0)] = 1e-3  # nats per token; a quantised server needs more


class HealthyTraining(CheckDeclaration):
    """Finite losses and weights, better than untrained, stopped for a stated reason."""

    kind: Literal["healthy_training"]


CheckSpec = Annotated[
    BetterThan
    | RecipeBetterThan
    | Preferred
    | ValidOutput
    | BenchmarkDrop
    | LogprobDrop
    | KLDivergence
    | ServedAsJudged
    | HealthyTraining,
    Field(discriminator="kind"),
]
