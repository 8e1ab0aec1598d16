"""What the answers of a data set are: JSON, labels, numbers, short answers or texts."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.data.infer_schema import infer_schema
from harness.data.labels import label_series
from harness.records import Example
from harness.scoring.numeric import last_number
from harness.strict_json import StrictJsonError, parse

Kind = Literal["json", "labels", "numbers", "worked out", "short", "text"]

MOST_RATINGS = 10  # different numbers, for them to be labels
MOST_WORDS = 5  # of an answer in the median, for it to be right or wrong as a whole
SHOWN = 3  # rows named in one remark
_NUMBER = re.compile(r"[-+−]?[$€£¥]?\s?[\d.,/]*\d\s?%?")
_CONCLUSION = re.compile(
    r"(?:#+|(?:the )?(?:final )?answer(?: is)?:?|=)\s*[-+−]?[$€£¥]?\s?[\d.,/]*\d\s?%?\.?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What kind the answers are; `labels` from the most frequent, a `schema` of JSON, and words in the median.

    `odd` names rows that are not like the others, with what is odd about them.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    words: int = 0
    odd: str = ""


def describe_answers(rows: Sequence[Example]) -> Answers:
    """The kind of the answers to labelled rows or preferences, of which there is at least one.

    JSON when every answer is an object or an array; "worked out" when every last line states a number after words such
    as "answer:" or "####"; labels as `harness lint` takes them.
    """
    texts = [(row.target or "").strip() for row in rows]
    values = [_container(text) for text in texts]
    if None not in values:
        return Answers(kind="json", schema=infer_schema(values))
    words = round(statistics.median(len(text.split()) for text in texts))
    no_json = [row.source for row, value in zip(rows, values, strict=True) if value is None]
    odd = ""
    if len(no_json) * 2 < len(rows):
        more = f" and {len(no_json) - SHOWN} more" if len(no_json) > SHOWN else ""
        odd = (
            f"{', '.join(no_json[:SHOWN])}{more}: no JSON, as {len(rows) - len(no_json):,} of {len(rows):,} answers are"
        )
    counts = Counter(texts)
    are_numbers = all(_NUMBER.fullmatch(text) and last_number(text) is not None for text in counts)
    if are_numbers and len(counts) > MOST_RATINGS:
        return Answers(kind="numbers")
    if "answer" in label_series(rows) and not odd:
        return Answers(kind="labels", labels=tuple(label for label, _ in counts.most_common()))
    if are_numbers:
        return Answers(kind="numbers")
    if all(_CONCLUSION.fullmatch(text.splitlines()[-1].strip()) for text in counts):
        return Answers(kind="worked out", words=words)
    return Answers(kind="short" if words <= MOST_WORDS or odd else "text", words=words, odd=odd)


def _container(text: str) -> dict[str, Any] | list[Any] | None:
    if not text.startswith(("{", "[")):
        return None
    try:
        value = parse(text)
    except StrictJsonError:
        return None
    return value if isinstance(value, dict | list) else None
