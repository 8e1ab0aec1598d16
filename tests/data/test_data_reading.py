"""Rows are read strictly, and no prompt may stand on both sides of a split."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.formats import to_examples, to_pairs, to_texts
from harness.data.reading import read_rows
from harness.data.sources import Source, read_json_lines
from harness.data.splits import Datasets, load_datasets, prompt_key, split_validation
from harness.errors import InvalidInputError
from harness.records import Example, Message
from harness.suite.load import load_suite


def examples_of(folder: Path, *lines: str, labelled: bool = True) -> tuple[Example, ...]:
    path = folder / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    return to_examples(read_json_lines(path), labelled=labelled)


def test_both_formats_give_the_same_example(tmp_path: Path) -> None:
    chat, plain = examples_of(
        tmp_path,
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}',
        '{"prompt": "hi", "completion": "yo"}',
    )
    assert (chat.messages, chat.target, chat.id) == (plain.messages, plain.target, plain.id)
    assert (chat.source, plain.source) == ("rows.jsonl:1", "rows.jsonl:2")


def test_a_line_separator_inside_a_string_does_not_cut_the_row(tmp_path: Path) -> None:
    (example,) = examples_of(tmp_path, '{"prompt": "a\u2028b\u0085c", "completion": "d"}')
    assert example.messages[0].content == "a\u2028b\u0085c"


BAD_ROWS = [
    ("not json", "not valid JSON"),
    ("[1]", "a row must be a JSON object"),
    ('{"prompt": "a", "completion": NaN}', "not valid JSON"),
    ('{"prompt": "a", "prompt": "b", "completion": "c"}', "not valid JSON"),
    ('{"prompt": "a"}', "there is no answer"),
    ('{"prompt": " ", "completion": "c"}', "the prompt is empty"),
    ('{"prompt": "a", "completion": " "}', "the answer is empty"),
    ('{"prompt": "a", "completion": "b", "tag": ["x"]}', "unknown key tag"),
    ('{"prompt": "a", "completion": "b", "tags": "x"}', "`tags` must be a list of text"),
    ('{"prompt": "a", "completion": "b", "id": 3}', "`id` must be text"),
    ('{"text": "a"}', "this is raw text; a row with a question is needed here, by one of `messages`, "),
    ('{"messages": []}', "`messages` must be a non-empty list"),
    ('{"messages": [{"role": "bot", "content": "a"}]}', "messages[0].role 'bot' is not one of"),
    ('{"messages": [{"role": "user", "content": 3}]}', "messages[0].content must be text"),
    ('{"messages": [{"role": "assistant", "content": "a"}]}', "no user message"),
    ('{"messages": [{"role": "user", "content": "a"}]}', "there is no answer"),
    ("\udcff", "not UTF-8"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ROWS, ids=[row[1] for row in BAD_ROWS])
def test_a_bad_row_is_named_with_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        examples_of(tmp_path, '{"prompt": "fine", "completion": "fine"}', line)
    assert str(caught.value).startswith("rows.jsonl:2: ")
    assert message in str(caught.value)


# --- preferences and raw text ----------------------------------------------------------------------------------------


def pairs_of(folder: Path, *lines: str) -> tuple[Example, ...]:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines))
    return to_pairs(read_json_lines(path))


def texts_of(path: Path, content: bytes) -> tuple[Example, ...]:
    path.write_bytes(content)
    return to_texts(read_rows(path))


PAIR = {"prompt": "hi", "chosen": "yo", "rejected": "no"}


def test_a_preference_is_an_example_with_a_rejected_answer(tmp_path: Path) -> None:
    turns = {
        "prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
        "chosen": [{"role": "assistant", "content": "yo"}],
        "rejected": [{"role": "assistant", "content": "no"}],
        "tags": ["t"],
        "cluster": "c",
        "id": "mine",
    }
    plain, chat, other = pairs_of(tmp_path, *map(json.dumps, (PAIR, turns, PAIR | {"rejected": "nope"})))
    assert [(row.target, row.rejected) for row in (plain, chat, other)] == [("yo", "no"), ("yo", "no"), ("yo", "nope")]
    assert plain.messages == (Message(role="user", content="hi"),)
    assert [message.role for message in chat.messages] == ["system", "user"]
    assert (chat.id, chat.tags, chat.cluster, chat.source) == ("mine", ("t",), "c", "pairs.jsonl:2")
    assert plain.id != other.id


BAD_PAIRS: list[tuple[dict[str, object], str]] = [
    ({"prompt": "hi", "chosen": "yo"}, "needs `prompt`, `chosen` and `rejected`; rejected is missing"),
    ({"chosen": "yo", "rejected": "no"}, "prompt is missing"),
    ({"prompt": "hi", "completion": "yo"}, "chosen is missing"),
    (PAIR | {"completion": "yo"}, "unknown key completion; this is preferences, with prompt, messages, chosen, "),
    (PAIR | {"rejected": "yo"}, "`chosen` and `rejected` are the same"),
    (PAIR | {"rejected": " "}, "an answer is empty"),
    (PAIR | {"chosen": ""}, "an answer is empty"),
    (PAIR | {"chosen": None}, "`chosen` must be text or one assistant message"),
    (PAIR | {"rejected": 3}, "`rejected` must be text or one assistant message"),
    (PAIR | {"rejected": [{"role": "user", "content": "no"}]}, "`rejected` must be text or one assistant message"),
    (PAIR | {"prompt": " "}, "the prompt is empty"),
    (PAIR | {"prompt": [{"role": "system", "content": "be kind"}]}, "there is no user message to answer"),
    (PAIR | {"tags": "x"}, "`tags` must be a list of text"),
]


@pytest.mark.parametrize(("row", "message"), BAD_PAIRS, ids=[row[1] for row in BAD_PAIRS])
def test_a_bad_preference_is_named_with_file_and_line(row: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        pairs_of(tmp_path, json.dumps(PAIR), json.dumps(row))
    assert str(caught.value).startswith("pairs.jsonl:2: ") and message in str(caught.value)


def test_a_text_asks_nothing_and_is_its_own_key(tmp_path: Path) -> None:
    first, second = texts_of(
        tmp_path / "rows.jsonl", b'{"text": "Once upon a time."}\n{"text": "once  UPON a time", "id": "b"}\n'
    )
    assert (first.messages, first.target, first.rejected, first.source) == (
        (),
        "Once upon a time.",
        None,
        "rows.jsonl:1",
    )
    assert second.id == "b" and first.id != second.id
    assert prompt_key(first) == prompt_key(second) == prompt_key(example("once upon a time"))


def test_a_prompt_is_the_key_where_there_is_one() -> None:
    assert prompt_key(example("question", target="a")) == prompt_key(example("question", target="b"))


@pytest.mark.parametrize(
    "content",
    [
        b"one\ntwo\n\n\n  three\n \t\nfour",
        b"one\ntwo\n\n\n  three\n \t\nfour\n\n\n",
        b"\xef\xbb\xbfone\ntwo\n\n\n  three\n \t\nfour\n",
        b"one\r\ntwo\r\n\r\n\r\n  three\r\n \t\r\nfour\r\n",
    ],
    ids=["no end of line", "empty lines at the end", "a byte order mark", "lines of Windows"],
)
@pytest.mark.parametrize("name", ["text.txt", "TEXT.TXT"])
def test_paragraphs_of_a_text_file_have_the_number_of_their_first_line(
    content: bytes, name: str, tmp_path: Path
) -> None:
    found = texts_of(tmp_path / name, content)
    assert [(row.target, row.source) for row in found] == [
        ("one\ntwo", f"{name}:1"),
        ("  three", f"{name}:5"),
        ("four", f"{name}:7"),
    ]


def test_a_line_separator_inside_a_paragraph_does_not_cut_it(tmp_path: Path) -> None:
    (row,) = texts_of(tmp_path / "text.txt", "a\u2028b\u0085c\x0bd".encode())
    assert row.target == "a\u2028b\u0085c\x0bd"


def test_a_text_file_is_hashed_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbfone\r\n")
    assert read_rows(tmp_path / "text.txt").digest == hashlib.sha256(b"\xef\xbb\xbfone\r\n").hexdigest()


def test_a_packed_file_is_hashed_as_it_lies_on_disk(tmp_path: Path) -> None:
    (tmp_path / "text.txt.gz").write_bytes(packed := gzip.compress(b"one"))
    assert read_rows(tmp_path / "text.txt.gz").digest == hashlib.sha256(packed).hexdigest()


def test_a_packed_file_is_read_as_its_last_name_but_one_says(tmp_path: Path) -> None:
    (tmp_path / "a.csv.txt.gz").write_bytes(gzip.compress(b"one,two"))
    source = read_rows(tmp_path / "a.csv.txt.gz")
    assert (source.container, [row.value for row in source.rows]) == ("text", [{"text": "one,two"}])


@pytest.mark.parametrize("read", [read_rows, read_json_lines])
def test_a_source_has_the_path_and_the_digest_of_its_file(read: Callable[[Path], Source], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    source = read(tmp_path / "a.jsonl")
    assert (source.path, source.digest) == (tmp_path / "a.jsonl", hashlib.sha256(b"{}\n").hexdigest())


@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_there_are_no_rows_in_a_file_without_text(content: bytes, tmp_path: Path) -> None:
    assert texts_of(tmp_path / "text.txt", content) == ()


BAD_TEXTS = [
    ("text.txt", b"fine\n\n\xff\n", "text.txt:3: not UTF-8 at byte 1 of the line"),
    ("text.jsonl", b'{"text": "fine"}\nplain text\n', "text.jsonl:2: not valid JSON"),
    ("text.jsonl", b'{"text": "fine"}\n{"text": " "}\n', "text.jsonl:2: needs `text`, a text to learn from"),
    ("text.jsonl", b'{"text": "fine"}\n{"text": ["a"]}\n', "text.jsonl:2: needs `text`, a text to learn from"),
    ("text.jsonl", b'{"prompt": "a", "completion": "b"}\n', "text.jsonl:1: needs `text`, a text to learn from"),
    ("text.jsonl", b'{"text": "a", "completion": "b"}\n', "text.jsonl:1: unknown key completion"),
    ("text.jsonl", b'{"text": "a", "id": ""}\n', "text.jsonl:1: `id` must be text"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_TEXTS)
def test_a_bad_text_is_named_with_its_place(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        texts_of(tmp_path / name, content)
    assert str(caught.value).startswith(message)


# --- splits ----------------------------------------------------------------------------------------------------------


def example(text: str, target: str = "x", name: str = "") -> Example:
    return Example(id=name or text, messages=(Message(role="user", content=text),), target=target)


@pytest.mark.parametrize(
    "twin", ["HELLO  world", "hello, world!", "ｈｅｌｌｏ world", "hel\u200blo world", "Hello\nWorld"]
)
def test_prompts_that_differ_in_form_only_have_one_key(twin: str) -> None:
    assert prompt_key(example(twin)) == prompt_key(example("hello world"))


def test_prompts_of_punctuation_alone_stay_apart() -> None:
    assert prompt_key(example("???")) != prompt_key(example("!!!"))


def test_validation_is_a_seeded_share_and_keeps_twins_together() -> None:
    rows = tuple(example(f"row {i // 2}", name=str(i)) for i in range(200))
    train, validation = split_validation(rows, 0.10, seed=5)
    assert len(train) + len(validation) == 200
    assert 20 <= len(validation) <= 21
    assert not {prompt_key(row) for row in train} & {prompt_key(row) for row in validation}
    assert split_validation(rows, 0.10, seed=5) == (train, validation)
    assert split_validation(rows, 0.10, seed=6) != (train, validation)


SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl}
train: {}
systems: {candidate: {kind: adapter, role: candidate}, bare: {kind: prompt}}
checks: [{kind: better_than}]
"""


def write_suite(folder: Path, train: list[str], test: list[str]) -> Path:
    (folder / "suite.yaml").write_text(SUITE)
    for name, prompts in (("train", train), ("test", test)):
        rows = [json.dumps({"prompt": prompt, "completion": "x"}) for prompt in prompts]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    return folder


TRAIN, TEST = [f"train question {i}" for i in range(40)], [f"test question {i}" for i in range(20)]


def test_disjoint_sets_are_read(tmp_path: Path) -> None:
    found = load_datasets(load_suite(write_suite(tmp_path, TRAIN, TEST)))
    assert (len(found.train), len(found.validation), len(found.test)) == (36, 4, 20)
    assert set(found.digests) == {"train.jsonl", "test.jsonl"}


@pytest.mark.parametrize("twin", ["train question 7", "TRAIN   question 7!"])
def test_an_overlap_between_train_and_test_is_refused_with_both_places(twin: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, [*TEST, twin])))
    assert "test.jsonl:21" in str(caught.value) and "train.jsonl:8" in str(caught.value)


@pytest.mark.parametrize("test", [[], TEST[:9]])
def test_an_empty_or_tiny_test_set_is_refused(test: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=f"{len(test)} test rows"):
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, test)))


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"test.jsonl:21: id .* is also that of test.jsonl:1"):
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, [*TEST, TEST[0]])))


@pytest.mark.parametrize(("file", "split"), [("train", "train"), ("train", "validation")])
def test_a_probe_of_what_was_learned_is_refused_and_one_of_test_rows_is_not(
    file: str, split: str, tmp_path: Path
) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("test: test.jsonl", "test: test.jsonl, probe: probe.jsonl"))

    def probe(*prompts: str) -> Datasets:
        (tmp_path / "probe.jsonl").write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
        return load_datasets(load_suite(tmp_path))

    found = probe("something new", TEST[3])
    assert len(found.probe) == 2
    (learned, *_) = getattr(found, split)
    with pytest.raises(InvalidInputError) as caught:
        probe("something new", learned.messages[0].content.upper())
    assert f"probe.jsonl:2: this probe prompt also stands in {split} ({learned.source})" in str(caught.value)


# --- the rows of each training ---------------------------------------------------------------------------------------


def datasets(
    folder: Path, train: str = "{}", *, data: str = "train: train.jsonl, test: test.jsonl", arms: str = ""
) -> Datasets:
    """The data sets of a suite whose candidate is trained as `train` says, beside further arms."""
    text = SUITE.replace("train: {}", f"train: {train}").replace(
        "{train: train.jsonl, test: test.jsonl}", f"{{{data}}}"
    )
    (folder / "suite.yaml").write_text(text.replace("systems: {", f"systems: {{{arms}"))
    return load_datasets(load_suite(folder))


def write_pairs(folder: Path, prompts: list[str], name: str = "pairs.jsonl") -> None:
    rows = [json.dumps({"prompt": prompt, "chosen": "yes", "rejected": "no"}) for prompt in prompts]
    (folder / name).write_text("\n".join(rows))


def test_trainings_on_the_labelled_rows_share_them(tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    found = datasets(tmp_path, arms="other: {kind: adapter, train: {objective: classification}}, ")
    assert set(found.trainings) == {"candidate", "other"}
    for split in found.trainings.values():
        assert (split.train, split.validation) == (found.train, found.validation)


def test_there_is_no_training_when_the_candidate_comes_from_a_folder(tmp_path: Path) -> None:
    (write_suite(tmp_path, TRAIN, TEST) / "suite.yaml").write_text(
        SUITE.replace("role: candidate", "role: candidate, from: mine")
    )
    found = load_datasets(load_suite(tmp_path))
    assert found.trainings == {} and len(found.train) == 36


def test_preferences_of_their_own_are_split_beside_the_labelled_rows(tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    write_pairs(tmp_path, [f"pair {i // 2}" for i in range(60)])
    found = datasets(
        tmp_path,
        "{objective: dpo, rows: pairs.jsonl}",
        data="train: train.jsonl, test: test.jsonl, validation: 20%",
        arms="few: {kind: few_shot}, ",
    )
    split = found.trainings["candidate"]
    assert (len(split.train), len(split.validation)) == (48, 12)
    assert all(
        row.rejected == "no" and (row.source or "").startswith("pairs.jsonl:")
        for row in (*split.train, *split.validation)
    )
    assert not {prompt_key(row) for row in split.train} & {prompt_key(row) for row in split.validation}
    assert (len(found.train), len(found.validation)) == (32, 8)
    assert found.digests == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("train.jsonl", "test.jsonl", "pairs.jsonl")
    }


def test_a_tenth_is_held_out_when_the_validation_rows_are_those_of_another_training(tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    write_pairs(tmp_path, [f"pair {i}" for i in range(50)])
    (tmp_path / "held.jsonl").write_text('{"prompt": "held out", "completion": "x"}')
    found = datasets(
        tmp_path,
        data="train: train.jsonl, test: test.jsonl, validation: held.jsonl",
        arms="other: {kind: adapter, train: {objective: dpo, rows: pairs.jsonl}}, ",
    )
    assert [row.source for row in found.trainings["candidate"].validation] == ["held.jsonl:1"]
    assert (len(found.trainings["other"].train), len(found.trainings["other"].validation)) == (45, 5)


def test_preferences_may_be_the_training_rows_and_then_there_are_no_labelled_ones(tmp_path: Path) -> None:
    write_suite(tmp_path, [], TEST)
    write_pairs(tmp_path, TRAIN, "train.jsonl")
    found = datasets(tmp_path, "{objective: dpo}")
    assert (found.train, found.validation) == ((), ())
    assert (len(found.trainings["candidate"].train), len(found.trainings["candidate"].validation)) == (36, 4)
    assert set(found.digests) == {"train.jsonl", "test.jsonl"}


def test_labelled_rows_of_its_own_are_a_baselines_alone(tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    rows = [json.dumps({"prompt": f"own {i}", "completion": "x"}) for i in range(20)]
    (tmp_path / "own.jsonl").write_text("\n".join(rows))
    found = datasets(tmp_path, arms="other: {kind: adapter, train: {rows: own.jsonl}}, ")
    assert {row.source.split(":")[0] for row in found.trainings["other"].train if row.source} == {"own.jsonl"}
    assert (len(found.trainings["other"].train), len(found.trainings["other"].validation)) == (18, 2)
    assert found.trainings["candidate"].train == found.train


@pytest.mark.parametrize("name", ["text.txt", "text.jsonl"])
def test_texts_are_split_and_recorded(name: str, tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    texts = [f"paragraph {i}\nof a manual" for i in range(20)]
    lines = "\n\n".join(texts) if name == "text.txt" else "\n".join(json.dumps({"text": text}) for text in texts)
    (tmp_path / name).write_text(lines)
    found = datasets(tmp_path, f"{{objective: continued_pretraining, rows: {name}}}")
    split = found.trainings["candidate"]
    assert sorted(str(row.target) for row in (*split.train, *split.validation)) == sorted(texts)
    assert (len(split.train), len(split.validation)) == (18, 2)
    assert found.digests[name] == hashlib.sha256(lines.encode()).hexdigest()


LEAKING = [
    ("{objective: dpo, rows: own.jsonl}", '{"prompt": "TEST question 7!", "chosen": "a", "rejected": "b"}'),
    ("{objective: continued_pretraining, rows: own.jsonl}", '{"text": "Test question, 7."}'),
    ("{rows: own.jsonl}", '{"prompt": "test  question 7", "completion": "x"}'),
    ("{objective: classification, rows: own.jsonl}", '{"prompt": "test question 7", "completion": "x"}'),
]


@pytest.mark.parametrize("of_baseline", [False, True])
@pytest.mark.parametrize(("train", "leak"), LEAKING, ids=["preference", "text", "labelled", "class"])
def test_a_test_prompt_among_a_trainings_own_rows_is_refused_with_both_places(
    train: str, leak: str, of_baseline: bool, tmp_path: Path
) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    other = [leak.replace("7", str(1000 + i)) for i in range(30)]
    (tmp_path / "own.jsonl").write_text("\n".join([*other[:11], leak, *other[11:]]))
    arms = f"other: {{kind: adapter, train: {train}}}, " if of_baseline else ""
    with pytest.raises(InvalidInputError) as caught:
        datasets(tmp_path, "{}" if of_baseline else train, arms=arms)
    assert "test.jsonl:8: this test prompt also stands in " in str(caught.value)
    assert "(own.jsonl:12)" in str(caught.value)


@pytest.mark.parametrize(
    ("train", "content", "counts"),
    [
        (
            "{objective: dpo, rows: own.jsonl}",
            '{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 5,
            "0 training and 5",
        ),
        ("{objective: continued_pretraining, rows: own.txt}", "one paragraph\n", "0 training and 1"),
        ("{rows: own.jsonl}", "", "0 training and 0"),
        ("{objective: dpo}", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n', "0 training and 1"),
    ],
)
def test_too_few_rows_of_a_trainings_own_are_refused(train: str, content: str, counts: str, tmp_path: Path) -> None:
    write_suite(tmp_path, TRAIN, TEST)
    name = next((name for name in ("own.jsonl", "own.txt") if name in train), "train.jsonl")
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=f"^{name}: {counts} validation rows; add rows$"):
        datasets(tmp_path, train)
