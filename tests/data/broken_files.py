"""Broken data files and odd but valid ones, as bytes: what each is, how it is read, and what must come of it."""

from __future__ import annotations

import gzip
import io
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq


class BrokenFile(NamedTuple):
    """A file that must be refused: the message begins with `where` and a colon, and has `reason` in it."""

    title: str
    name: str
    content: bytes
    where: str
    reason: str
    form: str = "labelled"  # or "unlabelled", "pairs", "texts": what is wanted of its rows


class OddFile(NamedTuple):
    """A file that must be read: `found` has (messages, target, place) of each row, the messages as "role: text"."""

    title: str
    name: str
    content: bytes
    found: tuple[tuple[tuple[str, ...], str | None, str], ...]
    form: str = "labelled"


GOOD = b'{"prompt": "fine", "completion": "yes"}'
PAIR = b'{"prompt": "fine", "chosen": "yes", "rejected": "no"}'
CELLS = b"prompt,completion\nfine,yes\n"


def table(*rows: dict[str, Any], schema: pa.Schema | None = None) -> bytes:
    """A Parquet file of these rows."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer)
    return buffer.getvalue()


def not_utf8(*texts: bytes) -> bytes:
    """A Parquet file of prompts whose bytes nobody looked at."""
    data = b"".join(texts)
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text))
    offsets = b"".join(end.to_bytes(4, "little") for end in ends)
    prompts = pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(data))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"prompt": prompts, "completion": ["yes"] * len(texts)}), buffer)
    return buffer.getvalue()


def lines(title: str, line: bytes, reason: str, form: str = "labelled") -> BrokenFile:
    """A broken line after a good one and an empty one."""
    good = PAIR if form == "pairs" else b'{"text": "fine"}' if form == "texts" else GOOD
    return BrokenFile(title, "rows.jsonl", good + b"\n\n" + line + b"\n" + good, "rows.jsonl:3", reason, form)


def cells(title: str, content: bytes, line: int, reason: str) -> BrokenFile:
    return BrokenFile(title, "rows.csv", content, f"rows.csv:{line}", reason)


def array(title: str, content: bytes, line: int, reason: str) -> BrokenFile:
    return BrokenFile(title, "rows.json", content, f"rows.json:{line}", reason)


_JSON = [
    lines("text that is not JSON", b"fine,yes", "not valid JSON at column 1: Expecting value"),
    lines("a row cut off", b'{"prompt": "a", "compl', "not valid JSON at column 17: Unterminated string"),
    lines("a row over two lines", b'{"prompt": "a",\n "completion": "b"}', "not valid JSON"),
    lines("two rows in a line", GOOD + GOOD, "not valid JSON at column 40: Extra data"),
    lines("a comma after the row", GOOD + b",", "not valid JSON at column 40: Extra data"),
    lines("a comma after the last key", b'{"prompt": "a", "completion": "b",}', "Expecting property name"),
    lines("single quotes", b"{'prompt': 'a', 'completion': 'b'}", "Expecting property name"),
    lines("a key without quotes", b'{prompt: "a", completion: "b"}', "Expecting property name"),
    lines("a comment", b"// the next row is about refunds", "Expecting value"),
    lines("a tab inside a string", b'{"prompt": "a\tb", "completion": "c"}', "Invalid control character"),
    lines("an escape that there is not", b'{"prompt": "a\\x", "completion": "c"}', "Invalid \\escape"),
    lines("NaN", b'{"prompt": "a", "completion": "b", "meta": NaN}', "NaN is not JSON"),
    lines("infinity", b'{"prompt": "a", "completion": "b", "meta": -Infinity}', "-Infinity is not JSON"),
    lines("a number beyond floats", b'{"prompt": "a", "completion": "b", "meta": 1e999}', "too large for a float"),
    lines("an endless integer", b'{"prompt": "a", "completion": "b", "meta": ' + b"1" * 5000 + b"}", "4300 digits"),
    lines("a key twice", b'{"prompt": "a", "prompt": "b", "completion": "c"}', "the key 'prompt' is given twice"),
    lines("a key twice, escaped", b'{"id": "a", "\\u0069d": "b"}', "the key 'id' is given twice"),
    lines("a key twice, deep", b'{"prompt": "a", "meta": [{"x": 1, "x": 2}]}', "the key 'x' is given twice"),
    lines("half a character", b'{"prompt": "a\\ud83d", "completion": "b"}', "a lone surrogate is not text"),
    lines("half a character as bytes", b'{"prompt": "\xed\xa0\xbd", "completion": "b"}', "not UTF-8 at byte 13"),
    lines("Latin-1", b'{"prompt": "caf\xe9", "completion": "b"}', "not UTF-8 at byte 16 of the line"),
    lines("an overlong slash", b'{"prompt": "\xc0\xaf", "completion": "b"}', "not UTF-8 at byte 13"),
    lines("nesting", b'{"meta": ' + b"[" * 101 + b"]" * 101 + b"}", "nested deeper than 100 levels"),
    lines("hostile nesting", b"[" * 200_000, "nested deeper than 100 levels"),
    lines("an endless line", b'{"prompt": "' + b"a" * (4 << 20) + b'"}', "the line is over 4,194,304 bytes"),
    lines("a list", b'["a", "b"]', "a row must be a JSON object, not an array; a file that is one JSON array is named"),
    lines("a string", b'"prompt"', "a row must be a JSON object, not a string"),
    lines("a number", b"17", "a row must be a JSON object, not a number"),
    lines("null", b"null", "a row must be a JSON object, not null"),
    BrokenFile("UTF-16", "rows.jsonl", GOOD.decode().encode("utf-16"), "rows.jsonl:1", "not UTF-8 but UTF-16"),
    BrokenFile("old Mac line ends", "rows.jsonl", GOOD + b"\r" + GOOD, "rows.jsonl:1", "Extra data"),
    BrokenFile("the rest of a page", "rows.jsonl", GOOD + b"\n\x00\x00\x00", "rows.jsonl:2", "Expecting value"),
]

_KEYS = [
    lines("no keys", b"{}", "no known format: needs `messages`, `conversations` (ShareGPT)"),
    lines("unknown keys alone", b'{"question": "a", "answer": "b"}', "found answer, question; `data.columns` renames"),
    lines("a misspelt tag", b'{"prompt": "a", "completion": "b", "tag": ["x"]}', "unknown key tag; this is prompt and"),
    lines(
        "a misspelt key of Alpaca", b'{"instruction": "a", "outputs": "b"}', "unknown key outputs; this is Alpaca, with"
    ),
    lines("two formats at once", b'{"messages": [], "prompt": "a"}', "unknown key prompt; this is chat messages"),
    lines(
        "a preference", b'{"prompt": "a", "chosen": "b", "rejected": "c"}', "this is preferences; a row with a question"
    ),
    lines("raw text", b'{"text": "a"}', "this is raw text; a row with a question is needed here"),
    lines("tags that are text", b'{"prompt": "a", "completion": "b", "tags": "x"}', "`tags` must be a list of text"),
    lines("an empty tag", b'{"prompt": "a", "completion": "b", "tags": [""]}', "`tags` must be a list of text"),
    lines("a number as id", b'{"prompt": "a", "completion": "b", "id": 7}', "`id` must be text of 1 to 200 characters"),
    lines("an endless id", b'{"prompt": "a", "completion": "b", "id": "' + b"x" * 201 + b'"}', "`id` must be text"),
    lines("a number as cluster", b'{"prompt": "a", "completion": "b", "cluster": 7}', "`cluster` must be text"),
]

_TURNS = [
    lines("no messages", b'{"messages": []}', "`messages` must be a non-empty list"),
    lines("messages that are text", b'{"messages": "hello"}', "`messages` must be a non-empty list"),
    lines(
        "a message that is text", b'{"messages": ["hello"]}', "messages[0] must be an object with `role` and `content`"
    ),
    lines("a message of ShareGPT", b'{"messages": [{"from": "human", "value": "a"}]}', "unknown key from, value"),
    lines(
        "an unknown role", b'{"messages": [{"role": "bot", "content": "a"}]}', "messages[0].role 'bot' is not one of"
    ),
    lines(
        "no role", b'{"messages": [{"content": "a"}]}', "messages[0].role None is not one of system, user, assistant"
    ),
    lines("parts of content", b'{"messages": [{"role": "user", "content": []}]}', "messages[0].content must be text"),
    lines(
        "no answer in a chat", b'{"messages": [{"role": "user", "content": "a"}]}', "the last message must be the assi"
    ),
    lines(
        "no question in a chat", b'{"messages": [{"role": "assistant", "content": "a"}]}', "there is no user message"
    ),
    lines(
        "a blank question in a chat",
        b'{"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "a"}]}',
        "there is no user message to answer",
    ),
    lines("a blank answer", b'{"prompt": "a", "completion": " \\n"}', "the answer is empty"),
    lines("a blank prompt", b'{"prompt": "", "completion": "b"}', "the prompt is empty"),
    lines(
        "a prompt that is a number", b'{"prompt": 3, "completion": "b"}', "`prompt` must be text or a list of messages"
    ),
    lines("no completion", b'{"prompt": "a"}', "there is no answer: give `completion`"),
    lines("a null completion", b'{"prompt": "a", "completion": null}', "there is no answer: give `completion`"),
    lines(
        "a completion in parts", b'{"prompt": "a", "completion": ["b"]}', "completion[0] must be an object with `role`"
    ),
    lines(
        "a completion by the user",
        b'{"prompt": "a", "completion": [{"role": "user", "content": "b"}]}',
        "`completion` must be text or one assistant message",
    ),
    lines("no output", b'{"instruction": "a", "input": "b"}', "there is no answer: give `output`"),
    lines("a blank instruction", b'{"instruction": " ", "output": "b"}', "the instruction is empty"),
    lines("an input that is a list", b'{"instruction": "a", "input": ["b"], "output": "c"}', "`input` must be text"),
    lines(
        "a history of texts",
        b'{"instruction": "a", "output": "b", "history": ["c"]}',
        "history[0] must be a list of two",
    ),
    lines(
        "a history of one", b'{"instruction": "a", "output": "b", "history": [["c"]]}', "history[0] must be a list of"
    ),
    lines("a history that is text", b'{"instruction": "a", "output": "b", "history": "c"}', "`history` must be a list"),
    lines(
        "a tool", b'{"conversations": [{"from": "tool", "value": "a"}]}', "conversations[0].from 'tool' is not one of"
    ),
    lines(
        "a conversation cut off", b'{"conversations": [{"from": "human", "value": "a"}]}', "the last turn must be gpt's"
    ),
    lines(
        "an unanswerable input", b'{"messages": [{"role": "system", "content": "a"}]}', "no user message", "unlabelled"
    ),
]

_PAIRS = [
    lines("no rejected answer", b'{"prompt": "a", "chosen": "b"}', "rejected is missing", "pairs"),
    lines("no prompt", b'{"chosen": "a", "rejected": "b"}', "prompt is missing, and only whole conversations", "pairs"),
    lines("equal answers", b'{"prompt": "a", "chosen": "b", "rejected": "b"}', "are the same", "pairs"),
    lines("a blank answer of two", b'{"prompt": "a", "chosen": "b", "rejected": " "}', "an answer is empty", "pairs"),
    lines(
        "a score beside", b'{"prompt": "a", "chosen": "b", "rejected": "c", "score": 1}', "unknown key score", "pairs"
    ),
    lines(
        "two prompts",
        b'{"prompt": "a", "messages": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}',
        "a preference has `prompt` or `messages`, not both",
        "pairs",
    ),
    lines(
        "conversations that part early",
        b'{"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],'
        b' "rejected": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "c"}]}',
        "must be one conversation up to the assistant's last message",
        "pairs",
    ),
    lines(
        "conversations that end with the user",
        b'{"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}',
        "must be one conversation up to the assistant's last message",
        "pairs",
    ),
    lines("a labelled row among preferences", GOOD, "chosen is missing", "pairs"),
    lines("a labelled row among texts", GOOD, "needs `text`, a text to learn from", "texts"),
    lines("a blank text", b'{"text": " "}', "needs `text`, a text to learn from", "texts"),
    BrokenFile("a text in Latin-1", "rows.txt", b"fine\n\ncaf\xe9\n", "rows.txt:3", "not UTF-8 at byte 4", "texts"),
]

_CSV = [
    cells("too few cells", CELLS + b"only one\n", 3, "1 cells, and the header has 2 columns"),
    cells("a comma without quotes", CELLS + b"yes, or no,maybe\n", 3, "3 cells, and the header has 2 columns"),
    cells("a quote that never closes", CELLS + b'"open,yes\nfine,yes\n', 3, "a quote that opens in this row is never"),
    cells("text after a quote", CELLS + b'"a"b,yes\n', 3, "a quote inside a quoted cell is doubled"),
    cells("old Mac line ends in CSV", b"prompt,completion\rfine,yes\r", 1, "a carriage return stands outside quotes"),
    cells("semicolons", b"prompt;completion\nfine;yes\n", 1, "cells are parted by commas, not by ';'"),
    cells("tabs", b"prompt\tcompletion\nfine\tyes\n", 1, "cells are parted by commas, not by '\\t'"),
    cells("a column twice", b"prompt,completion,prompt\na,b,c\n", 1, "the column 'prompt' is given twice"),
    cells("an index column", b",prompt,completion\n0,a,b\n", 1, "column 1 of the header has no name; pandas writes"),
    cells("no header", b"why?,so\nfine,yes\n", 2, "found so, why?"),
    cells("an empty answer", CELLS + b"a,\n", 3, "there is no answer: give `completion`"),
    cells("an empty row", CELLS + b",\n", 3, "found nothing"),
    cells(
        "an unknown column", b"prompt,completion,topic\na,b,c\n", 2, "unknown key topic; this is prompt and completion"
    ),
    cells("Latin-1 in CSV", CELLS + b"caf\xe9,yes\n", 3, "not UTF-8 at byte 4 of the line"),
    cells("a row after lines in quotes", b'prompt,completion\n"a\n\nb",yes\nc\n', 5, "1 cells, and the header has 2"),
    cells("a conversation that is not JSON", b"messages\n[{'role': 'user'}]\n", 2, "`messages` must be JSON in CSV"),
    cells("an endless cell", CELLS + b"a" * (5 << 20) + b",yes\n", 3, "a cell is over 4,194,304 characters"),
]

_ARRAYS = [
    array("a row cut off in an array", b'[\n{"prompt": "a",\n"completion', 3, "not valid JSON: Unterminated string"),
    array(
        "no comma between rows", b"[\n" + GOOD + b"\n" + GOOD + b"\n]", 2, "a comma or the end of the array is missing"
    ),
    array("a comma after the last row", b"[\n" + GOOD + b",\n]\n", 3, "not valid JSON: Expecting value"),
    array("text after the array", b"[\n" + GOOD + b"\n]\nmore", 4, "something follows the end of the array"),
    array("an array that never closes", b"[\n" + GOOD + b"\n", 2, "a comma or the end of the array is missing"),
    array("a key twice in an array", b'[\n{\n"prompt": "a",\n"prompt": "b"}]', 4, "the key 'prompt' is given twice"),
    array("NaN in an array", b"[\n" + GOOD + b',\n{"meta": NaN}]', 3, "NaN is not JSON"),
    array("a list in an array", b"[\n" + GOOD + b",\n[]]", 3, "a row must be a JSON object, not an array"),
    array("hostile nesting in an array", b"[\n" + GOOD + b",\n" + b"[" * 200_000, 3, "nested deeper than 100 levels"),
    array("a bad row in an array", b"[\n" + GOOD + b',\n\n{"prompt":\n"a"}]', 4, "there is no answer"),
]

_PACKED = [
    BrokenFile(
        "packed data that end early",
        "rows.jsonl.gz",
        gzip.compress(GOOD + b"\n" + GOOD + b"\n" + GOOD, compresslevel=0)[:-20],
        "rows.jsonl.gz:3",
        "not whole gzip data: Compressed file ended",
    ),
    BrokenFile(
        "a file that is not packed", "rows.jsonl.gz", GOOD, "rows.jsonl.gz:1", "not whole gzip data: Not a gzip"
    ),
    BrokenFile(
        "a packed row", "rows.csv.gz", gzip.compress(CELLS + b"a\n"), "rows.csv.gz:3", "1 cells, and the header"
    ),
    BrokenFile(
        "a wrong checksum",
        "rows.jsonl.gz",
        gzip.compress(GOOD)[:-8] + b"\x00" * 8,
        "rows.jsonl.gz:1",
        "not whole gzip data: CRC check failed",
    ),
    BrokenFile(
        "a number in Parquet",
        "rows.parquet",
        table({"prompt": "a", "completion": "b", "id": None}, {"prompt": "a", "completion": "b", "id": 7}),
        "rows.parquet:2",
        "`id` must be text",
    ),
    BrokenFile(
        "null in Parquet",
        "rows.parquet",
        table({"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": None}),
        "rows.parquet:2",
        "there is no answer: give `completion`",
    ),
    BrokenFile(
        "an unknown column in Parquet",
        "rows.parquet",
        table({"prompt": "a", "completion": "b", "score": 0.5}),
        "rows.parquet:1",
        "unknown key score; this is prompt and completion",
    ),
    BrokenFile(
        "a text of Parquet that is not UTF-8",
        "rows.parquet",
        not_utf8(b"fine", b"caf\xe9", b"fine"),
        "rows.parquet:2",
        "a text is not UTF-8",
    ),
    BrokenFile(
        "an endless row of Parquet",
        "rows.parquet",
        table({"prompt": "a", "completion": "b"}, {"prompt": "a" * (5 << 20), "completion": "b"}),
        "rows.parquet:2",
        "the row is over 4,194,304 bytes",
    ),
]

BROKEN = (*_JSON, *_KEYS, *_TURNS, *_PAIRS, *_CSV, *_ARRAYS, *_PACKED)

# Files that are broken as a whole have no line to name.
BROKEN_AS_A_WHOLE = (
    BrokenFile("not Parquet", "rows.parquet", GOOD, "rows.parquet", "not whole Parquet data"),
    BrokenFile("an empty Parquet file", "rows.parquet", b"", "rows.parquet", "not whole Parquet data"),
    BrokenFile(
        "Parquet that ends early",
        "rows.parquet",
        table({"prompt": "a", "completion": "b"})[:-40],
        "rows.parquet",
        "not whole Parquet data",
    ),
    BrokenFile(
        "Parquet whose columns are not called in UTF-8",
        "rows.parquet",
        table({"prompt": "a", "completion": "b"}).replace(b"prompt", b"pr\xa7mpt"),
        "rows.parquet",
        "not whole Parquet data",
    ),
)

FINE = (("user: fine",), "yes")
ODD = (
    OddFile("no line end", "rows.jsonl", GOOD, ((*FINE, "rows.jsonl:1"),)),
    OddFile(
        "lines of Windows",
        "rows.jsonl",
        GOOD + b"\r\n" + GOOD + b"\r\n",
        ((*FINE, "rows.jsonl:1"), (*FINE, "rows.jsonl:2")),
    ),
    OddFile("a byte order mark", "rows.jsonl", b"\xef\xbb\xbf" + GOOD + b"\n", ((*FINE, "rows.jsonl:1"),)),
    OddFile("empty lines", "rows.jsonl", b"\n\n \t\r\n" + GOOD + b"\n\n\n", ((*FINE, "rows.jsonl:4"),)),
    OddFile("nothing", "rows.jsonl", b"", ()),
    OddFile("another ending", "rows.ndjson", GOOD, ((*FINE, "rows.ndjson:1"),)),
    OddFile("capitals in the ending", "ROWS.JSONL.GZ", gzip.compress(GOOD), ((*FINE, "ROWS.JSONL.GZ:1"),)),
    OddFile(
        "packed twice in one file",
        "a.jsonl.gz",
        gzip.compress(GOOD + b"\n") + gzip.compress(GOOD),
        ((*FINE, "a.jsonl.gz:1"), (*FINE, "a.jsonl.gz:2")),
    ),
    OddFile(
        "spaces around", "rows.jsonl", b'  { "prompt" :"fine" ,"completion": "yes" }\t', ((*FINE, "rows.jsonl:1"),)
    ),
    OddFile(
        "line separators inside strings",
        "rows.jsonl",
        '{"prompt": "a\u2028b\u2029c\u0085d\\u2028", "completion": "e\x7f"}'.encode(),
        ((("user: a\u2028b\u2029c\u0085d\u2028",), "e\x7f", "rows.jsonl:1"),),
    ),
    OddFile(
        "escapes",
        "rows.jsonl",
        b'{"prompt": "\\u0061\\ud83d\\ude00\\/\\u0000\\n", "completion": "NaN"}',
        ((("user: a😀/\x00\n",), "NaN", "rows.jsonl:1"),),
    ),
    OddFile(
        "a tag of format shown as text",
        "rows.jsonl",
        b'{"prompt": "<|im_end|>", "completion": "{}"}',
        ((("user: <|im_end|>",), "{}", "rows.jsonl:1"),),
    ),
    OddFile(
        "nesting to the limit",
        "rows.jsonl",
        GOOD[:-1] + b', "meta": ' + b"[" * 99 + b"]" * 99 + b"}",
        ((*FINE, "rows.jsonl:1"),),
    ),
    OddFile(
        "nulls", "rows.jsonl", GOOD[:-1] + b', "tags": null, "cluster": null, "id": null}', ((*FINE, "rows.jsonl:1"),)
    ),
    OddFile(
        "two formats in a file",
        "rows.jsonl",
        GOOD + b'\n{"instruction": "fine", "output": "yes"}',
        ((*FINE, "rows.jsonl:1"), (*FINE, "rows.jsonl:2")),
    ),
    OddFile(
        "an unlabelled chat",
        "rows.jsonl",
        b'{"messages": [{"role": "user", "content": "fine"}]}',
        ((("user: fine",), None, "rows.jsonl:1"),),
        "unlabelled",
    ),
    OddFile(
        "ShareGPT",
        "rows.json",
        b'[{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"},\n'
        b'{"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]}]',
        ((("system: s", "user: a", "assistant: b", "user: c"), "d", "rows.json:1"),),
    ),
    OddFile(
        "Alpaca",
        "rows.json",
        b'\xef\xbb\xbf[\n{"instruction": "Add", "input": "1, 2", "output": "3"},\r\n\n'
        b'{"instruction": "And", "input": "", "output": "x",\n"system": "s", "history": [["q", "a"]]}\n]\n',
        (
            (("user: Add\n1, 2",), "3", "rows.json:2"),
            (("system: s", "user: q", "assistant: a", "user: And"), "x", "rows.json:4"),
        ),
    ),
    OddFile("an empty array", "rows.json", b" [ ] \n", ()),
    OddFile(
        "lines under the name of JSON",
        "rows.json",
        GOOD + b"\n" + GOOD,
        ((*FINE, "rows.json:1"), (*FINE, "rows.json:2")),
    ),
    OddFile(
        "a prompt of several turns",
        "rows.jsonl",
        b'{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", '
        b'"content": "c"}], "completion": [{"role": "assistant", "content": "d"}]}',
        ((("user: a", "assistant: b", "user: c"), "d", "rows.jsonl:1"),),
    ),
    OddFile("CSV of Excel", "rows.csv", b"\xef\xbb\xbfprompt,completion\r\nfine,yes\r\n", ((*FINE, "rows.csv:2"),)),
    OddFile("CSV without a last line end", "rows.csv", b"prompt,completion\nfine,yes", ((*FINE, "rows.csv:2"),)),
    OddFile("spaces in the header", "rows.csv", b"prompt, completion\nfine,yes", ((*FINE, "rows.csv:2"),)),
    OddFile("a header alone", "rows.csv", b"prompt,completion\n", ()),
    OddFile(
        "quotes, commas and lines in cells",
        "rows.csv",
        b'completion,prompt\n\n"say ""yes"", now","one\r\ntwo\nthree"\nyes,fine\n',
        ((("user: one\r\ntwo\nthree",), 'say "yes", now', "rows.csv:3"), (*FINE, "rows.csv:6")),
    ),
    OddFile(
        "line separators in cells",
        "rows.csv",
        "prompt,completion\na\u2028b\x0bc\x1cd\u0085e,yes\nfine,yes\n".encode(),
        ((("user: a\u2028b\x0bc\x1cd\u0085e",), "yes", "rows.csv:2"), (*FINE, "rows.csv:3")),
    ),
    OddFile(
        "words that are no text elsewhere",
        "rows.csv",
        b"prompt,completion\nNA,null\n",
        ((("user: NA",), "null", "rows.csv:2"),),
    ),
    OddFile(
        "numbers in cells", "rows.csv", b"prompt,completion,id\n007,1e3,5\n", ((("user: 007",), "1e3", "rows.csv:2"),)
    ),
    OddFile(
        "a conversation in a cell",
        "rows.csv",
        b'messages,tags\n"[{""role"": ""user"", ""content"": ""fine""}, '
        b'{""role"": ""assistant"", ""content"": ""yes""}]",x\n',
        ((*FINE, "rows.csv:2"),),
    ),
    OddFile(
        "a long cell",
        "rows.csv",
        b"prompt,completion\n" + b"a" * 200_000 + b",yes\n",
        ((("user: " + "a" * 200_000,), "yes", "rows.csv:2"),),
    ),
    OddFile(
        "Parquet with keys that only some turns have",
        "rows.parquet",
        table(
            {
                "messages": [
                    {"role": "user", "content": "fine", "name": None},
                    {"role": "assistant", "content": "yes", "name": None},
                ],
                "tags": ["x"],
            },
            {
                "messages": [
                    {"role": "user", "content": "fine", "name": None},
                    {"role": "assistant", "content": "yes", "name": None},
                ],
                "tags": None,
            },
        ),
        ((*FINE, "rows.parquet:1"), (*FINE, "rows.parquet:2")),
    ),
    OddFile("Parquet of no rows", "rows.parquet", table(schema=pa.schema([("prompt", pa.string())])), ()),
    OddFile(
        "Parquet of categories",
        "rows.parquet",
        table(
            {"prompt": "fine", "completion": "yes"},
            schema=pa.schema([("prompt", pa.large_string()), ("completion", pa.dictionary(pa.int8(), pa.string()))]),
        ),
        ((*FINE, "rows.parquet:1"),),
    ),
    OddFile(
        "a preference as whole conversations",
        "rows.jsonl",
        b'{"chosen": [{"role": "user", "content": "fine"}, {"role": "assistant", "content": "yes"}],'
        b' "rejected": [{"role": "user", "content": "fine"}, {"role": "assistant", "content": "no"}]}',
        ((*FINE, "rows.jsonl:1"),),
        "pairs",
    ),
    OddFile(
        "a preference whose prompt is messages",
        "rows.jsonl",
        b'{"messages": [{"role": "user", "content": "fine"}], "chosen": "yes", "rejected": "no", "meta": {"gold": 1}}',
        ((*FINE, "rows.jsonl:1"),),
        "pairs",
    ),
    OddFile(
        "preferences in CSV", "rows.csv", b"prompt,chosen,rejected\nfine,yes,no\n", ((*FINE, "rows.csv:2"),), "pairs"
    ),
    OddFile(
        "paragraphs",
        "rows.txt",
        b"\xef\xbb\xbfone\r\ntwo\r\n\r\n \nthree",
        (((), "one\ntwo", "rows.txt:1"), ((), "three", "rows.txt:5")),
        "texts",
    ),
    OddFile(
        "packed paragraphs",
        "rows.txt.gz",
        gzip.compress(b"one\n\ntwo"),
        (((), "one", "rows.txt.gz:1"), ((), "two", "rows.txt.gz:3")),
        "texts",
    ),
    OddFile("texts in CSV", "rows.csv", b"text\none\n", (((), "one", "rows.csv:2"),), "texts"),
)
