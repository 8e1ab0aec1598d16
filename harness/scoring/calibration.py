"""Stated confidence: how far it is from being right, answer by answer (Brier) and over a data set (ECE)."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.records import Score, ScoreResult, Unscored
from harness.scoring.json_schema import extract_json
from harness.scoring.text import exact_match
from harness.strict_json import canonical

FIELD = "confidence"  # of a JSON answer
BINS = 10

_NUMBER = r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s?(?P<percent>%?)(?![\w%])"
_STATEMENT = re.compile(rf"\bconfidence\b[\s*_]{{0,5}}[:=][\s*_]{{0,5}}{_NUMBER}", re.IGNORECASE)
_SHARE = re.compile(_NUMBER)

Scorer = Callable[[str, str], ScoreResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The answers with a confidence in (low, high], the first bin with 0: their mean confidence and accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The expected calibration error of `n` answers, 0 (best) to 1, and the bins that are not empty."""

    error: float
    n: int
    bins: tuple[Bin, ...]


def brier(text: str, target: str, *, correct: Scorer = exact_match) -> ScoreResult:
    """1 - (p - c)², where p is the confidence that the answer states and c is 1 when it is right, else 0.

    One minus the Brier score (Brier 1950), so that higher is better. It is right when `correct` gives it 1, the
    statement of the confidence left out of answer and target. 0 when no confidence from 0 to 1 is stated; Unscored
    when `correct` has no score.
    """
    rest, confidence = split_confidence(text)
    score = correct(rest, split_confidence(target)[0])
    if isinstance(score, Unscored):
        return score
    if confidence is None:
        return Score(0.0)
    return Score(1 - (confidence - float(score.value == 1)) ** 2)


def split_confidence(text: str) -> tuple[str, float | None]:
    """A text without its statement of confidence, and the confidence, 0 to 1; None when it states no usable one.

    Read are the field `confidence` of a JSON object, and the last "Confidence: 80%" or "confidence = 0.8" of any
    other text. A number without a percent sign must lie between 0 and 1: "Confidence: 80" could mean anything.
    """
    value = extract_json(text)
    if isinstance(value, dict) and FIELD in value:
        rest = {key: member for key, member in value.items() if key != FIELD}
        return canonical(rest), _share(value[FIELD])
    if statements := list(_STATEMENT.finditer(text)):
        last = statements[-1]
        before, after = text[: last.start()].rstrip(" \t\r\n,;(*_–—-"), text[last.end() :].lstrip("*_). ")
        return f"{before}\n{after}", _share(last["number"] + last["percent"])
    return text, None


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], *, bins: int = BINS
) -> Calibration:
    """The mean gap between confidence and accuracy over equal bins of confidence, weighted by their answers.

    ECE of Naeini et al. 2015 with the bins (k/B, (k+1)/B] of Guo et al. 2017. It depends on the number of bins and
    is biased upward where bins hold few answers, so it describes and does not decide.

    Raises:
        ValueError: no answers, unequal lengths, a confidence outside 0 to 1, or no bins.
    """
    if len(confidences) != len(correct) or not confidences:
        raise ValueError(f"{len(confidences)} confidences and {len(correct)} outcomes have no calibration")
    if bins < 1:
        raise ValueError(f"{bins} bins cannot hold anything")
    if not all(0 <= confidence <= 1 for confidence in confidences):  # NaN is not either
        raise ValueError("a confidence must lie between 0 and 1")
    edges = [k / bins for k in range(1, bins)]  # divided, so that 0.7 stands on the edge 7/10 and not beside it
    members: dict[int, list[int]] = {}
    for index, confidence in enumerate(confidences):
        members.setdefault(bisect_left(edges, confidence), []).append(index)
    found = tuple(
        Bin(
            low=place / bins,
            high=(place + 1) / bins,
            n=len(rows),
            confidence=math.fsum(confidences[row] for row in rows) / len(rows),
            accuracy=sum(correct[row] for row in rows) / len(rows),
        )
        for place, rows in sorted(members.items())
    )
    gaps = math.fsum(item.n * abs(item.accuracy - item.confidence) for item in found)
    return Calibration(error=gaps / len(confidences), n=len(confidences), bins=found)


def _share(value: object) -> float | None:
    """0.8, "0.8" or "80%" as 0.8; None for what is not between 0 and 1."""
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip())):
        # Through decimal text, so that 80% is the same float as 0.8.
        value = float(f"{match['number']}e-2") if match["percent"] else float(match["number"])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None
