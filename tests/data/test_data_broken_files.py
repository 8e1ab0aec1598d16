"""Every broken file is refused with file, line and reason; every odd one is read as what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from broken_files import BROKEN, BROKEN_AS_A_WHOLE, ODD, BrokenFile, OddFile

from harness.data.formats import to_examples, to_pairs, to_texts
from harness.data.reading import read_rows
from harness.errors import InvalidInputError
from harness.records import Example


def examples_of(folder: Path, file: BrokenFile | OddFile) -> tuple[Example, ...]:
    path = folder / file.name
    path.write_bytes(file.content)
    source = read_rows(path)
    if file.form == "pairs":
        return to_pairs(source)
    return to_texts(source) if file.form == "texts" else to_examples(source, labelled=file.form == "labelled")


def test_the_corpus_has_its_size_and_no_case_twice() -> None:
    assert len(BROKEN) >= 60
    titles = [file.title for file in (*BROKEN, *BROKEN_AS_A_WHOLE, *ODD)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.title)
def test_a_broken_file_is_refused_with_file_line_and_reason(file: BrokenFile, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        examples_of(tmp_path, file)
    first = str(caught.value).splitlines()[0]
    assert re.match(rf"{re.escape(file.where)}: ", first), first
    assert file.reason in first


@pytest.mark.parametrize("file", BROKEN_AS_A_WHOLE, ids=lambda file: file.title)
def test_a_file_that_is_broken_as_a_whole_is_refused_by_its_name(file: BrokenFile, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        examples_of(tmp_path, file)
    assert str(caught.value).startswith(f"{file.where}: ") and file.reason in str(caught.value)


@pytest.mark.parametrize("file", ODD, ids=lambda file: file.title)
def test_an_odd_file_is_read_as_what_it_is(file: OddFile, tmp_path: Path) -> None:
    found = examples_of(tmp_path, file)
    turns = [tuple(f"{message.role}: {message.content}" for message in row.messages) for row in found]
    assert list(zip(turns, [row.target for row in found], [row.source for row in found], strict=True)) == list(
        file.found
    )
