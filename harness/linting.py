"""Find what is wrong with the data of a suite before anything is computed on it; no model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.benchmarks.questions import Question, read_subjects
from harness.data.amounts import no_general_data, places, task_rows
from harness.data.folding import fold
from harness.data.lint import Rows, RowSets, in_order, lint_rows
from harness.data.local_tokenizer import LocalTokenizer
from harness.data.out_of_grammar import out_of_grammar
from harness.data.rules import Finding
from harness.data.splits import Datasets, read_datasets, schema_path
from harness.data.tokens import not_prefixes, out_of_reach, over_training_limit
from harness.errors import ExitCode, InvalidInputError
from harness.limits import TEXT_BYTES, read_within
from harness.prepare import system_message, written_grammars
from harness.records import Example, Message
from harness.scoring.json_schema import SchemaValidator
from harness.strict_json import StrictJsonError, parse
from harness.suite.load import LoadedSuite


@dataclass(frozen=True, slots=True, kw_only=True)
class LintResult:
    """What was found, which rules could not be asked, and what was read and done, in exact counts."""

    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...]
    rows: Mapping[str, int]
    work: Mapping[str, int]

    @property
    def exit_code(self) -> ExitCode:
        """Invalid when an error was found, as for any data that a run refuses; else as for a command that succeeded."""
        return ExitCode.INVALID if any(found.severity == "error" for found in self.findings) else ExitCode.SHIP


def lint_suite(loaded: LoadedSuite, *, model: Path | None) -> LintResult:
    """Ask every rule about the rows of a suite. `model` is the folder of its base model, where it is on this machine.

    Raises:
        InvalidInputError: rows, a schema or benchmark questions that cannot be read, with file and line.
    """
    datasets = read_datasets(loaded)
    sets = _row_sets(loaded, datasets)
    work: Counter[str] = Counter()
    validator = _read_validator(loaded)
    found = list(lint_rows(sets, validator=validator, work=work))
    found += out_of_grammar(loaded, datasets.test, written_grammars(loaded), validator)
    found += no_general_data(loaded)
    not_checked = []
    tokenizer = _read_tokenizer(model)
    if isinstance(tokenizer, LocalTokenizer):
        found += _lint_tokens(loaded, datasets, tokenizer)
    else:
        rules = "too-long, not-a-prefix and out-of-reach"
        not_checked.append(f"{rules} were not checked: they need the model's tokenizer, and {tokenizer}")
    named = sets.own | {f"benchmark {name}": rows for name, rows in sets.questions.items()}
    return LintResult(
        findings=in_order(iter(found)),
        not_checked=tuple(not_checked),
        rows={name: len(rows) for name, rows in named.items() if rows},
        work=dict(work),
    )


def _row_sets(loaded: LoadedSuite, datasets: Datasets) -> RowSets:
    suite = loaded.suite
    return RowSets(
        task=task_rows(suite, datasets),
        validation=() if isinstance(suite.data.validation, float) else datasets.validation,
        general=datasets.mix,
        test=datasets.test,
        probe=datasets.probe,
        questions=_read_questions(loaded),
        places=places(loaded),
    )


def _read_questions(loaded: LoadedSuite) -> dict[str, Rows]:
    """Benchmark -> the questions of its folder; those that lie on the hub are not fetched."""
    questions = {}
    for name, declared in loaded.suite.benchmarks.items():
        folder = declared.mmlu_dir if declared.task == "mmlu" else declared.task
        if folder is not None:
            subjects = {name: test for name, (test, _) in read_subjects(loaded.resolve(folder)).items()}
            stems = Counter(fold(question.question) for test in subjects.values() for question in test)
            asked = (_as_examples(subject, test, stems) for subject, test in subjects.items())
            questions[name] = tuple(chain(*asked))
    return questions


def _as_examples(subject: str, questions: tuple[Question, ...], stems: Mapping[str, int]) -> Iterator[Example]:
    """The questions of one subject; one that is asked about several lists of choices comes with its own."""
    line = 1
    for question in questions:
        is_unique = stems[fold(question.question)] == 1
        text = question.question if is_unique else "\n".join([question.question, *question.choices])
        message = Message(role="user", content=text)
        yield Example(id=question.id, messages=(message,), source=f"{subject}_test.csv:{line}")
        line += 1 + sum(text.count("\n") for text in (question.question, *question.choices))


def _read_validator(loaded: LoadedSuite) -> SchemaValidator | None:
    path = schema_path(loaded)
    if path is None:
        return None
    try:
        return SchemaValidator(parse(read_within(path, TEXT_BYTES).decode("utf-8")))
    except (OSError, UnicodeDecodeError, StrictJsonError, InvalidInputError) as error:
        raise InvalidInputError(f"{path}: {error}") from None


def _read_tokenizer(model: Path | None) -> LocalTokenizer | str:
    """The tokenizer of a model, or why there is none."""
    if model is None:
        return "the model is not on this machine yet"
    try:
        return LocalTokenizer(model)
    except InvalidInputError as error:
        return str(error)


def _lint_tokens(loaded: LoadedSuite, datasets: Datasets, tokenizer: LocalTokenizer) -> Iterator[Finding]:
    suite = loaded.suite
    for name, train in suite.trainings.items():
        system = system_message(loaded, name, None)
        split = datasets.trainings[name]
        for rows, message in ((split.train + split.validation, system), (datasets.mix, None)):
            yield from over_training_limit(rows, tokenizer, train, system=message)
            if train.objective != "classification":
                yield from not_prefixes(rows, tokenizer, system=message)
    yield from out_of_reach(datasets.test, tokenizer, max_new_tokens=suite.decoding.max_new_tokens)
