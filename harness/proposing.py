"""Propose how a new suite judges its answers: scorers, checks, arms, prompts and limits, each with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data.answer_kinds import Answers
from harness.data.labels import imbalance, label_series
from harness.records import Example, Score
from harness.scoring.apply import SCORERS, apply_scorer
from harness.stats.proportion import cases_needed
from harness.suite.schema import Statistics
from harness.suite.training import Train

MOST_NAMED = 100  # labels that a prompt lists and a grammar allows
LONGEST_SHOWN = 4000  # characters of a schema in a prompt
BARS = (0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5)  # of valid output; the last can be shown by ten cases
FEWEST_NEW_TOKENS, MOST_NEW_TOKENS = 16, 1024
LONGEST_ROW = 8192  # tokens, the context of the model that a new suite names
TOKENS_PER_MESSAGE = 16  # at most, around each; beside them a text has at most as many tokens as bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a new suite asks: `scorer` decides and those `shown` are reported beside it, each with its reason.

    The prompts are None where the rows have system messages of their own. `constrained` is what the arm under a grammar
    declares beside its kind. `bar` is the share of valid output that the test rows can show.
    """

    scorer: str
    reason: str
    shown: Mapping[str, str]
    plain: str | None
    engineered: str | None
    constrained: Mapping[str, str] | None
    schema: Mapping[str, Any] | None
    bar: float | None
    is_weak: bool  # the scorer sees similar words, and not whether they are right
    max_new_tokens: int
    max_length: int | None


def propose(answers: Answers, train: Sequence[Example], test: Sequence[Example]) -> Proposal:
    """Propose a suite for answers of this kind, which the rows to train on and to test on have."""
    rows = [*train, *test]
    scorer, reason, shown = _scorers(answers, rows, test)
    plain, engineered = _under_system(_prompts(answers, train), rows)
    labels = [label for label in answers.labels if label]
    constrained: dict[str, str] | None = None
    if answers.kind == "json":
        constrained = {}
    elif 0 < len(labels) <= MOST_NAMED:
        constrained = {"regex": "|".join(map(_escaped, labels))}
    return Proposal(
        scorer=scorer,
        reason=reason,
        shown=shown,
        plain=plain,
        engineered=engineered,
        constrained=constrained,
        schema=answers.schema,
        bar=_bar(len(test)) if answers.schema is not None else None,
        is_weak=SCORERS[scorer].weak,
        max_new_tokens=_answer_limit(rows),
        max_length=_row_limit(rows, plain or ""),
    )


def _scorers(answers: Answers, rows: Sequence[Example], test: Sequence[Example]) -> tuple[str, str, dict[str, str]]:
    """What decides, why, and what is shown beside it."""
    equal = "an answer is right when it equals the row's own"
    match answers.kind:
        case "json":
            shown = {"field_f1": "the share of fields that are right, where not all of them are"}
            return "exact_match", f"{equal} by value; spacing and the order of keys make no difference", shown
        case "labels":
            by_class = "every label counts alike, however rare"
            if any(imbalance(label_series(rows))):
                return (
                    "macro_f1",
                    f"{by_class}; some labels here have ten times the rows of others",
                    {"exact_match": equal},
                )
            return "exact_match", equal, {"macro_f1": by_class}
        case "numbers" | "worked out":
            return "number", "an answer is right when its last number equals that of the row's own", {}
        case "short":
            return "exact_match", equal, {"chrf": "how many characters are the same, where not all of them are"}
        case "text":
            if all(apply_scorer(SCORERS["rouge_l"], row.target or "", row, None) == Score(1.0) for row in test):
                return (
                    "rouge_l",
                    "the answers are free texts: words in common with the row's own",
                    {"chrf": "characters in common"},
                )
            return (
                "chrf",
                "the answers are free texts, some too long or without words for ROUGE-L: characters in common",
                {},
            )


def _bar(cases: int) -> float:
    """The highest bar of valid output that so many cases can show though one of them is invalid."""
    return next(bar for bar in BARS if bar == BARS[-1] or cases_needed(bar, 1, Statistics().alpha) <= cases)


def _prompts(answers: Answers, train: Sequence[Example]) -> tuple[str, str]:
    """The bare system message and the engineered one."""
    match answers.kind:
        case "json" if answers.schema is not None:
            keys = ", ".join(answers.schema.get("properties", ()))
            plain = f"Answer with JSON: {keys}." if 0 < len(keys) <= LONGEST_SHOWN else "Answer with JSON."
            schema = json.dumps(answers.schema, ensure_ascii=False)
            asked = "Answer with one JSON value and nothing else: no explanation, no code fence."
            form = f"\nIt must be valid under this JSON Schema:\n{schema}" if len(schema) <= LONGEST_SHOWN else ""
            return plain, f"{asked}{form}\nAn answer looks like this:\n{(train[0].target or '').strip()}"
        case "labels" if len(answers.labels) <= MOST_NAMED:
            listed = "\n".join(answers.labels)
            asked = "Read the request carefully. Answer with exactly one of these labels, spelled as it is here, and"
            return "Answer with the label that fits.", f"{asked} write nothing else:\n{listed}"
        case "labels":
            return (
                "Answer with the label that fits.",
                "Read the request carefully. Answer with the one label that fits, and write nothing else. Labels are "
                f"written like these:\n{chr(10).join(answers.labels[:10])}",
            )
        case "numbers":
            asked = "Work out the answer carefully. Answer with the number alone, in digits, and write nothing else."
            return "Answer with a number.", asked
        case "worked out":
            last = (train[0].target or "").strip().splitlines()[-1]
            asked = "Work out the answer step by step. End with a line of its own that states the number, like this:"
            return "Answer the question.", f"{asked}\n{last}"
        case "short":
            asked = "Answer the request as briefly as it can be, in exactly the form that is asked for"
            return "Answer the request.", f"{asked}, and write nothing else."
        case _:
            asked = "Answer the request completely and to the point, in exactly the form that is asked for"
            return "Answer the request.", f"{asked}. Answers usually have about {answers.words} words."


def _under_system(prompts: tuple[str, str], rows: Sequence[Example]) -> tuple[str, str] | tuple[None, None]:
    """The prompts beside the rows' own system message, which they would replace; None where it differs by row."""
    own = {tuple(message.content for message in row.messages if message.role == "system") for row in rows}
    if own == {()}:
        return prompts
    if len(own) > 1:
        return None, None
    system = "\n".join(own.pop()).strip()
    return (system, f"{system}\n\n{prompts[1]}") if system else prompts


def _escaped(label: str) -> str:
    """A label as a pattern of Rust's dialect, which knows fewer escapes than Python's."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", label)


def _answer_limit(rows: Sequence[Example]) -> int:
    """Tokens of an answer: generous for the longest, at two bytes a token, since a cut-off answer is never right."""
    longest = max(len(text.encode("utf-8")) for text in _answers(rows))
    return min(MOST_NEW_TOKENS, max(FEWEST_NEW_TOKENS, 8 * (longest // 16 + 2)))


def _row_limit(rows: Sequence[Example], system: str) -> int | None:
    """Tokens of a row that no row can exceed; None where the default is enough."""
    longest = max(
        sum(len(message.content.encode("utf-8")) + TOKENS_PER_MESSAGE for message in row.messages)
        + max(len(text.encode("utf-8")) for text in _answers([row]))
        for row in rows
    )
    longest += len(system.encode("utf-8")) + 2 * TOKENS_PER_MESSAGE
    return None if longest <= Train().max_length else min(LONGEST_ROW, 256 * -(-longest // 256))


def _answers(rows: Sequence[Example]) -> Iterator[str]:
    yield from (text for row in rows for text in (row.target, row.rejected) if text is not None)
