"""Why answers were found invalid: which keyword of the schema broke, where and how often; and what was not judged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.findings import SchemaProblem
from harness.records import Prediction
from harness.scoring.declared import validators_of
from harness.scoring.json_schema import NOT_JUDGED, SchemaValidator
from harness.store.runs import StoredRun
from harness.suite.schema import Suite


def schema_problems(run: StoredRun, suite: Suite) -> tuple[SchemaProblem, ...]:
    """The ways in which the answers of each system break the schema, the most frequent first.

    An answer that took too much to be judged, by the schema or by a declared scorer, stands here by its id.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], str] = {}
    for system, keyword, path, message in _faults(run, suite):
        counts[system, keyword, path] += 1
        examples.setdefault((system, keyword, path), message)
    return tuple(
        SchemaProblem(system=system, keyword=keyword, path=path, count=count, example=examples[system, keyword, path])
        for (system, keyword, path), count in counts.most_common()
    )


def _faults(run: StoredRun, suite: Suite) -> Iterator[tuple[str, str, str, str]]:
    """System, keyword, path and message of each fault."""
    answers = [answer for answer in run.predictions if answer.error is None]
    if run.schema is not None:
        schema = SchemaValidator(run.schema)
        schema.read_ahead(answer.text for answer in answers)
        for answer in answers:
            for keyword, path, message in schema.faults(answer.text):
                told = _named(message, answer) if keyword == NOT_JUDGED else message
                yield answer.system, keyword, re.sub(r"\[\d+\]", "[*]", path), told
    tested = [answer for answer in answers if answer.dataset == "test"]  # declared scorers judge these only
    for scorer, validator in validators_of(suite).items():
        validator.read_ahead([answer.text for answer in tested])
        for answer in tested:
            if why := validator.not_judged(answer.text):
                yield answer.system, NOT_JUDGED, f"scorer {scorer}", _named(why, answer)


def _named(why: str, answer: Prediction) -> str:
    return f"{answer.example_id}: {why}"
