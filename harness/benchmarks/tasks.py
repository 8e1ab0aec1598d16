"""A declared benchmark as lm-eval tasks: one per subject, from lm-eval's own definition or a folder's task.yaml."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.task import ConfigurableTask
from ruamel.yaml import YAML

from harness.benchmarks.questions import Question, Subject, read_subjects, sample_subjects
from harness.benchmarks.shown import COLUMNS, DELIMITERS, read_template, shown_rows
from harness.errors import BrokenRunError, InvalidInputError
from harness.strict_json import canonical
from harness.suite.schema import Benchmark

MMLU_DATASET = "cais/mmlu"
MMLU_REVISION = "c30699e8356da336a370243923dbaf21066bb9fe"
MMLU_SHOTS = 5


class BenchmarkTasks:
    """The tasks of one benchmark with the sampled questions in them.

    `digest` is the SHA-256 of all that shapes a score: template, shots, questions and their order.
    """

    def __init__(self, name: str, template: dict[str, Any], subjects: Sequence[Subject], shots: int) -> None:
        self.name, self.subjects, self.shots = name, tuple(subjects), shots
        total = sum(subject.available for subject in subjects)
        self.weights = {subject.name: subject.available / total for subject in subjects}
        self.template = template
        self.digest = hashlib.sha256(canonical(self._identity()).encode("utf-8")).hexdigest()

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        choices = [len(question.choices) for subject in self.subjects for question in subject.asked]
        return sum(1 / count for count in choices) / len(choices)

    def build(self) -> list[Any]:
        """Fresh lm-eval task objects, one per subject.

        Raises:
            InvalidInputError: a template that cannot be rendered, or choices that are not one text for each answer.
        """
        return [ConfigurableTask(config=self._config(subject)) for subject in self.subjects]

    def subset(self, ids: Collection[str]) -> BenchmarkTasks:
        """The same tasks with only these questions asked."""
        wanted = set(ids)
        kept = [
            replace(subject, asked=tuple(question for question in subject.asked if question.id in wanted))
            for subject in self.subjects
        ]
        return BenchmarkTasks(self.name, self.template, [subject for subject in kept if subject.asked], self.shots)

    def task_name(self, subject: Subject) -> str:
        """lm-eval's name of a subject's task."""
        return f"{self.name}_{subject.name}"

    def _config(self, subject: Subject) -> dict[str, Any]:
        splits = {
            split: datasets.Dataset.from_list(
                shown_rows(self.template, questions, subject=subject.name, benchmark=self.name)
            )
            for split, questions in (("test", subject.asked), ("dev", subject.dev))
        }
        delimiters = {key: self.template[key] for key in DELIMITERS if key in self.template}
        return delimiters | {
            "task": self.task_name(subject),
            "output_type": "multiple_choice",
            "custom_dataset": lambda **_: splits,
            "test_split": "test",
            "fewshot_split": "dev" if self.shots else None,
            "fewshot_config": {"sampler": "first_n"},
            "num_fewshot": self.shots,
            **COLUMNS,
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }

    def _identity(self) -> dict[str, Any]:
        questions = [
            [
                subject.name,
                [[q.id, q.question, list(q.choices), q.answer] for q in (*subject.asked, *subject.dev)],
            ]
            for subject in self.subjects
        ]
        return {"template": self.template, "shots": self.shots, "questions": questions}


def plan_benchmark(name: str, declared: Benchmark, *, folder: Path, seed: int) -> BenchmarkTasks:
    """The tasks that a suite declares, with their questions drawn by the seed.

    Raises:
        InvalidInputError: files that do not fit, or fewer solved examples than shots.
        BrokenRunError: the hub's data set cannot be had.
    """
    if declared.task == "mmlu":
        template, shots = _mmlu_template(), MMLU_SHOTS
        subjects = read_subjects(folder / declared.mmlu_dir) if declared.mmlu_dir else _mmlu_from_hub()
    else:
        task_folder = folder / declared.task
        template = read_template(task_folder / "task.yaml")
        shots = int(template.pop("num_fewshot", 0))
        subjects = read_subjects(task_folder)
    shots = shots if declared.shots is None else declared.shots
    short = [subject for subject, (_, dev) in subjects.items() if len(dev) < shots]
    if short:
        raise InvalidInputError(f"benchmarks.{name}: {shots} shots need as many dev questions; {short[0]} has fewer")
    sampled = sample_subjects(subjects, per_subject=declared.per_subject, seed=seed)
    return BenchmarkTasks(name, template, sampled, shots)


def _mmlu_template() -> dict[str, Any]:
    """lm-eval's own MMLU definition, without where its data comes from."""
    text = resources.files("lm_eval").joinpath("tasks/mmlu/default/_default_template_yaml").read_text("utf-8")
    definition = YAML(typ="safe", pure=True).load(text)
    template = {key: definition[key] for key in ("doc_to_text", "doc_to_choice")}
    template["description"] = "The following are multiple choice questions (with answers) about {subject}.\n\n"
    return template


def _mmlu_from_hub() -> dict[str, tuple[tuple[Question, ...], tuple[Question, ...]]]:
    try:
        loaded = datasets.load_dataset(MMLU_DATASET, "all", revision=MMLU_REVISION)
    except (OSError, ValueError) as error:
        raise BrokenRunError(
            f"{MMLU_DATASET} cannot be had from the hub ({error}); "
            "give `mmlu_dir:` with the original CSV files to work without it"
        ) from None
    subjects: dict[str, tuple[list[Question], list[Question]]] = {}
    for side, split in enumerate(("test", "dev")):
        for row in loaded[split]:
            both = subjects.setdefault(row["subject"], ([], []))
            prefix = row["subject"] if split == "test" else f"{row['subject']}/dev"
            both[side].append(
                Question(
                    id=f"{prefix}/{len(both[side])}",
                    question=row["question"],
                    choices=tuple(row["choices"]),
                    answer=int(row["answer"]),
                )
            )
    return {name: (tuple(test), tuple(dev)) for name, (test, dev) in subjects.items()}
