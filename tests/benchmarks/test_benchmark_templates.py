"""The files of a benchmark may be hostile: they are read strictly, rendered within limits, and run nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.benchmarks.questions import read_subjects
from harness.benchmarks.shown import read_template, refuse_unusable_benchmark, shown_rows
from harness.errors import InvalidInputError
from harness.suite.schema import Benchmark

GOOD = "doc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
QUESTION = "Is it?,yes,no,maybe,never,A\n"


def write(folder: Path, template: str = GOOD, *, subject: str = "small_world", row: str = QUESTION) -> Path:
    task = folder / "quiz"
    (task / "test").mkdir(parents=True)
    (task / "task.yaml").write_text(template, encoding="utf-8")
    (task / "test" / f"{subject}_test.csv").write_text(row, encoding="utf-8")
    return folder


def refuse(folder: Path) -> None:
    refuse_unusable_benchmark("general", Benchmark(task="quiz"), folder)


def shown(folder: Path) -> dict[str, object]:
    template = read_template(folder / "quiz" / "task.yaml")
    ((subject, (questions, _)),) = read_subjects(folder / "quiz").items()
    (row,) = shown_rows(template, questions, subject=subject, benchmark="general")
    return row


def test_a_question_is_shown_as_its_templates_say(tmp_path: Path) -> None:
    template = (
        'description: "About {subject}, {{letter}}.\\n"\n'
        'doc_to_text: "Q: {{question.strip()}}\\n{% for c in choices %}{{c}};{% endfor %}\\n"\n'
        'doc_to_choice: "{{choices}}"\nnum_fewshot: 0\n'
    )
    row = shown(write(tmp_path, template))
    assert row["shown_description"] == "About small world, A.\n"
    assert row["shown_text"] == "Q: Is it?\nyes;no;maybe;never;\n"
    assert row["shown_choices"] == ["yes", "no", "maybe", "never"]


def test_a_template_may_be_the_name_of_a_column_or_a_list(tmp_path: Path) -> None:
    row = shown(write(tmp_path, "doc_to_text: question\ndoc_to_choice: [A, B, C, D]\n"))
    assert (row["shown_text"], row["shown_choices"]) == ("Is it?", ["A", "B", "C", "D"])


def test_a_question_is_never_read_as_a_template(tmp_path: Path) -> None:
    row = shown(write(tmp_path, row="{{ 7 * 7 }}{% raw %},{{a}},b,c,d,A\n", subject="{{ 7 * 7 }}"))
    assert row["shown_text"] == "{{ 7 * 7 }}{% raw %}"
    assert row["shown_choices"] == ["{{a}}", "b", "c", "d"]


HOSTILE = {
    "escape by class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "escape by globals": "{{ lipsum.__globals__['os'].popen('touch PLACE').read() }}",
    "escape by cycler": "{{ cycler.__init__.__globals__.os.system('touch PLACE') }}",
    "escape by function": "{{ question.strip.__self__.__class__.__base__ }}",
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a long text": "{{ 'a' * 10000000000 }}",
    "a pattern": "{{ ('a' * 60) | regex_replace('(a+)+b', '') }}",
    "another file": "{% include '/etc/passwd' %}",
    "no such name": "{{ secret }}",
    "no template": "{{ question",
    "a wrong type": "{{ question + 1 }}",
}


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_choice", "description"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_before_the_run(key: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / "ran"
    template = HOSTILE[name].replace("PLACE", str(place)).replace('"', '\\"')
    lines = dict(line.split(": ", 1) for line in GOOD.splitlines()) | {key: f'"{template}"'}
    write(tmp_path, "".join(f"{name}: {text}\n" for name, text in lines.items()))
    with pytest.raises(InvalidInputError, match=f"`{key}` of benchmark general"):
        refuse(tmp_path)
    assert not place.exists()


BAD = [
    ("process_docs: !function utils.run\n", r"task\.yaml:1:15 process_docs: tags \(!function\) are not allowed"),
    (f"{GOOD}process_docs: x\n", r"task\.yaml:3:1 unknown key process_docs; allowed are "),
    (f"{GOOD}dataset_path: cais/mmlu\n", r"task\.yaml:3:1 unknown key dataset_path"),
    (f"{GOOD}num_fewshot: two\n", r"task\.yaml:3:14 num_fewshot: cannot be 'two'"),
    (f"{GOOD}num_fewshot: -1\n", r"task\.yaml:3:14 num_fewshot: cannot be -1"),
    (f"{GOOD}num_fewshot: true\n", r"task\.yaml:3:14 num_fewshot: cannot be True"),
    (f"{GOOD}description: [a]\n", r"task\.yaml:3:14 description: cannot be \['a'\]"),
    ("doc_to_text: a\n", r"task\.yaml:1:1 doc_to_choice: is required"),
    ("[a]", r"task\.yaml:1:1 no mapping of keys"),
    ("doc_to_text: a\ndoc_to_choice: [A, B]\n", r"must give a list of 4 texts for small_world/0, not \['A', 'B'\]"),
    ("doc_to_text: a\ndoc_to_choice: [1, 2, 3, 4]\n", "must give a list of 4 texts"),
    ('doc_to_text: a\ndoc_to_choice: "{{question}}"\n', "must give a list of 4 texts"),
    ("#" * 200_000, "over 131,072 bytes"),
]


@pytest.mark.parametrize(("template", "message"), BAD, ids=[row[1][:40] for row in BAD])
def test_a_task_file_is_refused_where_it_is_wrong(template: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        refuse(write(tmp_path, template))
