"""Rows whose answers are labels, or have fields that are: how many rows each label has, and how it is spelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from harness.data.folding import fold
from harness.data.near_duplicates import is_one_edit
from harness.data.rules import Finding, finding
from harness.records import Example
from harness.strict_json import StrictJsonError, parse

FEWEST_PER_LABEL = 200  # "a few hundred per class"
IMBALANCE = 10  # times as many rows for one label as for another
ROWS_PER_LABEL = 4  # on average, or the answers are no labels
LONGEST_LABEL = 60  # characters
MOST_LABELS = 1000
MOST_JSON = 0.9  # of the answers, for their fields to be looked at
SHOWN = 5  # labels named in one finding
MISSPELLED_SHARE = 0.05  # of a label's rows may have what looks like a slip in it, for it to be taken for one

Series = Mapping[str, Sequence[tuple[Example, str]]]


def label_series(rows: Sequence[Example], *, like: Series | None = None) -> Series:
    """What has labels -> each row with its label: "answer", or the fields of answers that are JSON objects.

    Answers are labels when they are short and come again and again, or where those of the rows `like` them are.
    """
    answered = [row for row in rows if row.target is not None and row.messages and row.rejected is None]
    fields: dict[str, list[tuple[Example, str]]] = defaultdict(list)
    objects = 0
    for row in answered:
        value = _object(str(row.target))
        objects += value is not None
        for key, field in (value or {}).items():
            if isinstance(field, str | bool):
                fields[key].append((row, field if isinstance(field, str) else str(field).lower()))
    if objects < MOST_JSON * len(answered):
        fields = {"answer": [(row, str(row.target).strip()) for row in answered]}
    return {
        name: pairs
        for name, pairs in fields.items()
        if (name in like if like is not None else _are_labels([label for _, label in pairs]))
    }


def few_per_label(series: Series) -> Iterator[Finding]:
    """For each series, the labels of which there are fewer than 200 rows."""
    for name, pairs in series.items():
        counts, firsts = _counts(pairs)
        few = [label for label, count in reversed(counts.most_common()) if count < FEWEST_PER_LABEL]
        if few:
            shown = ", ".join(f"{label!r} {counts[label]}" for label in few[:SHOWN])
            more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
            what = f"{len(few)} of {len(counts)} labels of `{name}` have fewer than {FEWEST_PER_LABEL} rows: "
            yield finding("few-per-label", firsts[few[0]].source, what + shown + more)


def imbalance(series: Series) -> Iterator[Finding]:
    """For each series, whether one label has ten times the rows of another."""
    for name, pairs in series.items():
        counts, firsts = _counts(pairs)
        (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
        if many >= IMBALANCE * few:
            what = f"`{name}` is {most!r} in {many:,} rows and {least!r} in {few:,}"
            yield finding("imbalance", firsts[least].source, what)


def label_spelling(series: Series) -> Iterator[Finding]:
    """Labels that are the same after normalisation, or that differ from a frequent one by one letter."""
    for name, pairs in series.items():
        counts, firsts = _counts(pairs)
        usual: dict[str, str] = {}
        for label, count in counts.most_common():
            folded = fold(label)
            twin = usual.get(folded) or next(
                (other for known, other in usual.items() if _is_slip(folded, known, count, counts[other])), None
            )
            if twin is None:
                usual[folded] = label
                continue
            rows = f"{count} row{'s' if count > 1 else ''}"
            what = f"`{name}` is {label!r} in {rows} and {twin!r} in {counts[twin]:,}"
            yield finding("label-spelling", firsts[label].source, what, other=firsts[twin].source)


def unseen_labels(trained: Series, tested: Series) -> Iterator[Finding]:
    """Labels of the test rows that no training row has."""
    for name, pairs in tested.items():
        known = {fold(label) for _, label in trained.get(name, ())}
        counts, firsts = _counts(pairs)
        for label, count in counts.items() if known else ():
            if fold(label) not in known:  # another spelling is told by `label_spelling`
                what = f"`{name}` is {label!r} in {count} test row{'s' if count > 1 else ''} and in no training row"
                yield finding("shift", firsts[label].source, what)


def _object(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = parse(text.strip())
    except StrictJsonError:
        return None
    return value if isinstance(value, dict) else None


def _are_labels(labels: Sequence[str]) -> bool:
    distinct = set(labels)
    most = min(MOST_LABELS, len(labels) / ROWS_PER_LABEL)
    return 2 <= len(distinct) <= most and max(map(len, distinct)) <= LONGEST_LABEL


def _counts(pairs: Sequence[tuple[Example, str]]) -> tuple[Counter[str], dict[str, Example]]:
    """How many rows each label has, and its first row."""
    firsts: dict[str, Example] = {}
    for row, label in pairs:
        firsts.setdefault(label, row)
    return Counter(label for _, label in pairs), firsts


def _is_slip(label: str, known: str, count: int, frequent: int) -> bool:
    """Whether a rare label differs from a frequent one by one letter; a number that differs is another label."""
    if count > MISSPELLED_SHARE * frequent or min(len(label), len(known)) < 5 or abs(len(label) - len(known)) > 1:
        return False
    digits = ([char for char in one if char.isdigit()] for one in (label, known))
    return is_one_edit(label, known) and next(digits) == next(digits)
