"""What a suite file may say: frozen declarations, unknown keys refused, one class per thing declared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from harness.limits import RESAMPLES
from harness.suite.checks import CheckSpec
from harness.suite.declaration import Declaration, ErrorRate, Fraction, ModelRef, Name, Number, OpenFraction, RowsRef
from harness.suite.engines import Vllm
from harness.suite.scorers import ScorerEntry, ScorerSpec
from harness.suite.systems import AdapterSystem, Connection, ConstrainedSystem, SystemSpec
from harness.suite.training import Train

# The answer of a closed schema is short; a system that rambles on is cut here, for every arm alike.
DEFAULT_MAX_NEW_TOKENS = 128
# Numpy takes seeds up to 2**32 - 1; those of further trainings and processes are counted on from the suite's.
LARGEST_SEED = 2**31 - 1

Goal = Literal["facts", "tone", "format", "vocabulary", "latency", "refusal"]


def _as_list(value: Any) -> Any:
    """One goal stands for a list of it."""
    return [value] if isinstance(value, str) else value


class Mix(Declaration):
    """General rows mixed into training, so that general ability is not unlearned."""

    source: Annotated[RowsRef, Field(alias="from")]
    share: OpenFraction = 0.10


class Columns(Declaration):
    """What the keys of a row are called in the suite's files: `prompt: question` reads `question` as the prompt.

    A file without such a column is read as it is. Columns under `tags` become tags, those under `meta` are remarks.
    """

    messages: str | None = None
    conversations: str | None = None
    prompt: str | None = None
    completion: str | None = None
    instruction: str | None = None
    input: str | None = None
    output: str | None = None
    system: str | None = None
    history: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    text: str | None = None
    id: str | None = None
    cluster: str | None = None
    tags: str | list[str] | None = None
    meta: str | list[str] | None = None

    @property
    def named(self) -> dict[str, str | list[str]]:
        """Key -> the column that it is called, for those that are renamed."""
        return self.model_dump(exclude_none=True)


class Data(Declaration):
    """The data sets. `validation` is a share of train (drawn by the seed) or a file of its own."""

    train: RowsRef | None = None
    validation: OpenFraction | RowsRef = 0.10
    test: RowsRef
    probe: RowsRef | None = None
    schema_file: Annotated[str | None, Field(alias="schema")] = None
    mix: Mix | None = None
    columns: Columns = Columns()


class Decoding(Declaration):
    """How every system answers: greedily, or at a temperature with `samples` answers to each test example."""

    max_new_tokens: Annotated[int, Field(ge=1)] = DEFAULT_MAX_NEW_TOKENS
    batch_size: Annotated[int, Field(ge=1)] = 32
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)  # an answer ends before these texts
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.0
    samples: Annotated[int, Field(ge=1, le=64)] = 1  # the example stays the unit: its score is the mean over them


class Benchmark(Declaration):
    """A test of general ability: `mmlu`, or a folder beside the suite in MMLU's CSV layout with a task.yaml."""

    task: str
    mmlu_dir: str | None = None
    shots: Annotated[int, Field(ge=0, le=25)] | None = None  # None: what the task says (MMLU: 5)
    per_subject: Annotated[int, Field(ge=1)] | None = 20  # None: every question


class Judge(Connection):
    """A model behind a server that says which of two answers is better under a rubric."""

    rubric: str  # a text file


class Prices(Declaration):
    """What a machine like this one costs, to compare arms with priced endpoints."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    machine_hour: Annotated[Number, Field(gt=0)]


class Statistics(Declaration):
    """The error rate of the gate and what it may impute."""

    alpha: ErrorRate = 0.05
    mode: Literal["fixed", "hybrid", "anytime"] = "fixed"  # the others may stop early, and then compute no more
    look_every: Annotated[int, Field(ge=1)] = 100  # examples or questions between two looks
    min_effect: OpenFraction = 0.05  # the smallest gain worth having; says how many examples would settle a check
    holdout_budget: Annotated[int, Field(ge=1)] | None = None  # candidates a test set may judge; alpha is shared out
    max_unscored: Fraction = 0.01
    resamples: Annotated[int, Field(ge=9999, le=RESAMPLES)] = 9999

    @property
    def per_look(self) -> Statistics:
        """What each look at the test set is decided by: alpha is shared out over the `holdout_budget`."""
        return self.model_copy(update={"alpha": self.alpha / (self.holdout_budget or 1)})


class Suite(Declaration):
    """One evaluation suite: what is trained, against what it is compared, and what it must reach to ship."""

    suite: Name
    description: str = ""
    # What the model should come to do better; it decides nothing, `harness advise` reads it.
    goals: Annotated[list[Goal], BeforeValidator(_as_list), Field(alias="goal", min_length=1)] = Field(
        default_factory=list
    )
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    model: ModelRef
    data: Data
    train: Train | None = None
    decoding: Decoding = Decoding()
    engine: Vllm | None = None  # None: transformers
    systems: dict[Name, SystemSpec]
    benchmarks: dict[Name, Benchmark] = Field(default_factory=dict)
    scorer_entries: list[ScorerEntry] = Field(default_factory=list, alias="scorers")  # beside those the checks need
    judges: dict[Name, Judge] = Field(default_factory=dict)
    checks: list[CheckSpec]
    prices: Prices | None = None
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
    def bare_prompts(self) -> tuple[str, ...]:
        """The names of the arms that are the base model with a prompt and nothing else."""
        return tuple(name for name, spec in self.systems.items() if spec.kind == "prompt" and spec.model is None)

    @property
    def constrained(self) -> tuple[str, ...]:
        """The constrained arms and the arms that they constrain, whose validity is shown side by side."""
        pairs = [(spec.over, name) for name, spec in self.systems.items() if isinstance(spec, ConstrainedSystem)]
        return tuple(dict.fromkeys(name for pair in pairs for name in pair))

    @property
    def trainings(self) -> dict[str, Train]:
        """System -> its training, for the candidate and for each baseline that is trained here."""
        own = {
            name: spec.train if spec.role == "baseline" else self.train
            for name, spec in self.systems.items()
            if isinstance(spec, AdapterSystem) and spec.source is None
        }
        return {name: train for name, train in own.items() if train is not None}

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
