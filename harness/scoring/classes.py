"""Answers that are one class each: macro-averaged F1 over a set of answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.records import ScoreResult, Unscored
from harness.scoring.text import Form, answer_form, exact_match, target_form

HIT, FALSE_ALARM, MISS = range(3)


def macro_f1(text: str, target: str) -> ScoreResult:
    """1 when the answer is the class that the target names, as `exact_match` compares, else 0: one answer has no F1.

    Unscored when the target is empty, since it names no class.
    """
    if not target.strip():
        return Unscored("the target is empty, so it names no class")
    return exact_match(text, target)


def macro_f1_statistics(
    texts: Sequence[str], targets: Sequence[str]
) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], NDArray[np.float64]]]:
    """What macro-averaged F1 is made of: hits, false alarms and misses of each class, which add up over answers.

    The score is the mean over classes of 2·hits / (2·hits + false alarms + misses) (Opitz & Burst 2019), the same as
    scikit-learn's f1_score(average="macro", labels=classes of the targets, zero_division=0). Texts are the same class
    when `exact_match` says that one is the other. An answer that is no class of the targets is a miss of its
    target's class and a false alarm of none. The classes are those of the targets that are summed: a resample that
    drew no target of a class is scored without it.

    Args:
        texts: the answers.
        targets: one class for each answer, in the same order; an empty one is no class.

    Returns:
        The statistics, shape (answers, 3·classes), and the function that turns their sums over any multisets of
        answers, shape (..., 3·classes), into scores from 0 to 1, shape (...); 0 where no target has a class.

    Raises:
        ValueError: unequal numbers of texts and targets.
    """
    wanted: list[Form] = [target_form(target) for target in targets]
    classes: dict[Form, int] = {form: n for n, form in enumerate(dict.fromkeys(form for form in wanted if form))}
    kinds = list({type(form): form for form in classes}.values())
    counts = np.zeros((len(texts), 3, len(classes)), dtype=np.int64)
    for row, (text, form) in enumerate(zip(texts, wanted, strict=True)):
        given = _class_of(text, form, classes, kinds)
        if form in classes:
            counts[row, HIT if given == form else MISS, classes[form]] = 1
        if given is not None and given != form:
            counts[row, FALSE_ALARM, classes[given]] = 1
    return counts.reshape(len(texts), 3 * len(classes)), _macro_average


def _class_of(text: str, wanted: Form, classes: Collection[Form], kinds: Sequence[Form]) -> Form | None:
    """The class that an answer is; of two, words and the JSON among them, the one that is wanted."""
    forms = [form for kind in kinds if (form := answer_form(text, like=kind)) in classes]
    return wanted if wanted in forms else next(iter(forms), None)


def _macro_average(totals: NDArray[np.int64]) -> NDArray[np.float64]:
    hits, false_alarms, misses = np.split(totals, 3, axis=-1)
    occurring = np.count_nonzero(hits + misses, axis=-1)
    f1 = 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)  # 0 for a class that does not occur
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurring, 1))
