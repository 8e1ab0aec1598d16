"""What can be wrong with data: each rule once, with its severity, why it matters and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# An error is what a run refuses too, or what makes its verdict worthless: it blocks.
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The severity of a rule's findings, why they matter in one clause, and what to do."""

    severity: Severity
    why: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with the data: where as "test.jsonl:3", what, and the other row where two are involved."""

    rule: str
    severity: Severity
    where: str
    what: str
    other: str | None = None

    @property
    def why(self) -> str:
        """Why it matters, in one clause."""
        return RULES[self.rule].why

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return RULES[self.rule].remedy


# In the order in which they are shown.
RULES: Mapping[str, Rule] = {
    "leak": Rule(
        "error",
        "a model must not be tested on what it was trained on",
        "remove the row from one of the two sets",
    ),
    "overlap": Rule(
        "error",
        "what should be general is then part of the task",
        "remove the general row",
    ),
    "duplicate-id": Rule(
        "error",
        "two rows with one id cannot be told apart when systems are compared",
        "remove one, or give each an id of its own",
    ),
    "too-long": Rule(
        "error",
        "what is over the limit is cut off before training",
        "raise train.max_length, shorten the rows, or allow a share with train.max_truncated",
    ),
    "not-a-prefix": Rule(
        "error",
        "the model would be trained in a context that it never meets when it answers",
        "change how the answer begins, or take a model with another chat template",
    ),
    "out-of-grammar": Rule(
        "error",
        "a baseline that cannot give the right answer is beaten too easily",
        "correct the grammar or the answer; a typo in a label is the usual cause",
    ),
    "possible-leak": Rule(
        "warning",
        "recalling the trained row may be enough to answer it",
        "compare the two: remove one, or write the held-out row anew",
    ),
    "benchmark-leak": Rule(
        "warning",
        "a benchmark that was trained on cannot show what was forgotten",
        "remove the training row, or take another benchmark",
    ),
    "contradiction": Rule(
        "warning",
        "rows that contradict each other teach a model to guess, and no system can answer both",
        "correct one, or say in the prompt what makes them different",
    ),
    "schema": Rule(
        "warning",
        "a model learns the form that it is shown, and is judged by the schema",
        "correct the answer or the schema",
    ),
    "truncated-answer": Rule(
        "warning",
        "a model learns to stop in the middle",
        "give the whole answer, or remove the row",
    ),
    "out-of-reach": Rule(
        "warning",
        "an answer that is cut off is never the right one",
        "raise decoding.max_new_tokens, or shorten the answer",
    ),
    "label-spelling": Rule(
        "warning",
        "two spellings of one label are two labels to a model and to a scorer",
        "write the label in one way",
    ),
    "shape": Rule(
        "warning",
        "a model meets one form when it is used, and learns less from others",
        "write the row like the others, or make it a task of its own",
    ),
    "template": Rule(
        "warning",
        "a model that has seen one wording is brittle under any other",
        "vary the wording, or make sure that every request comes in this one",
    ),
    "shift": Rule(
        "warning",
        "a score on other inputs than those trained on says little about either",
        "draw both sets from the same source, or tag the shifted rows and judge them apart",
    ),
    "few-rows": Rule(
        "warning",
        "below 100 training rows a prompt usually does better, and fewer than 100 test rows show only large gains",
        "add rows, or stay with a prompt",
    ),
    "imbalance": Rule(
        "warning",
        "a model that always answers the frequent label looks good",
        "add rows of the rare labels, and judge by macro_f1 or by a tag for each label",
    ),
    "personal-data": Rule(
        "warning",
        "a model can repeat what it was trained on to anyone",
        "replace it by an invented value, or make sure that you may use it",
    ),
    "duplicate": Rule(
        "warning",
        "a row that is given twice counts twice",
        "remove one",
    ),
    "near-duplicate": Rule(
        "note",
        "many near copies of one row teach that row and little else",
        "remove one, or write it anew",
    ),
    "no-negatives": Rule(
        "note",
        "a model that is never shown what not to answer answers everything",
        "add rows whose right answer is a refusal, an abstention, or a label for none of the others",
    ),
    "few-per-label": Rule(
        "note",
        "a few hundred rows of each label are usual for a fine-tune to learn it",
        "add rows of these labels",
    ),
    "no-general-data": Rule(
        "note",
        "training on one task alone invites forgetting everything else",
        "mix in general rows with data.mix",
    ),
}


def finding(rule: str, where: str, what: str, *, other: str | None = None, severity: Severity | None = None) -> Finding:
    """A finding of a rule, of the rule's own severity unless another is given."""
    return Finding(rule=rule, severity=severity or RULES[rule].severity, where=where, what=what, other=other)
