"""Every rule about the rows of a suite, in one place: sets of rows in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from harness.data.amounts import too_few
from harness.data.answers import schema_problems, truncated_answers
from harness.data.labels import few_per_label, imbalance, label_series, label_spelling, unseen_labels
from harness.data.leakage import Leak, find_leaks
from harness.data.personal import personal_data
from harness.data.repeats import Repeat, find_repeats
from harness.data.rules import RULES, Finding, finding
from harness.data.shape import missing_negatives, odd_rows, template, unlike_training
from harness.data.shift import shifted
from harness.data.splits import HELD_OUT, overlaps, prompt_key
from harness.records import Example
from harness.scoring.json_schema import SchemaValidator

SHOWN_WORDS = 4  # in which two rows differ

Rows = tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSets:
    """The rows of a suite by what they are for; each set under the name that the suite has for it.

    `task` rows are trained on, `validation` rows too where they are a file of their own, `general` rows are mixed in.
    `questions` are those of benchmarks. `places` says where the suite names a set, as "suite.yaml:8".
    """

    task: Mapping[str, Rows]
    validation: Rows
    general: Rows
    test: Rows
    probe: Rows
    questions: Mapping[str, Rows]
    places: Mapping[str, str]

    @property
    def trained(self) -> dict[str, Rows]:
        """All that a training reads, by name."""
        return {**self.task, "mix": self.general, "validation": self.validation}

    @property
    def own(self) -> dict[str, Rows]:
        """All sets that are the suite's own, by name."""
        return {**self.trained, "test": self.test, "probe": self.probe}


def lint_rows(sets: RowSets, *, validator: SchemaValidator | None, work: Counter[str]) -> tuple[Finding, ...]:
    """What is wrong with the rows, by rule and then in the order of the rows. `work` counts what was done."""
    return in_order(
        chain(
            _leaks(sets, work),
            _overlaps(sets),
            _same_ids(sets),
            _repeats(sets, work),
            _each_set(sets, validator),
            _whole(sets),
        )
    )


def in_order(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of the rules; those of one rule as they came."""
    rules = list(RULES)
    return tuple(sorted(findings, key=lambda found: rules.index(found.rule)))


def _leaks(sets: RowSets, work: Counter[str]) -> Iterator[Finding]:
    held_out = {"test": sets.test, "probe": sets.probe, **sets.questions}
    names = {id(row): name for name, rows in {**sets.trained, **held_out}.items() for row in rows}
    leaks = find_leaks(list(chain(*held_out.values())), chain(*sets.trained.values()), work=work)
    early = {name: rows for name, rows in sets.trained.items() if name != "validation"}
    leaks += find_leaks(sets.validation, chain(*early.values()), work=work)
    for leak in leaks:
        name, twin = names[id(leak.row)], names[id(leak.twin)]
        if name in sets.questions:
            how = {"contained": "holds, word for word,", "near copy": "asks nearly"}.get(leak.kind, "asks")
            what = f"this {twin} row {how} a question of the benchmark {name}"
            yield finding("benchmark-leak", leak.twin.source, what, other=leak.row.source)
        else:
            rule = "leak" if leak.is_sure else "possible-leak"
            yield finding(rule, leak.row.source, f"this {name} prompt {_as_leaked(leak, twin)}", other=leak.twin.source)


def _as_leaked(leak: Leak, twin: str) -> str:
    if leak.kind == "exact":
        return f"also stands in {twin}"
    if leak.kind == "normalised":
        return f"also stands in {twin}, but for case, spacing, punctuation or letters that look alike"
    if leak.kind == "contained":
        return f"stands within a longer row of {twin}, word for word"
    return f"is nearly one in {twin}, {_alike(leak.row, leak.twin, leak.similarity)}"


def _alike(row: Example, other: Example, similarity: float) -> str:
    """How alike two prompts are, and the first words that only one of them has."""
    mine, theirs = prompt_key(row).split(), prompt_key(other).split()
    only = [[word for word in own if word not in set(rest)] for own, rest in ((mine, theirs), (theirs, mine))]
    shown = [" ".join(few[:SHOWN_WORDS]) + (" …" if len(few) > SHOWN_WORDS else "") for few in only]
    differing = f", {shown[0] or 'nothing'!r} against {shown[1] or 'nothing'!r}" if any(shown) else ""
    return f"{similarity:.0%} alike{differing}"


def _overlaps(sets: RowSets) -> Iterator[Finding]:
    for name, rows in sets.task.items():
        for (_, row), (_, other) in overlaps({name: rows, "mix": sets.general}):
            what = f"this general prompt also stands in {name}"
            yield finding("overlap", row.source, what, other=other.source)


def _same_ids(sets: RowSets) -> Iterator[Finding]:
    for name in sorted(HELD_OUT):
        firsts: dict[str, Example] = {}
        for row in sets.own[name]:
            if (first := firsts.setdefault(row.id, row)) is not row:
                is_repeat = row.messages == first.messages and row.target == first.target
                what = "this row" if is_repeat else f"the id {row.id!r}"
                yield finding("duplicate-id", row.source, f"{what} is given twice in {name}", other=first.source)


def _repeats(sets: RowSets, work: Counter[str]) -> Iterator[Finding]:
    is_labelled = bool(label_series(tuple(chain(*sets.task.values()))))
    for name, rows in sets.own.items():
        has_labels = is_labelled and name != "mix"
        for repeat in find_repeats(rows, has_labels=has_labels, work=work):
            if name not in HELD_OUT or repeat.row.id != repeat.first.id:  # or else they are told by `_same_ids`
                yield _repeated(name, repeat, is_free=not has_labels and _is_free(repeat.row))


def _repeated(name: str, repeat: Repeat, *, is_free: bool) -> Finding:
    alike = _alike(repeat.row, repeat.first, repeat.similarity)
    whole = "this text" if not repeat.row.messages else "this prompt" if repeat.row.target is None else "this row"
    rule, what = {
        "duplicate": ("duplicate", f"{whole} stands in {name} before"),
        "near duplicate": ("near-duplicate", f"nearly {whole} stands in {name} before, {alike}"),
        "contradiction": ("contradiction", f"the same prompt has another answer in {name}"),
        "near contradiction": ("contradiction", f"nearly this prompt has another answer in {name}, {alike}"),
    }[repeat.kind]
    is_doubtful = repeat.kind == "near contradiction"
    if rule == "contradiction" and is_free:
        is_doubtful, what = True, f"{what}; a contradiction unless both are right"
    return finding(rule, repeat.row.source, what, other=repeat.first.source, severity="note" if is_doubtful else None)


def _is_free(row: Example) -> bool:
    """Whether an answer is in words of its own, so that another may be right as well."""
    return not (row.target or "").lstrip().startswith(("{", "["))


def _each_set(sets: RowSets, validator: SchemaValidator | None) -> Iterator[Finding]:
    for name, rows in sets.own.items():
        is_judged = validator is not None and name != "mix"
        yield from truncated_answers(rows)
        yield from odd_rows(rows, has_schema=is_judged)
        yield from personal_data(rows)
        if is_judged and validator is not None:
            yield from schema_problems(rows, validator)


def _whole(sets: RowSets) -> Iterator[Finding]:
    """What is said of sets as a whole, and of test rows against training rows."""
    task = tuple(chain(*sets.task.values()))
    trained = label_series(task + sets.validation)
    yield from few_per_label(trained)
    yield from imbalance(trained)
    yield from label_spelling(label_series(task + sets.validation + sets.test, like=trained))
    yield from unseen_labels(trained, label_series(sets.test, like=trained))
    yield from template(task)
    yield from missing_negatives(task + sets.general, sets.test, sets.places["train"])
    yield from too_few(sets.task, sets.test, sets.places)
    yield from unlike_training(task, sets.test)
    yield from shifted(task, sets.test, sets.places["test"])
