"""The parsers of what a suite names: itself, rows, JSON Schemas, and the JSON of answers; and what a parser is here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import broken_files
import hostile_models as models
import test_scoring_json_schema as schemas
import test_suite_load as documents
import test_suite_rules as rules
from hypothesis import strategies as st
from mutation import Format, inputs
from plain_suite import SUITE, write_plain_suite

from harness.confined.worker import UnusableRuleError
from harness.data.formats import describe, to_examples, to_pairs, to_texts
from harness.data.reading import read_rows
from harness.data.score_files import read_score_file
from harness.errors import HarnessError, InvalidInputError
from harness.records import Example, Message, Unscored
from harness.scoring.apply import SCORERS, apply_scorer
from harness.scoring.json_schema import NoJson, extract_json
from harness.scoring.schema_rule import json_schema
from harness.strict_json import StrictJsonError, canonical, parse
from harness.suite.load import load_suite, parse_suite

Feed = Callable[[bytes], bool]  # whether the input was taken; raises what the parser declares where it was refused


class Entry(NamedTuple):
    """One way into a parser; `inputs` are drawn from `given` where there are none."""

    feed: Feed
    given: Format
    inputs: st.SearchStrategy[bytes] | None = None
    always_odd: bool = False  # nothing says that some inputs are refused


class Parser(NamedTuple):
    """A parser by its entries; `declared` is what it may raise. Confined: it runs within a worker's limits."""

    entries: Callable[[Path], Mapping[str, Entry]]
    declared: tuple[type[BaseException], ...] = (HarnessError,)
    confined: bool = False


def words(text: str) -> tuple[bytes, ...]:
    return tuple(text.encode().split())


def dumped(*values: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """A file with other content inside the block."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


# --- suites ----------------------------------------------------------------------------------------------------------

SUITE_WORDS = words(
    "suite: seed: model: data: train: test: probe: schema: columns: mix: validation: method: lora dora full "
    "qlora rank: "
    "alpha: learning_rate: epochs: quantize: 4bit max_length: max_truncated: objective: dpo beta: rows: seeds: "
    "systems: "
    "kind: adapter prompt few_shot retrieval constrained endpoint role: candidate baseline from: promoted "
    "system: over: "
    "regex: lark: base_url: served_adapter: judges: rubric: key_env: checks: better_than valid_output benchmark_drop "
    "healthy_training recipe_better_than preferred forgetting no_leaks served_as_judged scorer: baselines: all "
    "bar: 90% "
    "99.5% margin: margin_type: relative blocking: benchmarks: task: mmlu per_subject: scorers: name: number contains "
    "texts: grammar xsd: pattern: decoding: temperature: samples: stop: statistics: alpha: min_effect: mode: "
    "sequential "
    "hub: revision: path: description: prices: currency: machine_hour: 1e-4 0x1F 0o17 !!str !!python/name:os.system "
    "&a *a << %YAML --- ... |- >+ ? yes ~"
)


def suite_entries(folder: Path) -> dict[str, Entry]:
    texts = [SUITE, documents.GOOD, rules.PLAIN, rules.FULL]
    texts += [rules.changed(rules.PLAIN, *changes) for changes in rules.VALID.values()]
    texts += [documents.GOOD.replace(old, new, 1) for old, new, _ in (*documents.BAD, *documents.VACUOUS)]
    texts += [f"one: 1\ntwo: [a, b]\n{line}\n" for line, *_ in documents.STRICT]
    valid = texts[: 4 + len(rules.VALID)]
    given = Format(tuple(text.encode() for text in (*valid * 4, *texts)), SUITE_WORDS)
    project = write_plain_suite(folder)
    file = project / "suite.yaml"
    plain = parse_suite(SUITE, file, {}, files=False).suite.model_dump(mode="json", by_alias=True, exclude_unset=True)
    full = parse_suite(rules.FULL, file, {}, files=False).suite.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )

    def feed_text(content: bytes) -> bool:
        return bool(parse_suite(content.decode("utf-8", "replace"), file, {}, files=False))

    def feed_file(content: bytes) -> bool:
        file.write_bytes(content)
        return bool(load_suite(project))

    def feed_setting(content: bytes) -> bool:
        # As the command line has it, where bytes that are not UTF-8 are lone surrogates.
        key, _, value = content.decode("utf-8", "surrogateescape").partition("=")
        return bool(parse_suite(rules.FULL, file, {key: value}, files=False))

    settings = words(
        "train.epochs=2 seed=7 data.validation=10% checks.0.baselines=[bare] train.method=dora suite=other "
        "systems.bare={kind:prompt} statistics.alpha=0.01 checks.1={kind:better_than} train={epochs:1} a.b.c=1"
    )
    return {
        "suite.yaml": Entry(feed_text, given),
        "suite.yaml with its files": Entry(feed_file, given._replace(seeds=(SUITE.encode(), *given.seeds))),
        "suite.yaml as a tree": Entry(feed_text, Format(dumped(plain, full), SUITE_WORDS, tree=True)),
        "--set": Entry(feed_setting, Format(settings, (*SUITE_WORDS, b"=", b".0.", b"."))),
    }


# --- rows ------------------------------------------------------------------------------------------------------------

ROW_WORDS = words(
    '"prompt" "completion" "messages" "role" "user" "assistant" "system" "content" "conversations" "from" '
    '"human" "gpt" '
    '"value" "instruction" "input" "output" "history" "chosen" "rejected" "text" "id" "tags" "cluster" "meta" , : "" {}'
)
ROWS: tuple[dict[str, Any], ...] = (
    {"prompt": "a", "completion": "b", "id": "1", "tags": ["x", "y"], "cluster": "c", "meta": {"n": 1}},
    {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "é"},
            {"role": "assistant", "content": "b"},
        ]
    },
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"instruction": "a", "input": "i", "output": "b", "system": "s", "history": [["q", "a"]]},
    {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}],
    },
    {"text": "something to learn"},
)


def row_entries(folder: Path) -> dict[str, Entry]:
    files = [*broken_files.BROKEN, *broken_files.BROKEN_AS_A_WHOLE, *broken_files.ODD]

    def seeds(ending: str, *more: bytes) -> tuple[bytes, ...]:
        found = {file.content for file in files if file.name.endswith(ending) and len(file.content) < 6000}
        return (*more, *sorted(found - set(more)))

    lines = b"\n".join(dumped(*ROWS))
    kinds = {
        ".jsonl": Format(seeds(".jsonl", lines, *dumped(*ROWS)), ROW_WORDS, lines=True),
        ".json": Format(seeds(".json", *dumped(list(ROWS), list(ROWS[:2]))), ROW_WORDS, tree=True),
        ".csv": Format(
            seeds(".csv", b'prompt,completion,tags\n"a, ""b""",c,x\nd,"e\nf",\n'),
            (*words("prompt completion messages"), b'""', b",", b"\r\n"),
        ),
        ".parquet": Format(
            seeds(".parquet", *(broken_files.table(row) for row in ROWS), broken_files.table(*ROWS[:1] * 200))
        ),
        ".txt": Format(
            (b"one\ntwo\n\nthree\r\n\r\n \nfour", "é\n\n\u2028\n".encode()), (b"\n\n", b"\n \n", b"\r\n\r\n")
        ),
        ".jsonl.gz": Format(
            (gzip.compress(lines, mtime=0), gzip.compress(b"", mtime=0) + gzip.compress(lines, mtime=0))
        ),
        ".csv.gz": Format((gzip.compress(b"prompt,completion\na,b\n", mtime=0),)),
    }
    renamed = {"prompt": "question", "completion": ["answer", "reply"], "tags": ["topic"], "meta": ["note"]}
    asked = dumped({"question": "a", "answer": "b", "topic": "x", "note": 1}, {"question": "a", "reply": "b"})
    entries = {
        f"rows{ending}": Entry(partial(read_examples, folder / f"rows{ending}", None), kind)
        for ending, kind in kinds.items()
    }
    feed = partial(read_examples, folder / "renamed.jsonl", renamed)
    tokens = (*ROW_WORDS, *words('"question" "answer" "reply" "topic" "note"'))
    entries["rows.jsonl under other names"] = Entry(feed, Format((b"\n".join(asked),), tokens, lines=True))
    packed = inputs(kinds[".jsonl"]).map(partial(gzip.compress, compresslevel=1, mtime=0))
    entries["rows.jsonl, packed when damaged"] = entries["rows.jsonl.gz"]._replace(inputs=packed)
    kept = Path(__file__).parents[1] / "fixtures" / "score_files"
    scores = tuple(file.read_bytes() for file in sorted(kept.rglob("*.jsonl")))
    scores += dumped(*(json.loads(file.read_bytes()) for file in sorted(kept.rglob("*.json"))))
    tokens = words('"id" "score" "scores" "doc_id" "filtered_resps" "eval" "samples" "epoch" "results" "success" NaN')
    entries["score files"] = Entry(
        partial(feed_scores, folder / "scores"), Format(scores, tokens, tree=True, lines=True)
    )
    return entries


def read_examples(path: Path, columns: Any, content: bytes) -> bool:
    """Read a file, and its rows in each form that may be wanted of them; refused where none of them is there."""
    path.write_bytes(content)
    found = read_rows(path, columns)
    refused = []
    for read in (partial(to_examples, labelled=False), partial(to_examples, labelled=True), to_pairs, to_texts):
        try:
            read(found)
        except InvalidInputError as error:
            refused.append(error)
    if len(refused) == 4:
        raise refused[0]
    describe(found)
    return True


def feed_scores(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        return bool(read_score_file(path))
    except InvalidInputError as error:
        listed = [line.strip() for line in str(error).splitlines()[1:]]
        if "name the one to compare" not in str(error):
            raise
        system = listed[0] if "systems, name" in str(error) else None
        return bool(read_score_file(path, system=system, scorer=None if system else listed[0]))


# --- JSON in texts ---------------------------------------------------------------------------------------------------

JSON_WORDS = words(
    '{"queue": "tech"} "amount" 0.01 { } [ ] : , true null ``` ```json NaN 1e999 \\u00e9 \\ud83d 1,234.5 1/2 50% €'
)
EXAMPLE = Example(id="1", messages=(Message(role="user", content="?"),), target=models.TARGET, tags=("answer",))


def json_entries(_: Path) -> dict[str, Entry]:
    texts = [*models.ANSWERS.values(), *models.GOOD_ANSWERS.values(), '{"a": [1, 2.5, {"b": null}], "c": "\\u00e9"}']
    texts += [
        "The answer is -1,234.50 €, or 3/4.",
        "no, yes , maybe",
        "I'm sorry, but I can't help with that. Confidence: 80%",
    ]
    given = Format(
        tuple(text.encode("utf-8", "surrogatepass") for text in texts if len(text) < 3000), JSON_WORDS, tree=True
    )
    return {
        "strict JSON": Entry(feed_strict, given),
        "JSON in an answer": Entry(feed_answer, given),
        "scorers of an answer": Entry(feed_scorers, given, always_odd=True),
        "scorers by a target": Entry(feed_targets, given, always_odd=True),
    }


def text_of(content: bytes) -> str:
    """The text of an answer; lone surrogates and all, since a tokenizer may make them."""
    return content.decode("utf-8", "surrogatepass" if content.count(b"\xed") % 2 else "replace")


def feed_strict(content: bytes) -> bool:
    try:
        text = text_of(content)
    except UnicodeDecodeError:
        text = content.decode("utf-8", "surrogateescape")
    value = parse(text)
    assert parse(canonical(value)) == value
    return True


def feed_answer(content: bytes) -> bool:
    return not isinstance(extract_json(content.decode("utf-8", "surrogateescape")), NoJson)


def feed_scorers(content: bytes) -> bool:
    return scored(content.decode("utf-8", "surrogateescape"), EXAMPLE)


def feed_targets(content: bytes) -> bool:
    target = content.decode("utf-8", "replace")
    return scored(models.TARGET, Example(id="1", messages=EXAMPLE.messages, target=target, tags=("refuse",)))


def scored(text: str, example: Example) -> bool:
    results = [apply_scorer(info, text, example, None) for info in SCORERS.values() if not info.needs_schema]
    assert all(isinstance(found, Unscored) or 0 <= found.value <= 1 for found in results), results
    return True


# --- JSON Schema -----------------------------------------------------------------------------------------------------

PART = b"\n=====\n"
SCHEMA_WORDS = words(
    '"type" "object" "array" "string" "number" "integer" "null" "properties" "patternProperties" '
    '"additionalProperties" '
    '"required" "items" "prefixItems" "contains" "minContains" "uniqueItems" "enum" "const" "$ref" "$dynamicRef" '
    '"$defs" "$id" '
    '"$anchor" "$dynamicAnchor" "$schema" "#" "#/$defs/a" "#/properties/a" "anyOf" "oneOf" "allOf" "not" "if" '
    '"then" "else" '
    '"minimum" "maximum" "multipleOf" "minLength" "maxLength" "pattern" "^a+$" "format" "email" "date" "ipv4" '
    '"ipv6" "regex" '
    '"uuid" "unevaluatedProperties" "unevaluatedItems" "dependentSchemas" "propertyNames" "$vocabulary" '
    '"https://e.org/a" "http://["'
)


def schema_entries(_: Path) -> dict[str, Entry]:
    values = [models.SCHEMA, *schemas.GOOD_SCHEMAS, *(schema for schema, _ in schemas.BAD_SCHEMAS)]
    values.append(
        {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/a"},
                "d": {"format": "date"},
                "n": {"type": "number", "multipleOf": 0.1},
            },
            "$defs": {
                "a": {
                    "type": "array",
                    "prefixItems": [{"const": 1}],
                    "items": {"anyOf": [{"type": "string"}, {"$ref": "#"}]},
                }
            },
            "unevaluatedProperties": False,
            "dependentSchemas": {"a": {"required": ["d"]}},
        }
    )
    declared = Format(dumped(*values), SCHEMA_WORDS, tree=True)
    answers = Format(
        dumped(
            {"queue": "tech", "amount": 0.1},
            {"a": [1, "x", {"a": []}], "d": "2024-01-01", "n": 0.3},
            "a@b.c",
            [1, 2],
            None,
        ),
        JSON_WORDS,
        tree=True,
    )
    both = st.tuples(inputs(declared), inputs(answers)).map(PART.join)
    return {"schema and answer": Entry(feed_schema, declared, both)}


def feed_schema(content: bytes) -> bool:
    declared, _, answer = content.partition(PART)
    judge = json_schema(parse(declared.decode("utf-8", "surrogateescape")))
    text = answer.decode("utf-8", "surrogateescape")
    parse(text)  # whatever is not strict JSON never reaches it
    for fault in judge(text):
        keyword, path, message = fault
        assert keyword and path and message
        json.dumps(fault)
    return True


CONFINED = (UnusableRuleError, StrictJsonError, RecursionError, MemoryError, HarnessError)
INPUTS: dict[str, Parser] = {
    "suite": Parser(suite_entries),
    "rows": Parser(row_entries),
    "json": Parser(json_entries, (HarnessError, StrictJsonError)),
    "schema": Parser(schema_entries, CONFINED, confined=True),
}
