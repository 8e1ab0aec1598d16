"""Facts: the frozen records that flow between the stages. A correction is a new record.

Every record is plain data (numbers, strings, tuples), so that it can be stored as JSON and read back without
loading a model. Declarations, what was asked, live in `harness.suite.schema`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FORMAT_VERSION = 1
BASE_MODEL = "base model"  # the name of the model without adapter or prompt, in benchmark results
REFERENCES = "the references"  # the name of the suite's own answers, beside those of the systems
FEWEST_SEEDS = 3  # trainings of one recipe that tell something about the next

Role = Literal["system", "user", "assistant"]
# How a held-out prompt was seen in training, the surest first. Normalised: but for case, width, spacing, punctuation,
# invisible or look-alike letters. Contained: word for word within a longer row.
LeakKind = Literal["exact", "normalised", "contained", "near copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a data set: what is asked, and the reference answer where there is one.

    `id` is given by the author or is a hash of the content, never a row number. `cluster` groups rows that are
    not independent (same document, same user).
    """

    id: str
    messages: tuple[Message, ...]
    target: str | None = None
    rejected: str | None = None  # an answer that the target is preferred to, for training on preferences
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    source: str = ""  # "train.jsonl:12", for messages to people; not part of the identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that may be put before a question, and where it stands as "guide/refunds.md#2"."""

    text: str
    source: str  # for messages to people; not part of what a model is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One answer of one system to one example. `error` set means there is no answer, and `text` is empty."""

    example_id: str
    system: str
    dataset: str  # "test" or "probe"
    text: str
    stop: Literal["end", "length", "error"]
    prompt_tokens: int
    output_tokens: int
    seconds: float  # this row's share of the batch it was answered in
    error: str | None = None
    sample: int = 0  # which of several answers to the same example, where the decoding draws them
    near_tie: bool = False  # at some token two choices were too close for float32 to tell apart reliably
    logprob: float | None = None  # of the whole answer with its end, in nats; None where the model does not tell


NOT_FINITE = "the model's log-probabilities are not finite"  # why there is no answer of a model that computed one


def no_answer(system: str, dataset: str, example_id: str, sample: int, why: str | None = None) -> Prediction:
    """What stands where there is no answer, or none yet."""
    return Prediction(
        example_id=example_id,
        system=system,
        dataset=dataset,
        text="",
        stop="error",
        prompt_tokens=0,
        output_tokens=0,
        seconds=0.0,
        sample=sample,
        error=why,
    )


@dataclass(frozen=True, slots=True)
class Score:
    """A finite value of one scorer for one answer."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a score must be finite, not {self.value}")


@dataclass(frozen=True, slots=True)
class Unscored:
    """No score, and why. Never NaN, -1 or 0."""

    reason: str


ScoreResult = Score | Unscored
WORST, BEST = 0.0, 1.0  # of every scorer; what a missing score counts as, of the candidate and of a baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionOutcome:
    """One benchmark question answered by one system: log-probabilities of the choices, in nats."""

    question_id: str
    subject: str
    logprobs: tuple[float, ...]
    choice: int
    target: int
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One system on one benchmark, question by question; `weights` maps a subject to its share of the mean."""

    benchmark: str
    system: str
    task_digest: str
    chance: float
    outcomes: tuple[QuestionOutcome, ...]
    weights: Mapping[str, float]
    pool: int | None = None  # all questions there are, when the outcomes are in one uniform random order of them


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """How far the candidate's next-token distribution is from the base model's on one answer, nats per token."""

    prompts: str  # the file that the row comes from, as the suite names it
    example_id: str
    kl: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a judge preferred, asked twice: 1 the candidate's answer, -1 the baseline's, 0 neither.

    `error` set means that at least one of the two questions got no usable answer; both values are then None.
    """

    judge: str  # its name in the suite
    baseline: str
    example_id: str
    shown_first: Literal[-1, 0, 1] | None  # the preference when the candidate's answer was shown first
    shown_second: Literal[-1, 0, 1] | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedExample:
    """A test example whose prompt stands among the training rows: where both are, as "train.jsonl:12", and how."""

    example_id: str
    source: str  # of the test example
    twin: str  # of the training row
    kind: LeakKind
    similarity: float  # 1, or of a near copy the share of equal pieces
    is_sure: bool  # the whole prompt is there, by more than chance

    def __post_init__(self) -> None:
        if not math.isfinite(self.similarity):
            raise ValueError(f"a similarity must be finite, not {self.similarity}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSearch:
    """Which test examples were found among the rows that the candidate learned from, whatever their disguise.

    `compared` counts those rows: trained on, mixed in, or for validation. What a candidate trained elsewhere learned
    from is not known, so its test examples are looked for among the suite's own rows.
    """

    compared: int
    leaks: tuple[LeakedExample, ...]  # in the order of the test set


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedToken:
    """One token of a server's answer. `content` is its bytes in hexadecimal: a token may be half a character."""

    content: str
    logprob: float  # nats
    others: tuple[tuple[str, float], ...] = ()  # content and log-probability of what else the server thought likely


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """What a server that should serve the candidate answered to one example, greedily.

    `error` set means there is no answer, and `text` is empty.
    """

    check: str  # the name of the check that asked
    example_id: str
    text: str
    prompt_tokens: int | None  # as the server counts them
    tokens: tuple[ServedToken, ...] | None  # with the end token, where the server tells of it; None: none were told
    prompt_as_judged: bool | None  # whether the server renders the conversation as the judged stack; None: not known
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """One generated answer. Equality leaves `seconds` out: how long it took is not part of what was answered."""

    tokens: tuple[int, ...]  # with the end token, where it ended by one
    ended: bool  # by an end token or a stop text, not by the length limit
    near_tie: bool  # somewhere the two best tokens were so close that rounding could choose between them
    logprob: float  # of the whole answer, in nats
    seconds: float = field(compare=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and math.isfinite(self.logprob)):
            raise ValueError(f"seconds and logprob must be finite, not {self.seconds} and {self.logprob}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScore:
    """The log-probability of one continuation, in nats, and whether greedy decoding would have produced it."""

    logprob: float
    is_greedy: bool

    def __post_init__(self) -> None:
        if not math.isfinite(self.logprob):
            raise ValueError(f"a log-probability must be finite, not {self.logprob}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """The losses at one optimizer step, in nats per completion token."""

    step: int
    epoch: float
    train_loss: float | None
    validation_loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHistory:
    """What happened in training. `best_step` is the checkpoint that became the candidate (0: untrained)."""

    method: str
    points: tuple[LossPoint, ...]
    best_step: int
    last_step: int
    stop_reason: str
    diverged: bool
    stopped_early: bool
    weights_finite: bool
    trainable_parameters: int
    total_parameters: int
    trained_tokens: int
    validation_tokens: int  # completion tokens in the fixed validation set
    train_rows: int
    mixed_rows: int
    validation_rows: int
    truncated_rows: int
    seconds: float
    world_size: int = 1  # processes that trained it together
    begun: str | None = None  # when its first step was taken, ISO 8601, whichever run that was; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """How far the candidate's behaviour is from the base model's on the same prompts."""

    prompts: int
    differing_answers: int
    max_logit_difference: float
    logits_finite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFact:
    """One system as it answered: `signature` is one line with model, adapter, prompt and decoding."""

    name: str
    kind: str
    role: str
    signature: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a run computed, in exact counts."""

    trained_tokens: int = 0
    generated_tokens: int = 0
    forwarded_tokens: int = 0  # prompt, benchmark and validation tokens that went through a forward pass
    model_loads: int = 0
    decoded_rows: int = 0  # rows times decoding steps, the first token of an answer coming from its prompt's pass
    head_rows: int = 0  # positions that went through the output head
    tokenizer_calls: int = 0
    stored_answers: int = 0  # answers and benchmark scores that were read from the store and not computed
    stored_scores: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """Who, what and when of a run; written last, so that its presence means the evidence is complete.

    `evidence` maps each evidence file (path inside the run folder) to its SHA-256. `planned` maps
    "system/dataset" to the number of answers that must be there. `digests` names everything that was bound:
    base, adapter, suite, each data file, prompts.
    """

    format_version: int
    run_id: str
    suite: str
    suite_path: str
    tool_version: str
    started: str  # ISO 8601, UTC
    finished: str
    seed: int
    command: str
    git_commit: str | None
    git_dirty: bool
    systems: tuple[SystemFact, ...]
    absent_systems: Mapping[str, str]  # name -> why it did not take part
    candidate_system: str | None = None  # its system message
    planned: Mapping[str, int]
    pool: Mapping[str, int]  # data set -> how many examples it has; more than planned when the run stopped early
    digests: Mapping[str, str]
    evidence: Mapping[str, str]
    versions: Mapping[str, str]
    overrides: Mapping[str, str]
    counters: Counters
    seconds: Mapping[str, float]  # stage -> wall seconds
    peak_bytes: int | None = None  # the most memory that the process held; on a GPU, there
    shard: str | None = None  # "INDEX/COUNT" of a part of a run, which is no evidence before it is merged
    world_size: int | None = None  # processes that trained the candidate together; None: not known here
    shards: int | None = None  # how many of them were merged into this run
    locked: str | None = None  # when the lock was made that the suite was found to agree with, ISO 8601; None: no lock
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """One score of one answer; where an example was answered several times, the mean over its answers."""

    example_id: str
    system: str
    dataset: str
    scorer: str
    result: ScoreResult
