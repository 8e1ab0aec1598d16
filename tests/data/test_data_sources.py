"""Rows are refused exactly beyond a limit, and each problem of a file is told in full, with its name and line."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data import sources
from harness.data.sources import (
    Row,
    Source,
    decode,
    raise_problems,
    read_json_lines,
    read_limited,
    rows_of_json,
    rows_of_lines,
    rows_of_text,
    unpack,
)
from harness.errors import InvalidInputError

BOM = b"\xef\xbb\xbf"


def refusal(read: Callable[[bytes, str], object], content: bytes, name: str = "a.x") -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(content, name)
    return str(caught.value)


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [rows_of_lines, rows_of_json, rows_of_text, decode])
def test_a_file_has_as_many_lines_as_the_limit_and_no_more(
    read: Callable[[bytes, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FILE_LINES", 1200)
    read(b"\n" * 1200, "a.x")
    assert refusal(read, b"\n" * 1201) == "a.x:1201: over 1,200 lines; split the file"


def test_a_packed_file_has_as_many_lines_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FILE_LINES", 1200)
    assert unpack(gzip.compress(b"\n" * 1200), "a.gz") == b"\n" * 1200
    assert refusal(unpack, gzip.compress(b"\n" * 1201), "a.gz") == "a.gz:1201: over 1,200 lines; split the file"


@pytest.mark.parametrize(
    ("read", "most", "more"),
    [
        (rows_of_lines, b"{}\n\n{}", b"{}\n\n{}\n\n\n{}\n{}"),
        (rows_of_json, b"[{},\n\n{}]", b"[{},\n\n{},\n\n\n{},\n{}]"),
        (rows_of_text, b"one\n\ntwo", b"one\n\ntwo\n\n\nthree\nof two lines\n\nfour"),
    ],
)
def test_a_file_has_as_many_rows_as_the_limit_and_the_first_beyond_it_is_named(
    read: Callable[[bytes, str], tuple[Row, ...]], most: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FILE_ROWS", 2)
    assert [row.where for row in read(most, "a.x")] == ["a.x:1", "a.x:3"]
    assert refusal(read, more) == "a.x:6: over 2 rows; split the file"


def test_a_line_has_as_many_bytes_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROW_BYTES", 1200)
    longest = '{"a": "é'.encode() + b"x" * 1189 + b'"}'
    assert len(longest) == 1200 and len(rows_of_lines(longest + b"\n{}", "a.x")) == 2
    assert refusal(rows_of_lines, b"{}\n" + longest + b" \n{}") == "a.x:2: the line is over 1,200 bytes"


def test_a_row_of_an_array_has_as_many_bytes_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROW_BYTES", 1200)
    longest = '{"a": "é'.encode() + b"x" * 1189 + b'"}'
    assert len(longest) == 1200 and len(rows_of_json(b"[" + longest + b" \n , {}]", "a.x")) == 2
    content = b"[{},\n" + longest.replace(b"x", b"xx", 1) + b",\n7]"
    assert refusal(rows_of_json, content) == (
        "a.x:2: the row is over 1,200 bytes\na.x:3: a row must be a JSON object, not a number"
    )


def test_a_paragraph_has_as_many_bytes_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROW_BYTES", 1200)
    longest = "é".encode() + b"x" * 598 + b"\n" + b"x" * 599
    assert len(longest) == 1200 and len(rows_of_text(longest + b"\n\n" + longest, "a.x")) == 2
    assert refusal(rows_of_text, b"one\n\n" + longest + b"x\n") == "a.x:3: the paragraph is over 1,200 bytes"


def test_a_packed_file_has_as_many_bytes_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FILE_BYTES", 200_000)
    assert unpack(gzip.compress(b"x" * 200_000), "a.gz") == b"x" * 200_000
    message = "a.gz: over 200,000 bytes when unpacked; split the file"
    assert refusal(unpack, gzip.compress(b"x" * 200_001), "a.gz") == message


def test_a_file_that_is_read_has_as_many_bytes_as_are_asked_for_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 1200)
    assert read_limited(path, 1200) == b"x" * 1200
    with pytest.raises(InvalidInputError) as caught:
        read_limited(path, 1199)
    assert str(caught.value) == f"{path}: cannot be read: over 1,199 bytes; split the file"


def test_a_file_is_to_be_split_only_where_it_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    for path, code in ((tmp_path / "none.jsonl", errno.ENOENT), (tmp_path / "loop.jsonl", errno.ELOOP)):
        with pytest.raises(InvalidInputError) as caught:
            read_limited(path)
        assert str(caught.value) == f"{path}: cannot be read: {os.strerror(code)}"


def test_what_is_no_regular_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_json_lines(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: not a regular file"


# --- problems --------------------------------------------------------------------------------------------------------


def test_twenty_problems_are_told_in_full_and_one_more_is_counted() -> None:
    raise_problems([])
    problems = [f"a.x:{number}: broken" for number in range(1, 23)]
    for count, end in ((1, []), (20, []), (21, ["... and 1 more"]), (22, ["... and 2 more"])):
        with pytest.raises(InvalidInputError) as caught:
            raise_problems(problems[:count])
        assert str(caught.value).split("\n") == [*problems[: min(count, 20)], *end]


@pytest.mark.parametrize(
    ("read", "content"), [(rows_of_lines, b"1\n2\n\n3\n4\n"), (rows_of_json, b"[1,\n2,\n\n3,\n4\n] and more")]
)
def test_a_file_is_read_on_until_it_has_as_many_problems_as_the_limit(
    read: Callable[[bytes, str], object], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_PROBLEMS_FOUND", 3)
    assert refusal(read, content) == "\n".join(
        f"a.x:{line}: a row must be a JSON object, not a number" for line in (1, 2, 4)
    )


BROKEN_LINES = [
    (b"{}\n\xff\n{}", "a.x:2: not UTF-8 at byte 1 of the line"),
    (BOM + b'{"a": "\xff"}', "a.x:1: not UTF-8 at byte 8 of the line"),
    (b'{}\n {"a": 1,}\n', "a.x:2: not valid JSON at column 10: Expecting property name enclosed in double quotes"),
    (b'{"a": 1, "a": 2}', "a.x:1: not valid JSON at column 10: the key 'a' is given twice"),
    (b"\n" + BOM + b"{} {}", "a.x:2: not valid JSON at column 4: Extra data"),
    (BOM + BOM + b"{}", "a.x:1: not valid JSON at column 1: a byte order mark (BOM) is not JSON"),
    ("{}\n\u00a0\n".encode(), "a.x:2: not valid JSON at column 1: Expecting value"),
    (b"{}\n\x0c\n", "a.x:2: not valid JSON at column 1: Expecting value"),
    (b"{}\nX\n", "a.x:2: not valid JSON at column 1: Expecting value"),
    (b"true", "a.x:1: a row must be a JSON object, not a boolean"),
    (b"0.5", "a.x:1: a row must be a JSON object, not a number"),
    (b"7", "a.x:1: a row must be a JSON object, not a number"),
    (b'"a"', "a.x:1: a row must be a JSON object, not a string"),
    (b"null", "a.x:1: a row must be a JSON object, not null"),
    (
        b"[{}]",
        "a.x:1: a row must be a JSON object, not an array; a file that is one JSON array is named .json",
    ),
    (b"\xff\xfe{\x00}\x00", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
    (b"\xfe\xff\x00{\x00}", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
    (
        b"x\n{}\n\n1\n\xff",
        "a.x:1: not valid JSON at column 1: Expecting value\n"
        "a.x:4: a row must be a JSON object, not a number\n"
        "a.x:5: not UTF-8 at byte 1 of the line",
    ),
]


@pytest.mark.parametrize(("content", "message"), BROKEN_LINES)
def test_every_broken_line_is_told(content: bytes, message: str) -> None:
    assert refusal(rows_of_lines, content) == message


UNCLOSED = "a comma or the end of the array is missing after this row"
BROKEN_ARRAYS = [
    (b"[", "a.x:1: not valid JSON: Expecting value"),
    (b"\n[\n\n", "a.x:4: not valid JSON: Expecting value"),
    (b"[{},]", "a.x:1: not valid JSON: Expecting value"),
    (b"[{},\n\n,{}]", "a.x:3: not valid JSON: Expecting value"),
    (b'[{},\n{"a":\n1,\n}, {}]', "a.x:4: not valid JSON: Expecting property name enclosed in double quotes"),
    (b"\n\n[{}\n,{}\n\n", f"a.x:4: not valid JSON: {UNCLOSED}"),
    (b"[{},\n{}\n\n{},\n{}]", f"a.x:2: not valid JSON: {UNCLOSED}"),
    (b'[{},\n{\n"a":\n1}\n\n{}]', f"a.x:4: not valid JSON: {UNCLOSED}"),
    ("[{}\u00a0]".encode(), f"a.x:1: not valid JSON: {UNCLOSED}"),
    (b"[]x", "a.x:1: not valid JSON: something follows the end of the array"),
    (b"[]]", "a.x:1: not valid JSON: something follows the end of the array"),
    (b"\n[\n]\n\n x\n\n", "a.x:5: not valid JSON: something follows the end of the array"),
    (b"\n[\n{},\n{\n}\n]\n\n x\n\n", "a.x:8: not valid JSON: something follows the end of the array"),
    (
        b'\n[1, [],\n{"a": 1,\n"a": 2},\n{},\n\n"a",\nNaN\nx\n',
        "a.x:2: a row must be a JSON object, not a number\n"
        "a.x:2: a row must be a JSON object, not an array; a file that is one JSON array is named .json\n"
        "a.x:4: not valid JSON: the key 'a' is given twice\n"
        "a.x:7: a row must be a JSON object, not a string\n"
        "a.x:8: not valid JSON: NaN is not JSON\n"
        f"a.x:8: not valid JSON: {UNCLOSED}",
    ),
    (
        b"[1,\n{}\n]\n[]",
        "a.x:1: a row must be a JSON object, not a number\n"
        "a.x:4: not valid JSON: something follows the end of the array",
    ),
    (b"[\n{},\n\xff{}]", "a.x:3: not UTF-8 at byte 1 of the line"),
    (b"\xff\xfe[\x00]\x00", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
    (b"\xfe\xff\x00[\x00]", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
    (b"{}\n\n{}{}", "a.x:3: not valid JSON at column 3: Extra data"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN_ARRAYS)
def test_every_problem_of_an_array_is_told_with_its_own_line(content: bytes, message: str) -> None:
    assert refusal(rows_of_json, content) == message


BROKEN_TEXTS = [
    (b"a\n\nb\xff", "a.x:3: not UTF-8 at byte 2 of the line"),
    (BOM + b"ab\xe9", "a.x:1: not UTF-8 at byte 3 of the line"),
    (BOM + b"\xff", "a.x:1: not UTF-8 at byte 1 of the line"),
    (BOM + b"a\nb\xff", "a.x:2: not UTF-8 at byte 2 of the line"),
    (b"\xff\xfea\x00", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
    (b"\xfe\xff\x00a", "a.x:1: not UTF-8 but UTF-16; save it as UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN_TEXTS)
@pytest.mark.parametrize("read", [rows_of_text, decode])
def test_a_text_that_is_not_utf8_is_refused_with_its_place(
    read: Callable[[bytes, str], object], content: bytes, message: str
) -> None:
    assert refusal(read, content) == message


# --- what is read ----------------------------------------------------------------------------------------------------


def test_json_lines_have_the_path_the_digest_and_the_rows_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.jsonl"
    path.parent.mkdir()
    path.write_bytes(content := BOM + b'{"a": 1}\r\n\r\n\t\n' + BOM + b' {"b": "\xe2\x80\xa8"}')
    assert read_json_lines(path) == Source(
        path=path,
        digest=hashlib.sha256(content).hexdigest(),
        rows=(Row("a.jsonl:1", {"a": 1}), Row("a.jsonl:4", {"b": "\u2028"})),
        container="JSON Lines",
        renamed=frozenset(),
    )


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"[]", ()),
        (b" \n[\n]\n", ()),
        (b"[{},{}]", (Row("a.x:1", {}), Row("a.x:1", {}))),
        (
            b'\n\n[{"a": [1,\n2]},\n\n{}\n,\n{}, {}\n]\n',
            tuple(Row(f"a.x:{line}", value) for line, value in ((3, {"a": [1, 2]}), (6, {}), (8, {}), (8, {}))),
        ),
        (BOM + b"[\r\n{}\t,\r\n{}\r\n]", (Row("a.x:2", {}), Row("a.x:3", {}))),
        (b"\n{}\n{}", (Row("a.x:2", {}), Row("a.x:3", {}))),
        (b"", ()),
    ],
)
def test_rows_of_an_array_have_the_line_where_they_begin(content: bytes, rows: tuple[Row, ...]) -> None:
    assert rows_of_json(content, "a.x") == rows


def test_paragraphs_have_the_line_where_they_begin_and_end_at_any_blank_line() -> None:
    assert rows_of_text(b"\n\none\n two \n\t\nthree\r\n\r\n\n\nfour\nfive", "a.x") == (
        Row("a.x:3", {"text": "one\n two "}),
        Row("a.x:6", {"text": "three"}),
        Row("a.x:10", {"text": "four\nfive"}),
    )


# --- gzip ------------------------------------------------------------------------------------------------------------


def many_lines() -> bytes:
    """Lines of 64 bytes that differ, 150,016 bytes in all."""
    return b"".join(hashlib.sha256(b"%d" % number).hexdigest()[:63].encode() + b"\n" for number in range(2344))


def test_packed_data_are_unpacked_whole_and_in_any_number_of_parts() -> None:
    content = many_lines()
    assert unpack(gzip.compress(content), "a.gz") == content
    assert unpack(gzip.compress(content) + gzip.compress(b"the end"), "a.gz") == content + b"the end"
    assert unpack(b"", "a.gz") == b""


def test_packed_data_that_end_early_are_named_with_the_line_that_is_not_whole() -> None:
    stored = gzip.compress(many_lines(), compresslevel=0)
    message = "not whole gzip data: Compressed file ended before the end-of-stream marker was reached"
    assert refusal(unpack, stored[:-8], "a.gz") == f"a.gz:2345: {message}"
    assert refusal(unpack, gzip.compress(b"a\nb\nc", compresslevel=0)[:-9], "a.gz") == f"a.gz:3: {message}"


def test_packed_data_that_are_damaged_are_named_with_the_line_that_the_last_whole_part_of_64_kib_ends_in() -> None:
    packing = zlib.compressobj(wbits=31)
    whole = packing.compress(b"x\n" * 50_000) + packing.flush(zlib.Z_FULL_FLUSH)
    message = "not whole gzip data: Error -3 while decompressing data: invalid block type"
    assert refusal(unpack, whole + b"\x07", "a.gz") == f"a.gz:32769: {message}"


def test_packed_data_with_a_wrong_checksum_or_something_behind_them_are_refused() -> None:
    packed = gzip.compress(content := b"a\nb\n")
    wrong = packed[:-8] + b"\x00" * 4 + packed[-4:]
    message = f"a.gz:3: not whole gzip data: CRC check failed 0x0 != {zlib.crc32(content):#x}"
    assert refusal(unpack, wrong, "a.gz") == message
    assert refusal(unpack, packed + b"xy", "a.gz") == "a.gz:3: not whole gzip data: Not a gzipped file (b'xy')"
