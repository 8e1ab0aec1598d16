"""Whether the rows of a set are like each other, and whether a set has what training needs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.data.folding import fold
from harness.data.rules import Finding, finding
from harness.data.splits import prompt_key
from harness.data.templates import shared_openings
from harness.records import Example
from harness.scoring.abstention import abstains
from harness.scoring.refusal import ANSWER, REFUSE, refuses
from harness.strict_json import StrictJsonError, parse

USUAL = 0.9  # of the rows, for the rest to be exceptions
FEWEST_FOR_SHAPE = 10
TEMPLATE_SHARE = 0.9  # of all prompts (MISSION 52)
SHOWN_KEYS = 8
# Answers that say that there is no answer, or none of the others.
NEGATIVES = (
    "null", "none", "other", "others", "unknown", "unclear", "n/a", "not applicable", "not specified", "not found",
    "no answer", "not enough information", "unanswerable", "out of scope", "unsupported", "irrelevant", "neither",
    "none of the above", "none of these", "i don't know", "i do not know", "i cannot know", "i can't know",
    "i'm not sure", "i am not sure", "cannot be determined", "can't be determined", "it is not possible to",
)  # fmt: skip


def odd_rows(rows: Sequence[Example], *, has_schema: bool) -> Iterator[Finding]:
    """Rows that have another form than nine in ten of their set, and turns that do not alternate.

    Where a schema judges the answers, their keys are its business.
    """
    forms = [_form(row, has_schema=has_schema) for row in rows]
    for aspect in dict.fromkeys(aspect for form in forms for aspect in form):
        having = [(row, form[aspect]) for row, form in zip(rows, forms, strict=True) if aspect in form]
        counts = Counter(value for _, value in having)
        usual, count = counts.most_common(1)[0]
        if len(having) >= FEWEST_FOR_SHAPE and USUAL * len(having) <= count < len(having):
            for row, value in having:
                if value != usual:
                    what = f"{aspect} {value}, and {usual} in {count:,} of {len(having):,} rows"
                    yield finding("shape", row.source, what)
    for row in rows:
        roles = [message.role for message in row.messages if message.role != "system"]
        if any(role == following for role, following in itertools.pairwise(roles)):
            yield finding("shape", row.source, "two messages of the same role follow each other")
        if any(message.role == "system" for message in row.messages[1:]):
            yield finding("shape", row.source, "a system message stands after other messages")


def unlike_training(train: Sequence[Example], test: Sequence[Example]) -> Iterator[Finding]:
    """Aspects in which nearly all test rows have another form than nearly all training rows."""
    usual = [_usual_form(rows) for rows in (train, test)]
    for aspect, value in usual[1].items():
        trained = usual[0].get(aspect, value)
        if trained != value:
            yield finding("shape", test[0].source, f"{aspect} {value} in test rows, and {trained} in training rows")


def template(rows: Sequence[Example]) -> Iterator[Finding]:
    """Whether nine prompts in ten open, or close, with the same words."""
    if len(rows) < FEWEST_FOR_SHAPE:
        return
    keys = [prompt_key(row) for row in rows]
    fewest = round(TEMPLATE_SHARE * len(rows))
    for how, texts in (("open", keys), ("close", [key[::-1] for key in keys])):
        lengths = shared_openings(texts, fewest)
        longest = max(lengths)
        # Prompts that are the same from one end to the other are duplicates, not a template.
        if longest and any(longest < len(key) for key in keys):
            first = lengths.index(longest)
            shared = texts[first][:longest] if how == "open" else texts[first][:longest][::-1]
            what = f"{lengths.count(longest):,} of {len(rows):,} prompts {how} with {_shortened(shared)!r}"
            yield finding("template", rows[first].source, what)


def missing_negatives(train: Sequence[Example], test: Sequence[Example], place: str) -> Iterator[Finding]:
    """Whether no training row shows what not to answer; a warning where test rows ask for it."""
    if not train or _first_negative(train) is not None:
        return
    if asked := _first_negative(test):
        what = "this test row is to be refused or left open, and no training row shows such an answer"
        yield finding("no-negatives", asked.source, what, severity="warning")
    else:
        yield finding("no-negatives", place, "no training row is refused, left open, or labelled as none of the others")


def _form(row: Example, *, has_schema: bool) -> dict[str, str]:
    """Aspect -> what the row is like, in words that follow the aspect's."""
    if not row.messages:
        return {}
    turns = sum(message.role == "user" for message in row.messages)
    form = {
        "a system message": "is there" if row.messages[0].role == "system" else "is missing",
        "the conversation": "has one turn" if turns == 1 else "has several turns",
    }
    if row.target is not None:
        form["the answer"], keys = _answer_form(row.target)
        if keys is not None and not has_schema:
            form["the keys of the answer"] = f"are {keys}"
    return form


def _answer_form(target: str) -> tuple[str, str | None]:
    """What an answer is, and the keys of one that is a JSON object."""
    if not target.lstrip().startswith(("{", "[")):
        return "is text", None
    try:
        value = parse(target.strip())
    except StrictJsonError:
        return "is text", None
    if isinstance(value, list):
        return "is a JSON array", None
    keys = sorted(value)
    return "is a JSON object", ", ".join(keys[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "") or "none"


def _usual_form(rows: Sequence[Example]) -> dict[str, str]:
    forms = [_form(row, has_schema=True) for row in rows]
    usual = {}
    for aspect in dict.fromkeys(aspect for form in forms for aspect in form):
        value, count = Counter(form[aspect] for form in forms if aspect in form).most_common(1)[0]
        if count >= USUAL * len(rows):
            usual[aspect] = value
    return usual


def _first_negative(rows: Iterable[Example]) -> Example | None:
    judged: dict[str, bool] = {}
    for row in rows:
        if REFUSE in row.tags and ANSWER not in row.tags:
            return row
        target = row.target or ""
        if target not in judged:
            judged[target] = _is_negative(target)
        if judged[target]:
            return row
    return None


def _is_negative(target: str) -> bool:
    if not target.strip():
        return False
    try:
        value = parse(target.strip())
    except StrictJsonError:
        return abstains(target, NEGATIVES) or refuses(target)
    return _has_negative(value)


def _has_negative(value: object) -> bool:
    """Whether a JSON value, or one inside it, is empty or says that there is none."""
    if isinstance(value, dict):
        return not value or any(map(_has_negative, value.values()))
    if isinstance(value, list):
        return not value or any(map(_has_negative, value))
    return value is None or (isinstance(value, str) and (not value.strip() or fold(value) in _FOLDED_NEGATIVES))


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


_FOLDED_NEGATIVES = {fold(negative) for negative in NEGATIVES}
