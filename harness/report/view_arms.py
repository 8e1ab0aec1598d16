"""The arm table: what every arm scored beside what it took, when the training pays, and what was unequal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.findings import ArmUse, BreakEven, RunRecord, ScorerSummary
from harness.records import SystemFact
from harness.report.formatting import NOTHING, amount, clean, count
from harness.report.page import ArmRow, ArmTable, ExampleSet, ScoreCell, ScoreTable
from harness.report.view_scores import score_table

VALIDITY = "schema_valid"

_Uses = Mapping[str, Callable[[ArmUse], str]]


def arm_table(record: RunRecord, examples: ExampleSet) -> ArmTable:
    """Return every declared system, the candidate first, with its headline score, its validity and its use.

    Raises:
        ValueError: a number is not finite.
    """
    shown = [item for item in _overall(record) if _in_arm_table(item, examples)]
    scores = score_table("", shown, record.candidate, ())
    found = {row.system: row.cells for row in scores.rows}
    uses, arms = _uses(record), {arm.system: arm for arm in record.arms}
    blank: tuple[ScoreCell | None, ...] = (None,) * len(scores.columns)
    present = [
        _row(fact, arms.get(fact.name), uses, scores=found.get(clean(fact.name), blank), candidate=record.candidate)
        for fact in in_arm_order(record)
    ]
    absent = [_absent(name, why, uses, blank) for name, why in record.manifest.absent_systems.items()]
    return ArmTable(
        columns=scores.columns,
        uses=tuple(uses),
        rows=(*present, *absent),
        break_even=tuple(break_even_sentence(item, record.currency) for item in record.break_even),
        notes=(
            *(f"{row.name}: {row.note}" for row in (*present, *absent) if row.note),
            *(f"{clean(sentence)}." for sentence in record.differences),
        ),
    )


def in_arm_order(record: RunRecord) -> list[SystemFact]:
    """Return the systems that took part in the order of the arms, the candidate first."""
    order = {name: place for place, name in enumerate((record.candidate, *(arm.system for arm in record.arms)))}
    return sorted(record.manifest.systems, key=lambda fact: order.get(fact.name, len(order)))


def further_scores(record: RunRecord, systems: Sequence[str], examples: ExampleSet) -> ScoreTable:
    """Return the scores over all rows that the arm table does not show, those on the test set first."""
    rest = [item for item in _overall(record) if not _in_arm_table(item, examples)]
    return score_table("All rows", rest, record.candidate, systems)


def _overall(record: RunRecord) -> list[ScorerSummary]:
    order = {name: place for place, name in enumerate(record.examples)}
    summaries = [item for item in record.summaries if item.tag is None]
    return sorted(summaries, key=lambda item: (item.dataset != "test", order.get(item.dataset, len(order))))


def _in_arm_table(item: ScorerSummary, examples: ExampleSet) -> bool:
    headline = (*examples.datasets[:1], *examples.headlines[:1])
    return item.scorer == VALIDITY or (clean(item.dataset), clean(item.scorer)) == headline


def _uses(record: RunRecord) -> _Uses:
    """Heading -> how an arm's use is told under it."""
    currency = f" ({clean(record.currency)})" if record.currency else ""
    priced = any(arm.cost is not None for arm in record.arms)
    cost: _Uses = {f"Cost of 1,000{currency}": lambda arm: _known(arm.cost)} if priced else {}
    return {
        "Prompt tokens": lambda arm: _known(arm.prompt_tokens),
        "Output tokens": lambda arm: _known(arm.output_tokens),
        "Seconds": lambda arm: _known(arm.seconds),
        **cost,
        "Errors": lambda arm: _part(arm.errors, arm.requests),
        "Cut off": lambda arm: _part(arm.truncated, arm.requests),
    }


def _known(value: float | None) -> str:
    return NOTHING if value is None else amount(value)


def _part(part: int, whole: int) -> str:
    return f"{count(part)} of {count(whole)}" if part else "0"


def _row(
    fact: SystemFact, arm: ArmUse | None, uses: _Uses, *, scores: tuple[ScoreCell | None, ...], candidate: str
) -> ArmRow:
    over = f" over {clean(arm.over)}" if arm is not None and arm.over is not None else ""
    return ArmRow(
        name=clean(fact.name),
        role=clean(fact.role),
        kind=clean(fact.kind).replace("_", " ") + over,
        is_candidate=fact.name == candidate,
        absent=False,
        note=clean(fact.note),
        signature=clean(fact.signature),
        scores=scores,
        use=tuple(NOTHING if arm is None else tell(arm) for tell in uses.values()),
    )


def _absent(name: str, why: str, uses: _Uses, scores: tuple[ScoreCell | None, ...]) -> ArmRow:
    return ArmRow(
        name=clean(name),
        role="baseline",
        kind="",
        is_candidate=False,
        absent=True,
        note=clean(f"absent: {why}"),
        signature="",
        scores=scores,
        use=(NOTHING,) * len(uses),
    )


def break_even_sentence(item: BreakEven, currency: str | None) -> str:
    """Return after how many requests the training is paid back, or why that is never or not known."""
    against = f"Break-even against {clean(item.endpoint)}"
    if item.unknown:
        return f"{against}: not known, since {clean(item.unknown)}."
    if item.requests is None or item.saving is None or item.training_cost is None:
        return f"{against}: never, since the candidate's requests are not cheaper."
    return (
        f"{against}: {count(item.requests)} requests. 1,000 of them save {_money(item.saving, currency)}, the training "
        f"cost {_money(item.training_cost, currency)}; a machine that waits is not counted."
    )


def _money(value: float, currency: str | None) -> str:
    return f"{amount(value)} {clean(currency or '')}".rstrip()
