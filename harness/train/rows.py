"""The rows of a training as token ids, for each objective in the form that it learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.engine.chat import prompt_ids, text_ids, training_ids, with_system
from harness.engine.loading import LoadedModel
from harness.errors import InvalidInputError
from harness.records import Example
from harness.suite.training import Train

IGNORED = -100  # the label of a token that is not trained


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """What a candidate learns from and what decides when it stops. The test set has no place here."""

    train: tuple[Example, ...]
    mix: tuple[Example, ...]
    validation: tuple[Example, ...]
    system: str | None  # the candidate's system message, as it will have when it answers


@dataclass(frozen=True, slots=True)
class Tokenised:
    """One row as token ids, the answer apart from its prompt."""

    prompt: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class TokenisedPair:
    """A preferred and a rejected answer to the same prompt."""

    chosen: Tokenised
    rejected: Tokenised


def tokenise(
    base: LoadedModel, examples: Sequence[Example], system: str | None, max_length: int
) -> tuple[list[Tokenised], int]:
    """Token ids of each example, and how many are over `max_length` (their prompts lose their beginning)."""
    whole = [_answered(base, example, example.target, system) for example in examples]
    return [_cut(row, max_length) for row in whole], sum(row.length > max_length for row in whole)


def tokenise_pairs(
    base: LoadedModel, examples: Sequence[Example], system: str | None, max_length: int
) -> tuple[list[TokenisedPair], int]:
    """Token ids of each preferred and rejected answer, and how many pairs are over `max_length`."""
    pairs, cut = [], 0
    for example in examples:
        both = [_answered(base, example, answer, system) for answer in (example.target, example.rejected)]
        cut += any(row.length > max_length for row in both)
        pairs.append(TokenisedPair(*(_cut(row, max_length) for row in both)))
    return pairs, cut


def tokenise_prompts(
    base: LoadedModel, examples: Sequence[Example], system: str | None, max_length: int
) -> tuple[list[list[int]], int]:
    """Token ids of each prompt alone, and how many are over `max_length` (they lose their beginning)."""
    rows = [prompt_ids(base.tokenizer, with_system(example.messages, system)) for example in examples]
    return [ids[-max_length:] for ids in rows], sum(len(ids) > max_length for ids in rows)


def tokenise_texts(base: LoadedModel, examples: Sequence[Example], max_length: int) -> list[Tokenised]:
    """Texts, each with its end, one behind the other and cut into blocks of `max_length` tokens; all are trained."""
    stream: list[int] = []
    for example in examples:
        stream += text_ids(base.tokenizer, str(example.target))
        stream.append(int(base.tokenizer.eos_token_id))
    blocks = [stream[first : first + max_length] for first in range(0, len(stream), max_length)]
    # The first token of a block is predicted from nothing, so a block of one token has none to train.
    return [Tokenised(block[:1], block[1:]) for block in blocks if len(block) > 1]


def labelled(rows: Sequence[Tokenised]) -> list[dict[str, list[int]]]:
    """Rows as transformers' Trainer takes them, without a label on the prompt."""
    return [{"input_ids": row.prompt + row.answer, "labels": [IGNORED] * len(row.prompt) + row.answer} for row in rows]


def refuse_truncation(cut: int, rows: int, train: Train) -> None:
    """Refuse more rows over the limit than the suite allows.

    Raises:
        InvalidInputError: more than `max_truncated` of the rows.
    """
    if cut > train.max_truncated * rows:
        raise InvalidInputError(
            f"train.max_length: {cut} of {rows} rows have more than {train.max_length} tokens and would be cut; "
            "raise max_length, shorten the rows, or allow a share with train.max_truncated"
        )


def count_tokens(base: LoadedModel, rows: TrainingRows, train: Train) -> tuple[int, int]:
    """Tokens of one epoch, and of one measurement of the validation loss."""
    trained = sum(_lengths(base, rows.train, rows.system, train)) + sum(_lengths(base, rows.mix, None, train))
    return trained, sum(_lengths(base, rows.validation, rows.system, train))


def _lengths(base: LoadedModel, examples: Sequence[Example], system: str | None, train: Train) -> Iterator[int]:
    limit = train.max_length
    if train.objective == "dpo":
        for pair in tokenise_pairs(base, examples, system, limit)[0]:
            yield pair.chosen.length + pair.rejected.length
    elif train.objective == "classification":
        yield from map(len, tokenise_prompts(base, examples, system, limit)[0])
    elif train.objective == "continued_pretraining":
        yield from (row.length for row in tokenise_texts(base, examples, limit))
    else:
        yield from (row.length for row in tokenise(base, examples, system, limit)[0])


def _answered(base: LoadedModel, example: Example, answer: str | None, system: str | None) -> Tokenised:
    assert answer is not None  # the data was read as what this objective needs
    return Tokenised(*training_ids(base.tokenizer, with_system(example.messages, system), answer))


def _cut(row: Tokenised, max_length: int) -> Tokenised:
    if row.length <= max_length:
        return row
    keep = max(1, max_length - len(row.answer))
    return replace(row, prompt=row.prompt[-keep:], answer=row.answer[: max_length - 1])
