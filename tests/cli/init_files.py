"""Small files of rows, one for each way to write them and each kind of answer, all about invented questions."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planted_suite import prompts

LABELS = ("billing", "delivery", "returns")
COUNT = 60
QUESTIONS = prompts(COUNT, 1)
SENTENCES = prompts(COUNT, 2, words=9)

Row = dict[str, Any]


def label(place: int) -> str:
    return LABELS[place % 3]


def made(row: Callable[[int], Row]) -> list[Row]:
    return [row(place) for place in range(COUNT)]


def lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: Sequence[Row]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    return stream.getvalue()


def said(*texts: str, system: str | None = None) -> list[Row]:
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system is not None else turns


def told(question: str, answer: str) -> list[Row]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


@dataclass(frozen=True)
class Given:
    """A file, what `init` should say of it, the scorer that decides, and what else stands in the suite."""

    name: str
    content: bytes
    found: str
    scorer: str = "exact_match"
    suite: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=("prompts/engineered.txt", "prompts/plain.txt"))

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / self.name
        path.write_bytes(self.content)
        return path


def ticket(place: int) -> Row:
    return {"prompt": QUESTIONS[place], "completion": label(place)}


def queue(place: int) -> str:
    return json.dumps({"queue": label(place), "urgent": place % 2 == 0, "items": [place] * (place % 3)})


LABEL_SUITE = ("scorers:\n  - macro_f1 ", "over: engineered, regex: ")
PAIR_FILES = ("preferences.jsonl", "prompts/engineered.txt", "prompts/plain.txt")
BOTH = {"chosen": lambda i: f"Certainly: {SENTENCES[i]}", "rejected": lambda i: f"No. {SENTENCES[i]}"}

GIVEN = [
    Given("rows.jsonl", lines(made(ticket)), "JSON Lines, 60 rows of prompt and completion", suite=LABEL_SUITE),
    Given("rows.jsonl.gz", gzip.compress(lines(made(ticket))), "rows.jsonl.gz: JSON Lines, 60 rows", suite=LABEL_SUITE),
    Given("rows.json", json.dumps(made(ticket)).encode(), "JSON, 60 rows of prompt and completion", suite=LABEL_SUITE),
    Given("rows.csv", table(made(ticket)), "CSV, 60 rows of prompt and completion", suite=LABEL_SUITE),
    Given(
        "named.csv",
        table(made(lambda i: {"no": i, "Text": QUESTIONS[i], "Label": label(i), "a: {b}": "#"})),
        "its columns: `Text` is the prompt, `Label` is the completion",
        suite=('columns: {prompt: Text, completion: Label, meta: ["no", "a: {b}"]}',),
    ),
    Given(
        "conversations.csv",
        table(made(lambda i: {"messages": json.dumps(said(QUESTIONS[i], label(i)))})),
        "CSV, 60 rows of chat messages",
    ),
    Given(
        "rows.parquet",
        parquet(made(lambda i: ticket(i) | {"user_id": i // 3, "on": datetime.date(2026, 1, 1), "id": i})),
        "Parquet, 60 rows of prompt and completion",
        suite=('columns: {cluster: user_id, meta: ["on", id]}',),
    ),
    Given("chat.jsonl", lines(made(lambda i: {"messages": said(QUESTIONS[i], label(i))})), "60 rows of chat messages"),
    Given(
        "turns.jsonl",
        lines(made(lambda i: {"prompt": said("Hi.", "Yes?", QUESTIONS[i]), "completion": said("", label(i))[1:]})),
        "60 rows of prompt and completion as messages",
    ),
    Given(
        "alpaca.jsonl",
        lines(made(lambda i: {"instruction": "Which queue?", "input": QUESTIONS[i], "output": label(i)})),
        "60 rows of Alpaca",
    ),
    Given(
        "sharegpt.jsonl",
        lines(made(lambda i: {"conversations": told(QUESTIONS[i], label(i)), "model": "x"})),
        "60 rows of ShareGPT",
        suite=("columns: {meta: [model]}",),
    ),
    Given(
        "pairs.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], **{key: of(i) for key, of in BOTH.items()}})),
        "60 rows of preferences",
        "rouge_l",
        ("objective: dpo", "rows: preferences.jsonl", "  - chrf "),
        PAIR_FILES,
    ),
    Given(
        "whole.jsonl",
        lines(made(lambda i: {key: said(QUESTIONS[i], of(i), system="Be kind.") for key, of in BOTH.items()})),
        "60 rows of preferences as whole conversations",
        "rouge_l",
        ("objective: dpo",),
        PAIR_FILES,
    ),
    Given(
        "objects.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": queue(i)})),
        "answers: JSON with queue, urgent, items; scored by exact_match",
        suite=("schema: answer.schema.json", "bar: 80%", "  - field_f1 ", "over: engineered}"),
        files=("answer.schema.json", "prompts/engineered.txt", "prompts/plain.txt"),
    ),
    Given(
        "numbers.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": f"{i / 4:.2f}"})),
        "answers: numbers; scored by number",
        "number",
    ),
    Given(
        "sums.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": f"{i} twice is more.\n#### {2 * i}"})),
        "answers: texts that end with a number; scored by number",
        "number",
    ),
    Given(
        "short.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": f"Room {i}, floor {i % 7}"})),
        "answers: short, 4 words in the median; scored by exact_match",
        suite=("  - chrf ",),
    ),
    Given(
        "texts.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": SENTENCES[i]})),
        "answers: texts, 10 words in the median; scored by rouge_l",
        "rouge_l",
        ("harness\n# review`",),
    ),
    Given(
        "signs.jsonl",
        lines(made(lambda i: {"prompt": QUESTIONS[i], "completion": SENTENCES[i] if i % 3 else "?!" * (i + 1)})),
        "answers: texts, 7 words in the median; scored by chrf",
        "chrf",
    ),
    Given(
        "one system.jsonl",
        lines(made(lambda i: {"messages": said(QUESTIONS[i], label(i), system="You sort post.")})),
        "3 labels",
    ),
    Given(
        "systems.jsonl",
        lines(made(lambda i: {"messages": said(QUESTIONS[i], label(i), system=f"You sort post no. {i % 2}.")})),
        "3 labels",
        suite=("candidate:   {kind: adapter, role: candidate}", "over: prompt-only, regex"),
        files=(),
    ),
]
