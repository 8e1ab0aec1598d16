"""Confidence, stated or by log-probability: how far it is from right, by answer (Brier) and over a data set (ECE)."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.findings import CalibrationBin
from harness.records import Score, ScoreResult, Unscored
from harness.scoring.json_schema import extract_json
from harness.scoring.text import exact_match
from harness.strict_json import canonical

FIELD = "confidence"  # of a JSON answer
BINS = 10
ROUNDING = 1e-3  # nats; a sum of float32 log-probabilities may lie so far above 0

_NUMBER = r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s?(?P<percent>%?)(?![\w%])"
_STATEMENT = re.compile(rf"\bconfidence\b[\s*_]{{0,5}}[:=][\s*_]{{0,5}}{_NUMBER}", re.IGNORECASE)
_SHARE = re.compile(_NUMBER)

Scorer = Callable[[str, str], ScoreResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The expected calibration error of `n` answers, 0 (best) to 1, and the bins that are not empty."""

    ece: float
    n: int
    bins: tuple[CalibrationBin, ...]


def brier(text: str, target: str, logprob: float | None = None, *, correct: Scorer = exact_match) -> ScoreResult:
    """1 - (p - c)², where p is the `confidence` in the answer and c is 1 when it is right, else 0.

    One minus the Brier score (Brier 1950), so that higher is better. 0 when no confidence from 0 to 1 is stated;
    Unscored when `correct` has no score.

    Raises:
        ValueError: a log-probability that is not finite or above 0.
    """
    found = confidence(text, target, logprob, correct=correct)
    if isinstance(found, Unscored):
        return found
    share, right = found
    return Score(0.0 if share is None else 1 - (share - right) ** 2)


def confidence(
    text: str, target: str, logprob: float | None = None, *, correct: Scorer = exact_match
) -> tuple[float | None, bool] | Unscored:
    """The confidence in an answer, 0 to 1, and whether `correct` gives it 1.

    The confidence is exp(`logprob`), the probability of the whole answer with `logprob` in nats. Without one it is
    what the answer states, None when it states no usable one; then the statement is left out of answer and target
    before they are compared. Unscored when `correct` has no score.

    Raises:
        ValueError: a log-probability that is not finite or above 0.
    """
    if logprob is None:
        (text, share), (target, _) = split_confidence(text), split_confidence(target)
    elif -math.inf < logprob <= ROUNDING:
        share = math.exp(min(logprob, 0.0))
    else:
        raise ValueError(f"a log-probability must be finite and not above 0, not {logprob}")
    score = correct(text, target)
    return score if isinstance(score, Unscored) else (share, score.value == 1)


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


def expected_calibration_error(pairs: Sequence[tuple[float, bool]], *, bins: int = BINS) -> Calibration:
    """The mean gap between confidence and accuracy over equal bins of confidence, weighted by their answers.

    `pairs` holds the confidence of each answer, 0 to 1, and whether it is right. ECE of Naeini et al. 2015 with the
    bins (k/B, (k+1)/B] of Guo et al. 2017. It depends on the number of bins and is biased upward where bins hold
    few answers: confidences that are exactly right, spread evenly over ten bins, show 0.14 with 50 answers, 0.10 with
    100 and 0.06 with 300, on average. So it describes and does not decide, and compares only arms with as many answers.

    Raises:
        ValueError: no answers, a confidence outside 0 to 1, or no bins.
    """
    if not pairs:
        raise ValueError("no answers, so there is no calibration")
    if bins < 1:
        raise ValueError(f"{bins} bins cannot hold anything")
    if not all(0 <= share <= 1 for share, _ in pairs):  # NaN is not either
        raise ValueError("a confidence must lie between 0 and 1")
    edges = [k / bins for k in range(1, bins)]  # divided, so that 0.7 stands on the edge 7/10 and not beside it
    members: dict[int, list[tuple[float, bool]]] = {}
    for share, right in pairs:
        members.setdefault(bisect_left(edges, share), []).append((share, right))
    found = tuple(
        CalibrationBin(
            low=place / bins,
            high=(place + 1) / bins,
            n=len(inside),
            confidence=math.fsum(share for share, _ in inside) / len(inside),
            accuracy=sum(right for _, right in inside) / len(inside),
        )
        for place, inside in sorted(members.items())
    )
    gaps = math.fsum(item.n * abs(item.accuracy - item.confidence) for item in found)
    return Calibration(ece=gaps / len(pairs), n=len(pairs), bins=found)


def _share(value: object) -> float | None:
    """0.8, "0.8" or "80%" as 0.8; None for what is not between 0 and 1."""
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip())):
        # Through decimal text, so that 80% is the same float as 0.8.
        value = float(f"{match['number']}e-2") if match["percent"] else float(match["number"])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None
