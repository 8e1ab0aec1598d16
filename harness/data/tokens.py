"""Rows as token ids: what is over a limit, and answers that do not begin where their prompt ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.data.local_tokenizer import LocalTokenizer
from harness.data.rules import Finding, finding
from harness.engine.chat import prompt_ids, text_ids, training_ids, with_system
from harness.errors import InvalidInputError
from harness.records import Example, Message
from harness.suite.training import Train

BEGINNING = 8  # characters of an answer, which decide whether its first token takes in the end of the prompt
SLACK = 8  # tokens a message, which its borders may cost beside its bytes


def over_training_limit(
    rows: Sequence[Example], tokenizer: LocalTokenizer, train: Train, *, system: str | None
) -> Iterator[Finding]:
    """Rows of more than `train.max_length` tokens; an error where there are more of them than the suite allows.

    Rows of raw text are cut into blocks, so none of them is too long.
    """
    bounds: dict[tuple[str, ...], int] = {}
    over: list[tuple[Example, int]] = []
    for row in rows:
        messages = with_system(row.messages, system)
        answers = [answer for answer in (row.target, row.rejected) if answer is not None and row.messages]
        answers = [a for a in answers if _most_tokens(tokenizer, messages, a, bounds) > train.max_length]
        longest = max((_tokens(tokenizer, messages, answer, train) for answer in answers), default=0)
        if longest > train.max_length:
            over.append((row, longest))
    is_refused = len(over) > train.max_truncated * len(rows)
    for row, tokens in over:
        what = f"the row has {tokens:,} tokens; train.max_length is {train.max_length:,}"
        yield finding("too-long", row.source, what, severity=None if is_refused else "warning")


def not_prefixes(rows: Sequence[Example], tokenizer: LocalTokenizer, *, system: str | None) -> Iterator[Finding]:
    """Rows whose prompt's tokens are not the first tokens of prompt and answer together.

    What stands before an answer is the template's, so it hangs on how the answer begins: each beginning is tried on a
    short conversation, and those that fail on the rows themselves.
    """
    suspect: dict[tuple[str, ...], bool] = {}
    for row in rows:
        if row.target is None or not row.messages:
            continue
        messages = with_system(row.messages, system)
        form = (*(message.role for message in messages), row.target[:BEGINNING])
        if form not in suspect:
            short = [Message(role=message.role, content="a") for message in messages]
            suspect[form] = _refusal(tokenizer, short, row.target[: 2 * BEGINNING]) is not None
        if suspect[form] and (problem := _refusal(tokenizer, messages, row.target)):
            yield finding("not-a-prefix", row.source, problem)


def out_of_reach(rows: Sequence[Example], tokenizer: LocalTokenizer, *, max_new_tokens: int) -> Iterator[Finding]:
    """Held-out rows whose reference answer has more tokens than any system may write."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.target is None or len(row.target.encode("utf-8")) <= max_new_tokens:
            continue
        if row.target not in counts:
            counts[row.target] = len(text_ids(tokenizer, row.target))
        if (tokens := counts[row.target]) > max_new_tokens:
            what = f"the right answer has {tokens:,} tokens; decoding.max_new_tokens is {max_new_tokens:,}"
            yield finding("out-of-reach", row.source, what)


def _tokens(tokenizer: LocalTokenizer, messages: Sequence[Message], answer: str, train: Train) -> int:
    if train.objective == "classification":
        return len(prompt_ids(tokenizer, messages))
    try:
        return sum(map(len, training_ids(tokenizer, messages, answer)))
    except InvalidInputError:
        return 0  # it is reported as what is not a prefix


def _most_tokens(
    tokenizer: LocalTokenizer, messages: Sequence[Message], answer: str, bounds: dict[tuple[str, ...], int]
) -> float:
    """An upper bound of a row's tokens: its bytes, and what the template puts around messages of such roles."""
    roles = tuple(message.role for message in messages)
    if roles not in bounds:
        blank = [Message(role=message.role, content="a") for message in messages]
        try:
            bounds[roles] = sum(map(len, training_ids(tokenizer, blank, "a"))) + SLACK * (len(roles) + 1)
        except InvalidInputError:
            bounds[roles] = 1 << 30  # nothing is known, so that every row is cut into tokens
    return bounds[roles] + sum(len(text.encode("utf-8")) for text in (*(m.content for m in messages), answer))


def _refusal(tokenizer: LocalTokenizer, messages: Sequence[Message], answer: str) -> str | None:
    try:
        training_ids(tokenizer, messages, answer)
    except InvalidInputError as error:
        return str(error)
    return None
