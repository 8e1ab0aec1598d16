"""Score files of every known format, their traps, and what is refused."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.data.score_files import ScoreFile, read_score_file
from harness.errors import InvalidInputError
from harness.records import Score, ScoredAnswer, Unscored
from harness.store.facts import to_plain

FIXTURES = Path(__file__).parent.parent / "fixtures" / "score_files"


def read(tmp_path: Path, content: Any, *, scorer: str | None = None, system: str | None = None) -> ScoreFile:
    """Read `content`: text, one document, or a list of JSON Lines rows."""
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    elif not isinstance(content, str):
        content = json.dumps(content)
    path = tmp_path / "file"
    path.write_bytes(content.encode("utf-8"))
    return read_score_file(path, scorer=scorer, system=system)


def refusal(tmp_path: Path, content: Any, **choice: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path, content, **choice)
    return str(caught.value)


def lm_eval(number: int = 0, digest: str | None = "aa11", **rest: Any) -> dict[str, Any]:
    row = {"doc_id": number, "doc": {}, "target": "4", "resps": [["4"]], "filtered_resps": ["4"], "filter": "none"}
    return row | ({} if digest is None else {"doc_hash": digest}) | rest


def inspect(*samples: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"version": 2, "status": "success", "eval": {"task": "t"}, "samples": list(samples)} | rest


def sample(value: Any, key: Any = "a", epoch: int = 1, **rest: Any) -> dict[str, Any]:
    return {"id": key, "epoch": epoch, "scores": {"match": {"value": value}}} | rest


def promptfoo(*results: dict[str, Any]) -> dict[str, Any]:
    return {"evalId": "e", "results": {"version": 3, "results": list(results)}}


def result(test: int | None = 0, variables: Any = None, **rest: Any) -> dict[str, Any]:
    row = {"testIdx": test, "promptIdx": 0, "provider": {"id": "p"}, "vars": variables or {}, "failureReason": 0}
    return row | {"success": True, "score": 1, "gradingResult": {"pass": True}, "response": {"output": "x"}} | rest


# A failure before promptfoo wrote `failureReason`.
OLD = {"success": False, "score": 0, "failureReason": None, "gradingResult": None, "error": "some reason"}


# Every format from a file as its tool writes it


@pytest.mark.parametrize(
    ("name", "choice", "expected"),
    [
        ("own.jsonl", {"scorer": "acc"}, ("own", {"a": 1.0, "b": 0.0, "c": None, "d": None})),
        ("own.jsonl", {"scorer": "f1"}, ("own", {"a": 0.75, "b": 0.5, "c": 0.0, "d": None})),
        ("run/scores.jsonl", {"system": "few-shot"}, ("own", {"t1": 0.0, "t2": 1.0})),
        ("run/scores.jsonl", {"system": "candidate", "scorer": "exact_match"}, ("own", {"t1": 1.0, "t2": None})),
        ("run/scores.jsonl", {"system": "candidate", "scorer": "field_f1"}, ("own", {"t1": 0.5, "t2": 0.0})),
        ("lm_eval.jsonl", {"scorer": "exact_match,strict-match"}, ("lm-eval samples", {"aa11": 1.0, "bb22": 0.0})),
        ("lm_eval.jsonl", {"scorer": "exact_match,flexible-extract"}, ("lm-eval samples", {"aa11": 1.0, "bb22": 1.0})),
        ("inspect.json", {"scorer": "match"}, ("inspect log", {"1": 0.75, "two": 0.0, "3": None})),
        ("inspect.json", {"scorer": "grade.tone"}, ("inspect log", {"1": 0.75, "two": 0.0, "3": None})),
        ("inspect.json", {"scorer": "grade.facts"}, ("inspect log", {"1": 0.75, "two": None, "3": None})),
    ],
)
def test_scores_of_every_example_are_read_when_the_format_is_known(name, choice, expected):
    found = read_score_file(FIXTURES / name, **choice)

    assert (found.format, dict(found.scores)) == expected
    assert found.digest == hashlib.sha256((FIXTURES / name).read_bytes()).hexdigest()
    assert set(found.clusters) == set(found.tags) == set(found.scores)


@pytest.mark.parametrize(
    ("system", "scorer", "expected"),
    [
        ("openai:a", "score", [1.0, None]),
        ("openai:a", "Tone", [0.5, None]),
        ("openai:b", "score", [0.82, 1.0]),  # its `error` is an assertion's reason, not a failure
        ("openai:b", "success", [0.0, 1.0]),
    ],
)
def test_promptfoo_column_is_read_when_its_provider_is_named(system, scorer, expected):
    found = read_score_file(FIXTURES / "promptfoo.json", scorer=scorer, system=system)

    assert (found.format, found.system, list(found.scores.values())) == ("promptfoo results", system, expected)
    assert [key.split(":")[0] for key in found.scores] == ["0", "1"]


def test_promptfoo_failures_are_told_from_wrong_answers_when_the_layout_is_old():
    found = read_score_file(FIXTURES / "promptfoo_v1.json", scorer="score")

    assert list(found.scores.values()) == [1.0, 0.0, None, None]
    assert len(found.scores) == 4  # ids are digests of the variables


def test_clusters_and_tags_come_along_when_an_own_file_has_them():
    found = read_score_file(FIXTURES / "own.jsonl", scorer="acc")

    assert dict(found.clusters) == {"a": "document 1", "b": "document 1", "c": None, "d": None}
    assert dict(found.tags) == {"a": ("web", "short"), "b": (), "c": (), "d": ()}
    assert found.scorers == ("acc", "f1")


def test_clusters_come_from_the_test_examples_when_the_file_lies_in_a_run():
    found = read_score_file(FIXTURES / "run" / "scores.jsonl", system="few-shot")

    assert dict(found.clusters) == {"t1": "mail 7", "t2": None}
    assert dict(found.tags) == {"t1": ("web",), "t2": ()}


def test_a_run_can_be_read_when_its_facts_are_written_as_the_store_writes_them(tmp_path):
    answers = [
        ScoredAnswer(example_id="a", system="candidate", dataset="test", scorer="exact_match", result=Score(0.25)),
        ScoredAnswer(example_id="b", system="candidate", dataset="test", scorer="exact_match", result=Unscored("no")),
    ]

    found = read(tmp_path, [to_plain(answer) for answer in answers])

    assert (dict(found.scores), found.system) == ({"a": 0.25, "b": None}, "candidate")


# Detection


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "format_name"),
    [
        (inspect(sample("C")), "inspect log"),
        (promptfoo(result()), "promptfoo results"),
        ({"version": 2, "results": [result()], "table": {}}, "promptfoo results"),
    ],
)
def test_document_is_known_by_its_content_when_it_is_printed_either_way(tmp_path, value, format_name, indent):
    text = json.dumps(value, indent=indent)
    scorer = "match" if format_name == "inspect log" else "score"

    assert read(tmp_path, text, scorer=scorer).format == format_name


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ('{"id": "a", "score": 1}', {"a": 1.0}),  # one line, so also one JSON document
        ('{"id": "a", "score": 1}\n', {"a": 1.0}),
        ('\n{"id": "a", "score": 1}\r\n\n{"id": "b", "score": true}\r\n', {"a": 1.0, "b": 1.0}),
        ('\ufeff{"id": "a", "score": 0}\n{"id": "b", "score": 0.5}', {"a": 0.0, "b": 0.5}),
    ],
)
def test_own_rows_are_read_when_lines_end_in_any_way(tmp_path, text, scores):
    found = read(tmp_path, text)

    assert (found.format, found.scorer, dict(found.scores)) == ("own", "score", scores)


@pytest.mark.parametrize(
    "content",
    [
        {"accuracy": 0.5},
        [{"accuracy": 0.5}, {"accuracy": 0.7}],
        '[{"id": "a", "score": 1}]',
        '[\n{"id": "a", "score": 1}\n]',
        {"results": {"arc": {"acc": 0.5}}},
        "17",
    ],
)
def test_known_layouts_are_listed_when_the_layout_is_unknown(tmp_path, content):
    message = refusal(tmp_path, content)

    assert "not a known score file" in message
    for name in ("own", "lm-eval samples", "inspect log", "promptfoo results"):
        assert f"\n  {name}: " in message


# Traps of each format


def test_error_leaves_no_score_when_the_row_also_has_one(tmp_path):
    found = read(tmp_path, [{"id": "a", "score": 1, "error": "judge failed"}, {"id": "b", "score": 1}])

    assert dict(found.scores) == {"a": None, "b": 1.0}


def test_example_stays_without_a_score_when_its_row_lacks_the_scorer(tmp_path):
    rows = [{"id": "a", "scores": {"x": 1}}, {"id": "b", "scores": {"y": 1}}]

    assert dict(read(tmp_path, rows, scorer="x").scores) == {"a": 1.0, "b": None}


@pytest.mark.parametrize(
    ("row", "scorers"),
    [
        (lm_eval(metrics=["acc", "acc_norm"], acc=1.0, acc_norm=0.0, note=3), ("acc", "acc_norm")),
        (lm_eval(acc=1.0, acc_norm=0.0), ("acc", "acc_norm")),  # before `metrics` was written
        (lm_eval(acc=1.0, word_perplexity=[-30.5, 12], bleu=["a", "b"]), ("acc",)),  # corpus metrics
    ],
)
def test_scorers_are_the_metrics_of_one_answer_when_lm_eval_logged_samples(tmp_path, row, scorers):
    found = read(tmp_path, [row], scorer="acc")

    assert (found.scorers, dict(found.scores)) == (scorers, {"aa11": 1.0})


def test_id_is_the_number_when_lm_eval_wrote_no_hash(tmp_path):
    found = read(tmp_path, [lm_eval(0, None, acc=1), lm_eval(1, None, acc=0)])

    assert dict(found.scores) == {"0": 1.0, "1": 0.0}


def test_equal_documents_are_two_items_of_one_cluster_when_a_data_set_repeats_one(tmp_path):
    found = read(tmp_path, [lm_eval(0, acc=1), lm_eval(1, "bb22", acc=1), lm_eval(2, acc=0)])

    assert dict(found.scores) == {"aa11:0": 1.0, "bb22": 1.0, "aa11:2": 0.0}
    assert dict(found.clusters) == {"aa11:0": "aa11", "bb22": "bb22", "aa11:2": "aa11"}


@pytest.mark.parametrize(
    ("value", "score"),
    [("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), ("yes", 1.0), (True, 1.0), (0.25, 0.25), (float("nan"), None)],
)
def test_grade_becomes_a_number_when_inspect_wrote_it(tmp_path, value, score):
    assert read(tmp_path, inspect(sample(value))).scores["a"] == score


@pytest.mark.parametrize(
    "spoiled",
    [
        sample("C", epoch=2, error={"message": "died"}),
        sample("C", epoch=2, invalidation={"author": "x"}),
        sample("C", epoch=2, scores=None),
        sample("C", epoch=2, scores={}),
        sample("C", epoch=2, scores={"other": {"value": "C"}}),
        sample(None, epoch=2),
    ],
)
def test_item_has_no_score_when_one_of_its_epochs_has_none(tmp_path, spoiled):
    found = read(tmp_path, inspect(sample("C"), spoiled, sample("I", "b"), sample("C", "b", 2)), scorer="match")

    assert dict(found.scores) == {"a": None, "b": 0.5}


@pytest.mark.parametrize(
    ("row", "score"),
    [
        (result(success=False, score=0, failureReason=1, error="expected x"), 0.0),
        (result(success=False, score=0, failureReason=1, error="expected x", gradingResult=None), 0.0),  # stripped
        (result(success=False, score=0, failureReason=2, error="504"), None),
        (result(success=False, score=0, error="No output", gradingResult=None), None),
        (result(success=False, score=0, gradingResult={"pass": False}), 0.0),  # lost a select-best
        (result(error="a remark"), 1.0),
        (result(failureReason=1, gradingResult={"componentResults": [{"metadata": {"graderError": True}}]}), None),
        (result(failureReason=1, gradingResult={"metadata": {"graderError": True}}), None),
        (result(score=None), None),
        (result(gradingResult=None), 1.0),  # passed, its grading stripped
        (result(**OLD, response={"output": "x"}), 0.0),
        (result(**OLD, response={"output": ""}), None),
        (result(**OLD, response={"output": "partial", "error": "504"}), None),
        (result(**OLD, response=None), None),
    ],
)
def test_verdict_is_told_from_a_failure_when_promptfoo_gives_both_an_error(tmp_path, row, score):
    assert list(read(tmp_path, promptfoo(row), scorer="score").scores.values()) == [score]


def test_repeats_are_one_cluster_when_promptfoo_numbers_them_as_tests(tmp_path):
    rows = [result(0, {"q": 1}), result(1, {"q": 1, "_conversation": ["hi"]}), result(2, {"q": 2})]

    found = read(tmp_path, promptfoo(*rows), scorer="score")

    first, again, other = found.clusters.values()
    assert first == again != other
    assert len(found.scores) == 3


def test_ids_differ_when_a_promptfoo_test_moved_to_another_place(tmp_path):
    before = read(tmp_path, promptfoo(result(0, {"q": 1}), result(1, {"q": 2})), scorer="score")
    after = read(tmp_path, promptfoo(result(0, {"q": 2}), result(1, {"q": 3})), scorer="score")

    assert not set(before.scores) & set(after.scores)


def test_prompts_are_systems_of_their_own_when_one_provider_has_several(tmp_path):
    rows = [result(promptIdx=0), result(promptIdx=1, score=0), result(promptIdx=2, provider={"id": "q", "label": "Q"})]

    assert list(read(tmp_path, promptfoo(*rows), scorer="score", system="p, prompt 1").scores.values()) == [0.0]
    assert refusal(tmp_path, promptfoo(*rows), scorer="score").endswith("\n  p, prompt 0\n  p, prompt 1\n  Q")


# Choices are made by the caller


@pytest.mark.parametrize(
    ("content", "choice", "said"),
    [
        ([{"id": "a", "scores": {"x": 1, "y": 1}}], {}, "has 2 scorers, name the one to compare; there are:\n  x\n  y"),
        ([{"id": "a", "score": 1}], {"scorer": "acc"}, "has no scorer 'acc'; there are:\n  score"),
        ([{"id": "a", "error": "died"}], {}, "has 0 scorers"),
        ([{"id": "a", "score": 1}], {"system": "b"}, "has no system 'b'; there are:\n  (no system at all)"),
        ([lm_eval(acc=1), lm_eval(acc=0, filter="first")], {}, "\n  acc,none\n  acc,first"),
        (inspect(sample({"tone": 1, "facts": 0})), {}, "\n  match.tone\n  match.facts"),
        (promptfoo(result()), {}, "has 2 scorers, name the one to compare; there are:\n  score\n  success"),
        (promptfoo(result(), result(provider="q")), {"scorer": "score"}, "has 2 systems"),
        (promptfoo(result(), result(provider="q")), {"scorer": "score", "system": "r"}, "has no system 'r'"),
    ],
)
def test_choices_are_listed_when_there_are_several_or_none(tmp_path, content, choice, said):
    assert said in refusal(tmp_path, content, **choice)


def test_systems_are_listed_when_a_run_has_several():
    with pytest.raises(InvalidInputError, match=r"has 2 systems, .*\n  candidate\n  few-shot$"):
        read_score_file(FIXTURES / "run" / "scores.jsonl")


# Refused

OWN = {"id": "a", "score": 1}
RUN = {"example_id": "a", "system": "s", "dataset": "test", "scorer": "x", "result": {"value": 1}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([OWN, {"id": "b", "score": 1}, OWN], "file:3: the id 'a' is there already, see file:1"),
        ([OWN, {"id": "a", "error": "died"}], "file:2: the id 'a' is there already, see file:1"),
        ([{"id": "a", "scores": {"x": 1}}, {"id": "a", "scores": {}}], "file:2: the id 'a' is there already"),
        ([RUN, RUN], "file:2: the id 'a' is there already, see file:1"),
        ([lm_eval(acc=1), lm_eval(acc=1)], "file:2: the id 'aa11' is there already, see file:1"),
        ([lm_eval(0, None, acc=1), lm_eval(0, None, acc=1)], "file:2: the id '0' is there already, see file:1"),
        (
            inspect(sample("C"), sample("I")),
            "file: samples[1] (id 'a'): the id 'a' is there already, see file: samples[0] (id 'a')",
        ),
        (inspect(sample("C", 1), sample("I", "1")), "the id '1' is there already"),
    ],
)
def test_both_places_are_named_when_an_id_is_given_twice(tmp_path, content, said):
    assert said in refusal(
        tmp_path,
        content,
    )


@pytest.mark.parametrize(("test", "key"), [(0, "0:44136fa355b3"), (None, "44136fa355b3")])
def test_both_results_are_named_when_promptfoo_has_a_test_twice(tmp_path, test, key):
    message = refusal(tmp_path, promptfoo(result(test), result(test)), scorer="score")

    assert message == f"file: results[1]: the id {key!r} is there already, see file: results[0]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([OWN, {"id": "b", "score": "1"}], 'file:2: `score` is not a number: "1"'),
        ([OWN, {"id": "b", "score": [1]}], "file:2: `score` is not a number: [1]"),
        ([OWN, {"id": "b", "score": 1.0000001}], "file:2: `score` is 1.0000001; a score lies between 0 and 1"),
        ([OWN, {"id": "b", "score": -1}], "file:2: `score` is -1;"),
        ([OWN, {"id": "b", "score": 10**400}], "file:2: `score` is 1000"),
        ('{"id": "a", "score": 1}\n{"id": "b", "score": NaN}\n', "file:2: not valid JSON"),
        ('{"id": "b", "score": NaN}', "file:1: not valid JSON"),
        ('{"id": "b", "score": 1e999}', "a number too large for a float"),
        ([RUN, RUN | {"example_id": "b", "result": {"value": 2}}], "file:2: `x` is 2;"),
        ([lm_eval(bypass=999)], "file:1: `bypass` is 999;"),
        ([lm_eval(acc=1), lm_eval(1, "bb22", acc="tensor(1.)")], 'file:2: `acc` is not a number: "tensor(1.)"'),
        (inspect(sample("C"), sample("A", 7)), 'file: samples[1] (id 7): `match` is not a number: "A"'),
        (inspect(sample([1, 0])), "file: samples[0] (id 'a'): `match` is not a number: [1,0]"),
        (inspect(sample(7)), "file: samples[0] (id 'a'): `match` is 7;"),
        ('{"eval": {}, "samples": [{"id": 1, "scores": {"m": {"value": Infinity}}}]}', "Infinity is not JSON"),
    ],
)
def test_place_is_named_when_a_score_is_not_a_number_from_0_to_1(tmp_path, content, said):
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize("score", ["1", 2, -0.5, [1]])
def test_place_is_named_when_a_promptfoo_score_is_none(tmp_path, score):
    assert "file: results[1]: `score` is" in refusal(
        tmp_path, promptfoo(result(), result(1, score=score)), scorer="score"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("\n \r\n", "the file is empty"),
        (inspect(), "there are no rows"),
        (promptfoo(), "there are no rows"),
        ([RUN | {"dataset": "probe"}], "there are no rows"),
        ("{\n", "not valid JSON: line 2"),
        ('{"id": "a", "sco\n{"id": "b"}', "not valid JSON: line 1"),
        ([OWN | {"clusters": "x"}], "file:1: unknown key clusters; remarks go under `meta`"),
        ([OWN | {"scores": {"x": 1}}], "file:1: give `score` or `scores`, not both"),
        ([{"id": "a"}], "file:1: needs `score` or `scores`"),
        ([{"id": "a", "scores": [1]}], "file:1: `scores` must be an object"),
        ([OWN, {"score": 1}], "file:2: `id` must be non-empty text"),
        ([OWN | {"id": 7}], "file:1: `id` must be non-empty text"),
        ([OWN | {"cluster": 7}], "file:1: `cluster` must be non-empty text"),
        ([OWN | {"tags": "web"}], "file:1: `tags` must be a list of text"),
        ([OWN | {"error": True}], "file:1: `error` must be non-empty text"),
        ([OWN, lm_eval(acc=1)], "file:2: unknown key acc, doc"),
        ([RUN | {"dataset": "train"}], "file:1: `dataset` must be test or probe, not 'train'"),
        ([RUN | {"result": {"score": 1}}], 'file:1: `result` must be {"value": number}'),
        ([RUN | {"system": None}], "file:1: `system` must be non-empty text"),
        ([lm_eval(acc=1), OWN], "file:2: `doc_id` must be a number or text"),
        ([lm_eval(metrics="acc")], "file:1: `metrics` must be a list of text"),
        (inspect(sample("C"), status="cancelled"), "the log's status is 'cancelled': samples are missing"),
        (inspect(samples=None), "the log has no samples"),
        (inspect(sample("C"), sample("C", epoch=2), sample("C", "b")), "other samples have 2, but 'b' has 1"),
        (inspect({"epoch": 1}), "file: samples[0]: needs `id`"),
        (inspect(sample("C", scores={"match": "C"})), "file: samples[0]: `scores` must be an object"),
        (inspect("C"), "file: samples[0]: must be a JSON object"),
        (promptfoo({"vars": {}, "score": 1}), "file: results[0]: needs `success`"),
        (promptfoo({"success": True, "score": 1}), "file: results[0]: needs `vars`"),
    ],
)
def test_file_is_refused_when_it_is_empty_damaged_or_incomplete(tmp_path, content, said):
    assert said in refusal(tmp_path, content)


def test_conversion_is_named_when_the_file_is_an_inspect_archive(tmp_path):
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK\x03\x04\x14\x00\xff\xfe")

    with pytest.raises(InvalidInputError, match="inspect log convert --to json"):
        read_score_file(path)


def test_byte_is_named_when_the_file_is_not_utf8(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'{"id": "\xff"}')

    with pytest.raises(InvalidInputError, match="not UTF-8 at byte 9"):
        read_score_file(path)


def test_file_is_refused_when_it_is_missing(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_score_file(tmp_path / "nothing.jsonl")


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(inner, (*place, key))


def with_odd(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    if not place:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = with_odd(value[place[0]], place[1:], odd)
    return copy


@pytest.mark.parametrize("odd", [None, True, 7, "odd", [], [[1]], {}, {"odd": [1]}], ids=json.dumps)
@pytest.mark.parametrize(
    ("content", "choice"),
    [
        ([{"id": "a", "scores": {"x": 1}, "cluster": "c", "tags": ["t"], "error": None}, {"id": "b", "score": 1}], "x"),
        ([RUN, RUN | {"example_id": "b"}], "x"),
        ([lm_eval(metrics=["acc"], acc=1), lm_eval(1, "bb22", metrics=["acc"], acc=0)], "acc"),
        (inspect(sample("C"), sample({"x": 1}, "b", error=None)), "match"),
        (promptfoo(result(namedScores={"tone": 1}, gradingResult={"componentResults": [{"metadata": {}}]})), "score"),
    ],
    ids=["own", "run", "lm-eval", "inspect", "promptfoo"],
)
def test_nothing_but_a_refusal_is_raised_when_any_one_value_is_odd(tmp_path, content, choice, odd):
    for place in nodes(content):
        try:
            found = read(tmp_path, with_odd(content, place, odd), scorer=choice)
        except InvalidInputError:
            continue
        assert all(score is None or 0 <= score <= 1 for score in found.scores.values())


# Clusters from a field


def clusters(tmp_path: Path, content: Any, field: str, scorer: str | None = None) -> list[str | None]:
    path = tmp_path / "file"
    rows = isinstance(content, list)
    path.write_text("".join(json.dumps(row) + "\n" for row in content) if rows else json.dumps(content))
    return list(read_score_file(path, scorer=scorer, cluster_by=field).clusters.values())


@pytest.mark.parametrize(
    ("content", "field", "scorer", "expected"),
    [
        ([OWN | {"by": "Ann"}, {"id": "b", "score": 0, "by": "Ann", "cluster": "x"}], "by", None, "Ann"),
        ([OWN | {"by": 7}, {"id": "b", "score": 0, "by": 7}], "by", None, "7"),
        ([OWN | {"meta": {"by": "Ann"}}, {"id": "b", "score": 0, "meta": {"by": "Ann"}}], "meta.by", None, "Ann"),
        ([lm_eval(acc=1, doc={"by": "A"}), lm_eval(1, "bb22", acc=0, doc={"by": "A"})], "by", None, "A"),
        (inspect(sample("C", metadata={"by": "A"}), sample("I", "b", metadata={"by": "A"})), "by", None, "A"),
        (promptfoo(result(0, {"q": 1, "by": "A"}), result(1, {"q": 2, "by": "A"})), "by", "score", "A"),
    ],
    ids=["own", "own number", "own dotted", "lm-eval", "inspect", "promptfoo"],
)
def test_cluster_is_the_value_of_the_field_when_one_is_named(tmp_path, content, field, scorer, expected):
    assert clusters(tmp_path, content, field, scorer) == [expected, expected]


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        ([OWN | {"author": "x"}, {"id": "b", "score": 1}], "author", "file:2: there is no `author` in the row"),
        ([OWN | {"meta": "x"}], "meta.author", "file:1: there is no `meta.author` in the row"),
        ([OWN | {"author": ""}], "author", "file:1: `author` must be non-empty text or a whole number"),
        ([OWN | {"author": None}], "author", "file:1: `author` must be"),
        ([OWN | {"author": True}], "author", "file:1: `author` must be"),
        ([OWN | {"author": "x", "note": 1}], "author", "file:1: unknown key note"),
        ([lm_eval(acc=1)], "subject", "file:1: there is no `subject` in `doc`"),
        ([lm_eval(acc=1, doc="text")], "subject", "file:1: there is no `subject` in `doc`"),
        (inspect(sample("C", 7)), "user", "file: samples[0]: there is no `user` in the metadata of sample 7"),
        (promptfoo(result(3, {"q": 1})), "doc", "file: results[0]: there is no `doc` in `vars`"),
        ([RUN], "author", "the clusters of a run are those of its examples"),
    ],
)
def test_place_is_named_when_the_field_to_cluster_by_is_missing_or_no_name(tmp_path, content, field, said):
    with pytest.raises(InvalidInputError) as caught:
        clusters(tmp_path, content, field, None)
    assert said in str(caught.value)


def test_both_clusters_are_named_when_the_epochs_of_one_sample_differ(tmp_path):
    log = inspect(sample("C", metadata={"user": "u1"}), sample("C", epoch=2, metadata={"user": "u2"}))

    with pytest.raises(InvalidInputError, match="'a' is of cluster 'u2' here and of 'u1' before"):
        clusters(tmp_path, log, "user", None)
