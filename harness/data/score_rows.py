"""Score files of one row per line: this harness's own, a run's scores.jsonl, and lm-eval's samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.data.sources import Row, Source, raise_problems, read_json_lines
from harness.errors import InvalidInputError

OWN_KEYS = {"id", "score", "scores", "cluster", "tags", "error", "meta"}
LM_EVAL_KEYS = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """What one row of a file says of one answer: the raw value of each scorer, None where it gave none.

    `part` tells apart the rows of a file that gives the scorers of one answer in several.
    """

    where: str
    id: str
    scores: Mapping[str, Any]
    system: str | None = None
    epoch: int = 0
    part: str = ""
    cluster: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLayout:
    """One JSON Lines format: the keys that give it away in the first row, and its reader.

    The reader takes the rows, and the field to take clusters from instead of the format's own.
    """

    format: str
    keys: frozenset[str]
    read: Callable[[Source, str | None], tuple[ScoredRow, ...]]


def read_each(items: Iterable[Row], read: Callable[[Row], ScoredRow]) -> tuple[ScoredRow, ...]:
    """Read every row.

    Raises:
        InvalidInputError: with the place and problem of each row that `read` refused by a ValueError.
    """
    rows: list[ScoredRow] = []
    problems: list[str] = []
    for item in items:
        try:
            rows.append(read(item))
        except ValueError as error:
            problems.append(f"{item.where}: {error}")
    raise_problems(problems)
    return tuple(rows)


def field_cluster(holder: Any, field: str, place: str) -> str:
    """The cluster that the value of `field` in `holder` names; dots lead into objects, as in "meta.author".

    Raises:
        ValueError: saying that `place` has no such field, or that its value is neither text nor a whole number.
    """
    value = holder
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"there is no `{field}` in {place} to take the cluster from")
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError(f"`{field}` must be non-empty text or a whole number to name a cluster")
    return str(value)


def _own_rows(source: Source, cluster_by: str | None) -> tuple[ScoredRow, ...]:
    return read_each(source.rows, partial(_own_row, cluster_by))


def _own_row(cluster_by: str | None, row: Row) -> ScoredRow:
    value = row.value
    by_field = None if cluster_by is None else field_cluster(value, cluster_by, "the row")
    known = OWN_KEYS if cluster_by is None else OWN_KEYS | {cluster_by.split(".")[0]}
    if unknown := sorted(set(value) - known):
        raise ValueError(f"unknown key {', '.join(unknown)}; remarks go under `meta`")
    if "score" in value and "scores" in value:
        raise ValueError("give `score` or `scores`, not both")
    if not {"score", "scores", "error"} & set(value):
        raise ValueError("needs `score` or `scores` (null where there is none), or `error`")
    scores = {"score": value["score"]} if "score" in value else value.get("scores", {})
    if not isinstance(scores, dict):
        raise ValueError("`scores` must be an object of scorer names and numbers")
    if _optional_text(value.get("error"), "error") is not None:
        scores = dict.fromkeys(scores)
    tags = value.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("`tags` must be a list of text")
    return ScoredRow(
        where=row.where,
        id=_text(value.get("id"), "id"),
        scores=scores,
        cluster=by_field or _optional_text(value.get("cluster"), "cluster"),
        tags=tuple(dict.fromkeys(tags)),
    )


def refuse_other_clusters(run: Path, cluster_by: str | None) -> None:
    """Raises InvalidInputError when a field is named to take the clusters of a run from."""
    if cluster_by is not None:
        raise InvalidInputError(
            f"{run}: the clusters of a run are those of its examples (`cluster` in its test rows), so there is no "
            f"`{cluster_by}` to cluster by"
        )


def _run_rows(source: Source, cluster_by: str | None) -> tuple[ScoredRow, ...]:
    """The rows of a run's test set; clusters and tags come from the examples.jsonl beside it."""
    refuse_other_clusters(source.path, cluster_by)
    examples = _run_examples(source)
    # The probe's examples are another set, answered by the candidate alone.
    return read_each((row for row in source.rows if row.value.get("dataset") != "probe"), partial(_run_row, examples))


def _run_row(examples: Mapping[str, Mapping[str, Any]], row: Row) -> ScoredRow:
    key, system, scorer = (_text(row.value.get(name), name) for name in ("example_id", "system", "scorer"))
    if (dataset := row.value.get("dataset")) != "test":
        raise ValueError(f"`dataset` must be test or probe, not {dataset!r}")
    result = row.value.get("result")
    if not isinstance(result, dict) or set(result) not in ({"value"}, {"reason"}):
        raise ValueError('`result` must be {"value": number} or {"reason": text}')
    example = examples.get(key, {})
    return ScoredRow(
        where=row.where,
        id=key,
        scores={scorer: result.get("value")},
        system=system,
        part=scorer,
        cluster=example.get("cluster"),
        tags=tuple(example.get("tags", ())),
    )


def _run_examples(source: Source) -> dict[str, Mapping[str, Any]]:
    """The test examples of the run that the file lies in: without their clusters dependent rows count as many."""
    path = source.path.with_name("examples.jsonl")
    if not path.is_file():
        return {}
    rows = read_json_lines(path).rows
    return {str(row.value.get("id")): row.value for row in rows if row.value.get("dataset") == "test"}


def _lm_eval_rows(source: Source, cluster_by: str | None) -> tuple[ScoredRow, ...]:
    documents = {(str(row.value.get("doc_hash")), str(row.value.get("doc_id"))) for row in source.rows}
    repeated = {digest for digest, count in Counter(digest for digest, _ in documents).items() if count > 1}
    filtered = len({str(row.value.get("filter")) for row in source.rows}) > 1

    def read(row: Row) -> ScoredRow:
        number, digest = row.value.get("doc_id"), _optional_text(row.value.get("doc_hash"), "doc_hash")
        which = _optional_text(row.value.get("filter"), "filter") or ""
        if not isinstance(number, int | str):
            raise ValueError("`doc_id` must be a number or text")
        # One document twice in a data set is two items of one cluster; only then is its hash not enough.
        key = str(number) if digest is None else f"{digest}:{number}" if digest in repeated else digest
        scores = {f"{name},{which}" if filtered else name: value for name, value in _metrics(row.value)}
        cluster = digest if cluster_by is None else field_cluster(row.value.get("doc"), cluster_by, "`doc`")
        return ScoredRow(where=row.where, id=key, scores=scores, part=which, cluster=cluster)

    return read_each(source.rows, read)


def _metrics(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    names = row.get("metrics", [key for key in row if key not in LM_EVAL_KEYS])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("`metrics` must be a list of text")
    for name in names:
        # Of a corpus metric (BLEU, perplexity) the parts are logged, which are no score of one answer.
        if not isinstance(row.get(name), list | dict):
            yield name, row.get(name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` must be non-empty text")
    return value


def _optional_text(value: Any, name: str) -> str | None:
    return None if value is None else _text(value, name)


LAYOUTS = (
    LineLayout(format="own", keys=frozenset({"example_id", "system", "scorer", "result"}), read=_run_rows),
    LineLayout(format="lm-eval samples", keys=frozenset({"doc_id", "filtered_resps"}), read=_lm_eval_rows),
    LineLayout(format="own", keys=frozenset({"id"}), read=_own_rows),
)
