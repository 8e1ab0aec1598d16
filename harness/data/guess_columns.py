"""Guess from the names of a file's columns which is the question, the answer and the group, and which are remarks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from harness.data.columns import rename_columns
from harness.data.formats import SHARED_KEYS, detect
from harness.data.sources import Row
from harness.errors import InvalidInputError

# Keys that make a labelled row or a preference as they are.
_COMPLETE = (
    {"chosen", "rejected"},
    {"messages"},
    {"conversations"},
    {"instruction", "output"},
    {"prompt", "completion"},
)
# Names as they are met in published data sets, in any case; of the first two, and of the last two, one each.
QUESTIONS = ("prompt", "question", "query", "instruction", "request", "utterance", "sentence", "text", "message")
CONTEXTS = ("input", "context", "passage", "document")
ANSWERS = ("completion", "answer", "response", "output")
LABELS = ("label", "label_text", "label_name", "labels", "intent", "category", "class", "sentiment", "target")
GROUPS = (
    "cluster", "cluster_id", "group", "group_id", "document_id", "doc_id", "source_id", "conversation_id", "thread_id",
    "session_id", "user_id", "customer_id", "patient_id", "author_id", "author",
)  # fmt: skip
LONGEST_ID = 200  # characters
NEARLY = 0.75  # of the letters of a misspelt name are those of the known one, in order

Values = Mapping[str, Sequence[Any]]  # column -> what the rows that have it hold


def guess_columns(rows: Sequence[Row]) -> dict[str, str | list[str]]:
    """What `data.columns` must say for rows to be read: key -> column, or several; `meta` are those set aside.

    A column of a known name is taken for a group when its texts or whole numbers come again.

    Raises:
        InvalidInputError: the rows are in no known format, and which columns are the question and the answer cannot be
            told from their names.
    """
    held: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for column, value in row.value.items():
            held[column].append(value)
    columns: dict[str, str | list[str]] = {}
    if rows and not any(keys <= held.keys() for keys in _COMPLETE):
        columns |= _question_and_answer(held, rows[0].where)
    if (group := _group(held)) is not None and group != "cluster":
        columns["cluster"] = group
    if aside := _set_aside(held, rename_columns(tuple(rows), columns), set(columns.values())):
        columns["meta"] = aside
    return columns


def _question_and_answer(held: Values, where: str) -> dict[str, str | list[str]]:
    """Question and answer, with a context as in an Alpaca row; a key that a column is called by already is left out."""
    question, context = _one_of(QUESTIONS, held, where), _one_of(CONTEXTS, held, where)
    answer = _one_of(ANSWERS, held, where) or _one_of(LABELS, held, where)
    if question is None:
        question, context = context, None
    if question is None or answer is None:
        lacking, names = ("a question", QUESTIONS) if question is None else ("an answer", (*ANSWERS, *LABELS))
        near = _misspelt([column for column in held if column not in (question, context, answer)], names)
        raise InvalidInputError(f"{where}: no column is {lacking} by its name{near}; {_what_to_do(held)}")
    if context is not None or question == "instruction":
        named = {"instruction": question, "input": context, "output": answer}
    else:
        named = {"prompt": question, "completion": answer}
    return {key: column for key, column in named.items() if column is not None and column != key}


def _misspelt(columns: Sequence[str], names: Sequence[str]) -> str:
    """A question about the first column whose name is nearly a known one."""
    for column in columns:
        if close := get_close_matches(column.casefold(), names, n=1, cutoff=NEARLY):
            return f" (did you mean `{column}` for `{close[0]}`?)"
    return ""


def _one_of(names: Sequence[str], held: Values, where: str) -> str | None:
    """The one column of these names; InvalidInputError when there are several, or it holds something else than text."""
    found = [column for column in held if column.casefold() in names]
    texts = [column for column in found if all(isinstance(value, str) for value in held[column])]
    if len(texts) > 1:
        several = " and ".join(f"`{column}`" for column in texts)
        raise InvalidInputError(f"{where}: {several} may each be what is meant; {_what_to_do(held)}")
    if found and not texts:
        raise InvalidInputError(
            f"{where}: `{found[0]}` holds something else than text; write what the model reads or answers as text, "
            "a label by its name"
        )
    return texts[0] if texts else None


def _what_to_do(held: Values) -> str:
    columns = ", ".join(held) or "none"
    return (
        "call the question `prompt` and the answer `completion`, or give `messages`, `conversations` (ShareGPT), "
        f"`instruction` with `output` (Alpaca), or `chosen` and `rejected`; the columns are {columns}"
    )


def _group(held: Values) -> str | None:
    """The first column, by the order of `GROUPS`, whose values come again."""
    named = {column.casefold(): column for column in reversed(list(held))}
    for name in GROUPS:
        values = held.get(named.get(name, ""), ())
        is_named = values and all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
        if is_named and 1 < len(set(values)) < len(values):
            return named[name]
    return None


def _set_aside(held: Values, rows: tuple[Row, ...], taken: set[Any]) -> list[str]:
    """The columns that no format of the rows has a place for, and an `id` that is none."""
    known = set(SHARED_KEYS) | taken
    for row in rows:
        try:
            known.update(detect(row.value).keys)
        except ValueError:
            continue  # told with its line when the row is read
    aside = [column for column in held if column not in known]
    is_no_id = "id" in held and "id" not in taken and not _are_ids(held["id"])
    return [*aside, "id"] if is_no_id else aside


def _are_ids(values: Sequence[Any]) -> bool:
    are_texts = all(isinstance(value, str) and value.strip() and len(value) <= LONGEST_ID for value in values)
    return are_texts and len(set(values)) == len(values)
