"""Score files that are one JSON object: an Inspect log and promptfoo's results."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from harness.data.score_rows import ScoredRow, field_cluster, read_each
from harness.data.sources import Row
from harness.errors import InvalidInputError
from harness.strict_json import canonical

# Inspect's own reading of a grade (scorer/_metric.py, value_to_float); N is "no answer".
INSPECT_GRADES = {"C": 1, "P": 0.5, "I": 0, "N": 0, "yes": 1, "true": 1, "no": 0, "false": 0}

PROMPTFOO_NONE, PROMPTFOO_ERROR = 0, 2  # failureReason: passed or not known why not; no verdict (1: an assertion)


def is_inspect_log(value: Any) -> bool:
    """Whether a JSON value is an Inspect log."""
    return isinstance(value, dict) and isinstance(value.get("eval"), dict)


def inspect_rows(log: Mapping[str, Any], name: str, cluster_by: str | None) -> tuple[ScoredRow, ...]:
    """A row per sample and epoch of the log in the file `name`; a score of several values is "scorer.key".

    A sample that ended in an error or was invalidated has no scores, whatever was recorded. `cluster_by` is a
    field of each sample's metadata.

    Raises:
        InvalidInputError: naming the sample that is not understood; or the log was not finished.

    Source: UKGovernmentBEIS/inspect_ai, log/_log.py (EvalLog, EvalSample), design/nan-serialization.md.
    """
    status, samples = log.get("status", "success"), log.get("samples")
    if status != "success":
        raise InvalidInputError(f"{name}: the log's status is {status!r}: samples are missing; finish the eval first")
    if not isinstance(samples, list):
        raise InvalidInputError(f"{name}: the log has no samples; it must be written with --log-samples")
    return read_each(_numbered(samples, f"{name}: samples"), partial(_inspect_row, cluster_by))


def _inspect_row(cluster_by: str | None, item: Row) -> ScoredRow:
    sample = item.value
    key, epoch = sample.get("id"), sample.get("epoch", 1)
    if isinstance(key, bool) or not isinstance(key, int | str) or not isinstance(epoch, int):
        raise ValueError("needs `id`, a number or text, and a whole `epoch`")
    recorded = sample.get("scores") or {}
    if not isinstance(recorded, dict) or not all(isinstance(score, dict) for score in recorded.values()):
        raise ValueError("`scores` must be an object of scorers and their scores")
    scores: dict[str, Any] = {}
    for scorer, score in recorded.items():
        value = score.get("value")
        parts = {f"{scorer}.{part}": one for part, one in value.items()} if isinstance(value, dict) else {scorer: value}
        scores |= {part: INSPECT_GRADES.get(one, one) if isinstance(one, str) else one for part, one in parts.items()}
    if sample.get("error") is not None or sample.get("invalidation") is not None:
        scores = dict.fromkeys(scores)
    metadata, place = sample.get("metadata"), f"the metadata of sample {key!r}"
    cluster = None if cluster_by is None else field_cluster(metadata, cluster_by, place)
    return ScoredRow(where=f"{item.where} (id {key!r})", id=str(key), epoch=epoch, scores=scores, cluster=cluster)


def is_promptfoo_results(value: Any) -> bool:
    """Whether a JSON value is what promptfoo writes: `results` with a list of results, or that inner object."""
    return isinstance(value, dict) and _promptfoo_results(value) is not None


def promptfoo_rows(document: Mapping[str, Any], name: str, cluster_by: str | None) -> tuple[ScoredRow, ...]:
    """A row per result in the file `name`: scorers are "score", "success" and each named metric.

    The system is the provider, with its prompt where it has several. The id is the test's number and a digest
    of its variables, so that shifted tests are never paired; tests with equal variables are one cluster, as
    `--repeat` makes them, unless `cluster_by` names the variable that is. A result without a verdict (provider
    or grader failed) has no scores.

    Raises:
        InvalidInputError: naming the result that is not understood.

    Source: promptfoo/promptfoo, src/types/index.ts (EvaluateSummaryV2, V3), src/evaluator.ts (failureReason).
    """
    items = _numbered(_promptfoo_results(document) or [], f"{name}: results")
    prompts = Counter(provider for provider, _ in {_promptfoo_column(item.value) for item in items})

    def read(item: Row) -> ScoredRow:
        provider, prompt = _promptfoo_column(item.value)
        given = item.value.get("vars")
        test, variables = item.value.get("testIdx"), _promptfoo_variables(given)
        return ScoredRow(
            where=item.where,
            id=variables if test is None else f"{test}:{variables}",
            system=provider if prompts[provider] == 1 else f"{provider}, prompt {prompt}",
            scores=_promptfoo_scores(item.value),
            cluster=variables if cluster_by is None else field_cluster(given, cluster_by, "`vars`"),
        )

    return read_each(items, read)


def _promptfoo_results(document: Mapping[str, Any]) -> list[Any] | None:
    results = document.get("results")
    if isinstance(results, dict):
        results = results.get("results")
    return results if isinstance(results, list) else None


def _promptfoo_column(row: Mapping[str, Any]) -> tuple[str, str]:
    """Provider and prompt, whose pairs are the columns of promptfoo's table; before version 3 without a number."""
    provider, prompt = row.get("provider"), row.get("prompt")
    if isinstance(provider, dict):
        provider = provider.get("label") or provider.get("id")
    named = prompt.get("label") or prompt.get("display") if isinstance(prompt, dict) else prompt
    return str(provider or "unnamed provider"), str(row.get("promptIdx", named))


def _promptfoo_variables(value: Any) -> str:
    if not isinstance(value, dict):
        raise ValueError("needs `vars`, an object")
    # A leading underscore marks what promptfoo adds while it runs, like the conversation so far.
    given = {key: one for key, one in value.items() if not key.startswith("_")}
    return hashlib.sha256(canonical(given).encode()).hexdigest()[:12]


def _promptfoo_scores(row: Mapping[str, Any]) -> dict[str, Any]:
    named = row.get("namedScores") or {}
    if not isinstance(row.get("success"), bool) or not isinstance(named, dict):
        raise ValueError("needs `success`, true or false (and `namedScores`, if any, as an object)")
    scores = named | {key: row[key] for key in ("score", "success") if key in row}
    return dict.fromkeys(scores) if _promptfoo_failed(row) else scores


def _promptfoo_failed(row: Mapping[str, Any]) -> bool:
    """Whether there is no verdict. `error` does not tell: it also holds the reason of an assertion that said no."""
    grading, reason = row.get("gradingResult"), row.get("failureReason")
    if _grader_failed(grading) or reason == PROMPTFOO_ERROR:
        return True
    if row["success"] or isinstance(grading, dict):
        return False
    if reason is not None:
        return bool(reason == PROMPTFOO_NONE)
    response = row.get("response")  # before `failureReason` was written
    return not isinstance(response, dict) or bool(response.get("error")) or response.get("output") in (None, "")


def _grader_failed(grading: Any) -> bool:
    if not isinstance(grading, dict):
        return False
    metadata, parts = grading.get("metadata"), grading.get("componentResults")
    failed = isinstance(metadata, dict) and metadata.get("graderError") is True
    return failed or (isinstance(parts, list) and any(_grader_failed(part) for part in parts))


def _numbered(values: list[Any], name: str) -> tuple[Row, ...]:
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise InvalidInputError(f"{name}[{index}]: must be a JSON object")
    return tuple(Row(where=f"{name}[{index}]", value=value) for index, value in enumerate(values))
