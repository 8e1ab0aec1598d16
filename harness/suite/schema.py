"""What a suite file may say: frozen declarations, unknown keys refused, one class per thing declared."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

# The answer of a closed schema is short; a system that rambles on is cut here, for every arm alike.
DEFAULT_MAX_NEW_TOKENS = 128
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _fraction(value: Any) -> Any:
    """Turn "95%" into 0.95; anything else is left to the type check."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        # Through decimal text, so that "99.5%" is the same float as 0.995.
        return float(f"{match[1]}e-2")
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_to_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Fraction = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]
OpenFraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0, lt=1)]
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


ModelRef = Name | HubModel | LocalModel  # a bare name is looked up in the catalogue


class Mix(Declaration):
    """General rows mixed into training, so that general ability is not unlearned."""

    source: Annotated[str, Field(alias="from")]
    share: OpenFraction = 0.10


class Data(Declaration):
    """The data sets. `validation` is a share of train (drawn by the seed) or a file of its own."""

    train: str | None = None
    validation: OpenFraction | str = 0.10
    test: str
    probe: str | None = None
    schema_file: Annotated[str | None, Field(alias="schema")] = None
    mix: Mix | None = None


class EarlyStopping(Declaration):
    """Stop after `patience` measurements of the validation loss without a gain of more than `min_delta` nats."""

    patience: Annotated[int, Field(ge=1)] = 2
    min_delta: Annotated[Number, Field(ge=0)] = 0.0
    checks_per_epoch: Annotated[int, Field(ge=4)] = 4


class Train(Declaration):
    """How the candidate is trained."""

    method: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[Number, Field(gt=0)] = 32.0
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    targets: Literal["all-linear"] | list[str] = "all-linear"
    bias: Literal["none", "all", "lora_only"] = "none"
    learning_rate: Annotated[Number, Field(gt=0)] = 2e-4
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: Fraction = 0.05
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 8
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    max_length: Annotated[int, Field(ge=8)] = 1024
    max_truncated: Fraction = 0.0
    seeds: Annotated[int, Field(ge=1, le=20)] = 1  # candidates trained alike but for their seed, to judge the recipe
    early_stopping: EarlyStopping = EarlyStopping()


class Decoding(Declaration):
    """How every system answers: greedily, or at a temperature with `samples` answers to each test example."""

    max_new_tokens: Annotated[int, Field(ge=1)] = DEFAULT_MAX_NEW_TOKENS
    batch_size: Annotated[int, Field(ge=1)] = 32
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)  # an answer ends before these texts
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.0
    samples: Annotated[int, Field(ge=1, le=64)] = 1  # the example stays the unit: its score is the mean over them


class PromptSystem(Declaration):
    """The base model with a system message."""

    kind: Literal["prompt"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None


class FewShotSystem(Declaration):
    """The base model with solved examples, drawn from the training rows by the seed."""

    kind: Literal["few_shot"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    shots: Annotated[int, Field(ge=1, le=64)] = 4


class AdapterSystem(Declaration):
    """The base model with an adapter: the one trained here, the promoted one, or one in a folder."""

    kind: Literal["adapter"]
    role: Literal["candidate", "baseline"] = "baseline"
    system: str | None = None
    source: Annotated[str | None, Field(alias="from")] = None


class EndpointSystem(Declaration):
    """A model behind an OpenAI-compatible server, under the same prompt and limits as the local arms."""

    kind: Literal["endpoint"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    base_url: str  # "https://host/v1"; what comes after it is the protocol's
    model: Annotated[str, Field(pattern=r"^[!-{}~]{1,200}$")]  # printable ASCII; a bar would divide the signature
    key_env: str | None = None  # the name of the environment variable that holds the API key
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4  # requests at the same time
    timeout_seconds: Annotated[Number, Field(gt=0, le=3600)] = 60.0  # of one request, up to its last byte
    retries: Annotated[int, Field(ge=0, le=10)] = 3  # after faults that may pass
    price_input: Annotated[Number, Field(ge=0)] | None = None  # per million tokens, in any currency
    price_output: Annotated[Number, Field(ge=0)] | None = None


SystemSpec = Annotated[
    PromptSystem | FewShotSystem | AdapterSystem | EndpointSystem,
    Field(discriminator="kind"),
]


class Benchmark(Declaration):
    """A test of general ability: `mmlu`, or a folder beside the suite in MMLU's CSV layout with a task.yaml."""

    task: str
    mmlu_dir: str | None = None
    shots: Annotated[int, Field(ge=0, le=25)] | None = None  # None: what the task says (MMLU: 5)
    per_subject: Annotated[int, Field(ge=1)] | None = 20  # None: every question


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
    min_gain: Fraction = 0.0
    tag: Name | None = None  # only the examples with this tag
    mid_p: bool = False  # McNemar's mid-p: less conservative, no longer exact


class RecipeBetterThan(CheckDeclaration):
    """What `train.seeds` trainings gain on average must beat each of these baselines, whatever seed comes next."""

    kind: Literal["recipe_better_than"]
    scorer: Name = "exact_match"
    baselines: Literal["all"] | list[Name] = "all"
    min_gain: Fraction = 0.0


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


class HealthyTraining(CheckDeclaration):
    """Finite losses and weights, better than untrained, stopped for a stated reason."""

    kind: Literal["healthy_training"]


CheckSpec = Annotated[
    BetterThan | RecipeBetterThan | ValidOutput | BenchmarkDrop | LogprobDrop | KLDivergence | HealthyTraining,
    Field(discriminator="kind"),
]


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
    """`brier` with another scorer than `exact_match` to say whether the answer is right."""

    kind: Literal["brier"]
    correct: Name


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


class Statistics(Declaration):
    """The error rate of the gate and what it may impute."""

    alpha: Annotated[Number, Field(gt=0, le=0.2)] = 0.05
    mode: Literal["fixed", "hybrid", "anytime"] = "fixed"  # the others may stop early, and then compute no more
    look_every: Annotated[int, Field(ge=1)] = 100  # examples or questions between two looks
    min_effect: OpenFraction = 0.05  # the smallest gain worth having; says how many examples would settle a check
    holdout_budget: Annotated[int, Field(ge=1)] | None = None  # candidates a test set may judge; alpha is shared out
    max_unscored: Fraction = 0.01
    resamples: Annotated[int, Field(ge=9999)] = 9999


class Suite(Declaration):
    """One evaluation suite: what is trained, against what it is compared, and what it must reach to ship."""

    suite: Name
    description: str = ""
    seed: int
    model: ModelRef
    data: Data
    train: Train | None = None
    decoding: Decoding = Decoding()
    systems: dict[Name, SystemSpec]
    benchmarks: dict[Name, Benchmark] = Field(default_factory=dict)
    scorer_entries: list[ScorerEntry] = Field(default_factory=list, alias="scorers")  # beside those the checks need
    checks: list[CheckSpec]
    statistics: Statistics = Statistics()

    @property
    def candidate(self) -> str:
        """The name of the one system in the role candidate."""
        return next(name for name, system in self.systems.items() if system.role == "candidate")

    @property
    def baselines(self) -> tuple[str, ...]:
        """The names of the systems in the role baseline, in the order of the file."""
        return tuple(name for name, system in self.systems.items() if system.role == "baseline")

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers under `scorers:`, in the order of the file."""
        return tuple(entry if isinstance(entry, str) else entry.name for entry in self.scorer_entries)

    @property
    def declared_scorers(self) -> tuple[ScorerSpec, ...]:
        """The scorers that the suite declares with parameters."""
        return tuple(entry for entry in self.scorer_entries if not isinstance(entry, str))

    @property
    def replicas(self) -> dict[str, int]:
        """Name -> training seed of the candidates that are trained beside the one that may ship."""
        more = range(1, self.train.seeds if self.train else 1)
        return {f"{self.candidate}@seed{self.seed + step}": self.seed + step for step in more}
