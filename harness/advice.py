"""What to try before fine-tuning for a goal, what a suite lacks to find out, and what its last run found.

The advice is data: `PATHS` says which arms to try for a goal, in which order and who says so; `ARMS` says how a suite
declares each. It names no sizes of effects: a size is measured by a run, and read from its verdict.

Source: MISSION 55-57, and 4, 15, 18, 19, 24, 27, 29, 30, 50 and 53 where a row says so. Two of the documents fine-tune
for a format and two prompt first; here every arm is tried and the gate settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from harness.arms import arm_use, break_even
from harness.errors import HarnessError
from harness.findings import BreakEven, CheckResult, Decision
from harness.gate.verdict import not_needed
from harness.judged import suite_of, verdict_of
from harness.prepare import Inputs
from harness.store.runs import StoredRun
from harness.suite.checks import BetterThan, Preferred, RecipeBetterThan, ValidOutput
from harness.suite.rules import system_file
from harness.suite.schema import Goal, Suite
from harness.suite.systems import ConstrainedSystem, FewShotSystem, PromptSystem, RetrievalSystem

Arm = Literal["engineered", "few_shot", "retrieval", "constrained", "other_model", "sft", "continued_pretraining"]

BLINDLY = "“Stop Fine-Tuning Blindly”"
GUIDE = "“The Complete Practical Guide”"
NOTES = "“Fine-Tuning LLMs”"
REFERENCE = "“LLM Fine-Tuning”"
BLOG = "a practitioner's blog"
OURS = "this harness"


@dataclass(frozen=True, slots=True)
class ArmKind:
    """One thing to try: what it is, how a suite declares it, and which systems of a suite are it."""

    title: str
    declared_as: str
    of: Callable[[Suite], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the matrix: what to try for a goal, why, and who says so."""

    arm: Arm
    why: str
    source: str


def _engineered(suite: Suite) -> list[str]:
    own = system_file(suite, suite.candidate)
    return [name for name in suite.bare_prompts if system_file(suite, name) not in {None, own}]


def _of_kind(kind: type) -> Callable[[Suite], list[str]]:
    return lambda suite: [name for name, spec in suite.systems.items() if isinstance(spec, kind)]


def _other_model(suite: Suite) -> list[str]:
    return [name for name, spec in suite.systems.items() if isinstance(spec, PromptSystem) and spec.model is not None]


def _trained_by(objective: str) -> Callable[[Suite], list[str]]:
    return lambda suite: [name for name, train in suite.trainings.items() if train.objective == objective]


ARMS: Mapping[Arm, ArmKind] = {
    "engineered": ArmKind("an engineered prompt", "{kind: prompt, system: prompts/engineered.txt}", _engineered),
    "few_shot": ArmKind("solved examples in the prompt", "{kind: few_shot, shots: 4}", _of_kind(FewShotSystem)),
    "retrieval": ArmKind(
        "retrieval over your documents", "{kind: retrieval, documents: FOLDER}", _of_kind(RetrievalSystem)
    ),
    "constrained": ArmKind("a grammar over a prompt", "{kind: constrained, over: ARM}", _of_kind(ConstrainedSystem)),
    "other_model": ArmKind("another model under the same prompt", "{kind: prompt, model: MODEL}", _other_model),
    "sft": ArmKind("supervised fine-tuning with LoRA", "train: {method: lora}", _trained_by("sft")),
    "continued_pretraining": ArmKind(
        "continued pre-training on raw text",
        "train: {objective: continued_pretraining, rows: text.txt}",
        _trained_by("continued_pretraining"),
    ),
}

_PROMPT = Step("engineered", "it is changed in a minute, and nothing but the model has to be served", REFERENCE)
_SHOTS = Step("few_shot", "examples show what words describe badly, without training", f"{NOTES}; {REFERENCE}")

PATHS: Mapping[Goal, tuple[Step, ...]] = {
    "facts": (
        Step(
            "retrieval",
            "a document is exchanged without training; weights that learned facts that change every week are "
            "technical debt",
            f"{BLINDLY}; {NOTES}; {REFERENCE}",
        ),
        _PROMPT,
    ),
    "tone": (
        _PROMPT,
        _SHOTS,
        Step("sft", "a manner that no prompt holds on to is what LoRA is for", f"{BLINDLY}; {BLOG}"),
    ),
    "format": (
        Step("constrained", "what the grammar does not allow is never answered; nothing is trained", OURS),
        _PROMPT,
        _SHOTS,
        Step("sft", "the format is then the model's own, at the length of the bare prompt", f"{BLINDLY}; {GUIDE}"),
    ),
    "vocabulary": (
        _PROMPT,
        Step("retrieval", "a glossary or a handbook beside the question may be enough", f"{NOTES}; {REFERENCE}"),
        Step("continued_pretraining", "a field's words are learned from its texts, not from labelled rows", BLINDLY),
    ),
    "latency": (
        Step("other_model", "a smaller model under the same prompt is faster at once", BLOG),
        Step("sft", "what a long prompt says is trained in, so that the prompt can be short", f"{GUIDE}; {BLOG}"),
    ),
    "refusal": (
        _PROMPT,
        _SHOTS,
        Step("sft", "rows that are answered with a refusal teach what a prompt says in vain", BLOG),
    ),
}
# Without a goal: from what is cheapest to take back to what is dearest.
LADDER: tuple[Step, ...] = (
    _PROMPT,
    _SHOTS,
    Step("retrieval", "before weights are changed for what could be looked up", f"{NOTES}; {REFERENCE}"),
    Step("sft", "when what is above was measured and is not enough", f"{REFERENCE}; {BLOG}"),
)
TRAINED: tuple[Arm, ...] = ("sft", "continued_pretraining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A step for a goal in this suite; `systems` are those that try it, none where the suite lacks it."""

    arm: Arm
    title: str
    why: str
    source: str
    declared_as: str
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the last judged run measured. `enough` maps a check to the verdict's sentence that its arm would have done.

    `differs` names what has changed since: the numbers are then those of another suite.
    """

    run_id: str
    decision: Decision
    sentence: str
    expires: str  # ISO 8601; until when the verdict may be believed
    differs: tuple[str, ...]
    gains: tuple[CheckResult, ...]
    enough: Mapping[str, str]
    break_even: tuple[BreakEven, ...]
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to try, what is missing, and what is known. `unread` says why a run that is there tells nothing."""

    suite: str
    goals: tuple[Goal, ...]
    paths: Mapping[str, tuple[Suggestion, ...]]  # by goal; by "any goal" where none is declared
    lacks: tuple[str, ...]
    found: Found | None
    unread: str = ""


def advise(inputs: Inputs, run: StoredRun | None) -> Advice:
    """Advise on a suite; `run` is its last finished run, if there is one."""
    suite = inputs.loaded.suite
    goals = tuple(dict.fromkeys(suite.goals))
    steps: dict[str, tuple[Step, ...]] = {goal: PATHS[goal] for goal in goals} or {"any goal": LADDER}
    found, unread = None, ""
    if run is not None:
        try:
            found = _read_run(inputs, run)
        except HarnessError as error:
            unread = str(error)
    return Advice(
        suite=suite.suite,
        goals=goals,
        paths={goal: tuple(_suggestion(step, suite) for step in path) for goal, path in steps.items()},
        lacks=tuple(_lacks(inputs, steps)),
        found=found,
        unread=unread,
    )


def _suggestion(step: Step, suite: Suite) -> Suggestion:
    kind = ARMS[step.arm]
    return Suggestion(
        arm=step.arm,
        title=kind.title,
        why=step.why,
        source=step.source,
        declared_as=kind.declared_as,
        systems=tuple(kind.of(suite)),
    )


def _lacks(inputs: Inputs, steps: Mapping[str, Sequence[Step]]) -> Iterator[str]:
    """What keeps the suite from telling whether a fine-tune is needed."""
    suite = inputs.loaded.suite
    if not suite.goals:
        yield f"no goal: declare what is to get better, `goal:` with one or more of {', '.join(get_args(Goal))}"
    untrained = [(goal, step) for goal, path in steps.items() for step in path if step.arm not in TRAINED]
    for arm in dict.fromkeys(["engineered", *(step.arm for _, step in untrained)]):
        if not ARMS[arm].of(suite):
            goals = [goal for goal, step in untrained if step.arm == arm and suite.goals]
            wanted = f" for {', '.join(goals)}" if goals else ""
            yield f"no arm with {ARMS[arm].title}{wanted}: `{ARMS[arm].declared_as}`"
    yield from (missing for goal in dict.fromkeys(suite.goals) for missing in _unmeasured(goal, suite))
    yield from inputs.warnings


def _unmeasured(goal: Goal, suite: Suite) -> Iterator[str]:
    """What a goal needs so that reaching it is seen."""
    scorers = {check.scorer for check in suite.checks if isinstance(check, BetterThan | RecipeBetterThan)}
    if goal == "format" and not any(isinstance(check, ValidOutput) for check in suite.checks):
        yield "nothing asks whether answers are valid: `{kind: valid_output, on: probe}` with a schema"
    if goal == "refusal" and not scorers & {"refusal", "abstention"}:
        yield "nothing asks whether the right questions are refused: `{kind: better_than, scorer: refusal}`"
    if goal == "tone" and not any(isinstance(check, Preferred) for check in suite.checks):
        yield "nothing that reads tone judges it: `{kind: preferred, judge: NAME}`, or `harness review`"
    if goal == "latency" and suite.prices is None:
        yield "no `prices`, so that arms are compared by seconds and tokens and not by money"


def _read_run(inputs: Inputs, run: StoredRun) -> Found:
    """What a judged run measured, by the suite that it was run with."""
    verdict, suite = verdict_of(run), suite_of(run)
    now = {"suite": inputs.loaded.digest, **inputs.datasets.digests}
    sentences = {check.name: not_needed(suite, check) for check in verdict.checks}
    arms = arm_use(suite, [fact.name for fact in run.manifest.systems], run.predictions)
    return Found(
        run_id=verdict.run_id,
        decision=verdict.decision,
        sentence=verdict.sentence,
        expires=verdict.expires,
        differs=tuple(name for name, digest in now.items() if run.manifest.digests.get(name) != digest),
        gains=tuple(check for check in verdict.checks if check.baseline in suite.baselines),
        enough={name: sentence for name, sentence in sentences.items() if sentence},
        break_even=break_even(suite, arms, run.training),
        currency=suite.prices.currency if suite.prices else None,
    )
