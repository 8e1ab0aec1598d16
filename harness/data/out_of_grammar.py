"""Test rows whose right answer an arm under a grammar cannot write, which makes that baseline too easy to beat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from harness.confined.function import remembered
from harness.data.rules import Finding, Severity, finding
from harness.data.sources import raise_problems
from harness.records import Example
from harness.scoring.json_schema import NOT_JUDGED, SchemaValidator
from harness.scoring.text import target_form
from harness.strict_json import canonical, parse
from harness.suite.checks import BetterThan, RecipeBetterThan
from harness.suite.load import LoadedSuite
from harness.suite.systems import ConstrainedSystem

# By these the row's own answer is the right one; others, such as `number`, also take it in other words.
BY_ANSWER = {"exact_match", "macro_f1", "field_f1"}
SHOWN = 60  # characters of an answer


def out_of_grammar(
    loaded: LoadedSuite, test: Sequence[Example], grammars: Mapping[str, str], validator: SchemaValidator | None
) -> Iterator[Finding]:
    """Answers of test rows that a `constrained` arm cannot write: one finding for an arm and a text, at its first row.

    `grammars` has those of the arms with a regular expression or a Lark grammar; the others write what the schema
    accepts. Nothing is said where no gain is judged by the row's own answer. JSON that a grammar of texts refuses is
    only warned of, since its keys may stand in another order there.
    """
    gains = {check.scorer for check in loaded.suite.checks if isinstance(check, BetterThan | RecipeBetterThan)}
    if not gains & BY_ANSWER:
        return
    rows: dict[str, list[Example]] = {}
    for row in test:
        if row.target is not None:
            rows.setdefault(row.target, []).append(row)
    for name, spec in loaded.suite.systems.items():
        if not isinstance(spec, ConstrainedSystem):
            continue
        place = f"{loaded.path.name}:{loaded.lines.get(f'systems.{name}', 1)}"
        is_refused = _by_grammar(grammars[name], rows) if name in grammars else _by_schema(validator, rows)
        refused = {target: is_refused(target) for target in rows}
        if None in refused.values():
            what = (
                f"whether the arm {name} can write every right answer was not found out: its grammar names tokens of a "
            )
            yield finding("out-of-grammar", place, f"{what}model, or takes too long", severity="warning")
        for target, same in rows.items():
            if refused[target]:
                text = target if len(target) <= SHOWN else f"{target[:SHOWN]}…"
                what = f"the answer {text!r} cannot be written under the grammar of the arm {name}"
                what += f"; {len(same)} rows have this answer" if len(same) > 1 else ""
                is_doubtful = name in grammars and _is_json(target)
                severity: Severity | None = "warning" if is_doubtful else None
                yield finding("out-of-grammar", same[0].source, what, other=place, severity=severity)


def refuse_unwritable(
    loaded: LoadedSuite, test: Sequence[Example], grammars: Mapping[str, str], validator: SchemaValidator | None
) -> Iterator[str]:
    """Refuse what `out_of_grammar` is sure of; of the rest, a warning for each arm.

    Raises:
        InvalidInputError: right answers that an arm cannot write.
    """
    found = list(out_of_grammar(loaded, test, grammars, validator))
    errors = [one for one in found if one.severity == "error"]
    raise_problems([f"{one.where}: {one.what} ({one.other}); {one.remedy}" for one in errors])
    for _, doubts in groupby(found, key=lambda one: one.other or one.where):  # the arm's place
        first, *more = doubts
        yield f"{first.where}: {first.what}" + (f"; {len(more)} more, see `harness lint`" if more else "")


def _by_schema(validator: SchemaValidator | None, targets: Mapping[str, Any]) -> Callable[[str], bool | None]:
    if validator is None:  # the suite has no schema that can be read, which is told elsewhere
        return lambda _: False
    validator.read_ahead(targets)

    def is_refused(target: str) -> bool | None:
        keywords = {keyword for keyword, _, _ in validator.faults(target)}
        return None if NOT_JUDGED in keywords else bool(keywords)

    return is_refused


def _by_grammar(grammar: str, targets: Mapping[str, Any]) -> Callable[[str], bool | None]:
    """Whether no form of a text can be written; None where that was not found out."""
    accepts = remembered("harness.confined.grammars:text_matcher", canonical(grammar))
    accepts.map([form for target in targets for form in _forms(target)])

    def is_refused(target: str) -> bool | None:
        found = accepts.map(_forms(target))
        if True in found:
            return False
        return True if all(one is False for one in found) else None

    return is_refused


def _forms(target: str) -> list[str]:
    """Texts that exact match takes for this answer, whose spacing makes no difference; of JSON, two more."""
    forms = [target, target.strip(), " ".join(target.split())]
    if _is_json(target):
        value = parse(target.strip())
        forms += [json.dumps(value, ensure_ascii=False, separators=marks) for marks in ((", ", ": "), (",", ":"))]
    return forms


def _is_json(target: str) -> bool:
    return isinstance(target_form(target), frozenset)
