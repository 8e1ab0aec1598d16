"""What a model is shown of each question: a benchmark's templates, read strictly and rendered within limits.

A folder's task.yaml is part of a suite, which may come from anyone, and lm-eval renders templates without a sandbox.
So it never gets one: the harness renders, and lm-eval is told the columns to read.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

from harness.benchmarks.questions import LETTERS, Question, read_subjects
from harness.engine.rendering import render_questions
from harness.errors import InvalidInputError
from harness.limits import YAML_BYTES, read_within
from harness.suite.schema import Benchmark
from harness.suite.source import Document, read

DELIMITERS = ("target_delimiter", "fewshot_delimiter")
# What a folder's task.yaml may say, in lm-eval's words; nothing that runs code or fetches anything.
TASK_KEYS: dict[str, type | UnionType] = {
    "description": str,
    "doc_to_text": str,
    "doc_to_choice": str | list,
    "num_fewshot": int,
    **dict.fromkeys(DELIMITERS, str),
}
REQUIRED = ("doc_to_text", "doc_to_choice")
# lm-eval's names of what it is to read, for the columns that `shown_rows` adds.
COLUMNS = {"description": "shown_description", "doc_to_text": "shown_text", "doc_to_choice": "shown_choices"}


def refuse_unusable_benchmark(name: str, declared: Benchmark, folder: Path) -> None:
    """Read and render all of a benchmark's own files, before anything is spent on it.

    Raises:
        InvalidInputError: naming file and line, or the question that cannot be shown.
    """
    if declared.task == "mmlu":
        if declared.mmlu_dir is not None:
            read_subjects(folder / declared.mmlu_dir)
        return
    template = read_template(folder / declared.task / "task.yaml")
    for subject, sides in read_subjects(folder / declared.task).items():
        for questions in sides:
            shown_rows(template, questions, subject=subject, benchmark=name)


def read_template(file: Path) -> dict[str, Any]:
    """What a task.yaml says.

    Raises:
        InvalidInputError: naming file and line of what it may not say.
    """
    try:
        document = read(read_within(file, YAML_BYTES).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    if not document.problems:
        _find_problems(document)
    if document.problems:
        raise InvalidInputError("\n".join(problem.render(str(file)) for problem in document.problems))
    return dict(document.data)


def _find_problems(document: Document) -> None:
    allowed = f"; allowed are {', '.join(sorted(TASK_KEYS))}"
    if not isinstance(document.data, dict):
        return document.refuse(document.position(()), (), f"no mapping of keys{allowed}")
    for key, value in document.data.items():
        if key not in TASK_KEYS:
            document.refuse(document.position((key,), of_key=True), (), f"unknown key {key}{allowed}")
        elif isinstance(value, bool) or not isinstance(value, TASK_KEYS[key]) or (isinstance(value, int) and value < 0):
            document.refuse(document.position((key,)), (key,), f"cannot be {value!r:.80}")
    for key in REQUIRED:
        if key not in document.data:
            document.refuse(document.position(()), (key,), "is required")


def shown_rows(
    template: Mapping[str, Any], questions: Sequence[Question], *, subject: str, benchmark: str
) -> list[dict[str, Any]]:
    """Each question as lm-eval's document, with what the templates make of it.

    Raises:
        InvalidInputError: a template cannot be rendered, or the choices are not one text for each answer.
    """
    rows: list[dict[str, Any]] = [
        {
            "question_id": question.id,
            "question": question.question,
            "choices": list(question.choices),
            "answer": question.answer,
            "letter": LETTERS[question.answer],
        }
        for question in questions
    ]
    named = {key: f"`{key}` of benchmark {benchmark}" for key in COLUMNS}
    texts = _shown(template["doc_to_text"], rows, named["doc_to_text"])
    descriptions = _shown(template.get("description", ""), rows, named["description"])
    choices = _choices(template["doc_to_choice"], rows, named["doc_to_choice"])
    for row, text, description, answers in zip(rows, texts, descriptions, choices, strict=True):
        row["shown_text"] = str(text)
        row["shown_description"] = str(description).replace("{subject}", subject.replace("_", " "))
        row["shown_choices"] = answers
    return rows


def _choices(declared: str | list[Any], rows: Sequence[dict[str, Any]], name: str) -> list[list[str]]:
    """The texts that are scored for each question: a list for all of them, or a template that writes one."""
    found = [declared] * len(rows) if isinstance(declared, list) else map(_literal, _shown(declared, rows, name))
    every = []
    for row, choices in zip(rows, found, strict=True):
        right = isinstance(choices, list) and all(isinstance(choice, str) for choice in choices)
        if not right or len(choices) != len(row["choices"]):
            count, question = len(row["choices"]), row["question_id"]
            raise InvalidInputError(f"{name}: must give a list of {count} texts for {question}, not {choices!r:.80}")
        every.append(choices)
    return every


def _shown(declared: str, rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """What stands under the column of this name, else what the template makes of each row."""
    if rows and declared in rows[0]:
        return [row[declared] for row in rows]
    if "{" not in declared:
        return [declared] * len(rows)
    return render_questions(declared, rows, name)


def _literal(text: Any) -> Any:
    """What a template wrote in Python's words, as lm-eval's do; the value itself where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
