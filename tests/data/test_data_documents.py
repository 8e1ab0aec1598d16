"""A folder of documents is read strictly and cut into passages of whole paragraphs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.documents import MAX_PASSAGE_WORDS, cut_passages, read_documents
from harness.errors import InvalidInputError
from harness.limits import DOCUMENT_BYTES
from harness.scoring.overlap import UnicodeWords


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.md").write_bytes(text.encode())
    return folder


def words(count: int, word: str = "word") -> str:
    return " ".join([word] * count)


def count_words(text: str) -> int:
    return len(UnicodeWords().tokenize(text))


def test_files_are_read_in_the_order_of_their_names_when_folders_are_nested(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/deep/er.MD", "a.md", "a/code.py", "README"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    assert [(passage.source, passage.text) for passage in read_documents(tmp_path).passages] == [
        ("a.md#1", "text of a.md"),
        ("a/deep/er.MD#1", "text of a/deep/er.MD"),
        ("a/z.md#1", "text of a/z.md"),
        ("b.txt#1", "text of b.txt"),
    ]


def test_passages_are_numbered_within_their_file_when_it_is_long(tmp_path: Path) -> None:
    write(tmp_path, a=f"{words(150)}\n\n{words(150)}", b="short")
    assert [passage.source for passage in read_documents(tmp_path).passages] == ["a.md#1", "a.md#2", "b.md#1"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert read_documents(tmp_path).passages[0].text == "hello"


def test_the_digest_changes_when_a_name_or_a_byte_does(tmp_path: Path) -> None:
    folders = {
        "plain": {"a": "one", "b": "two"},
        "byte": {"a": "one", "b": "two "},
        "renamed": {"a": "one", "c": "two"},
        "swapped": {"a": "two", "b": "one"},
        "empty": {"a": "one", "b": "two", "c": ""},
    }
    digests = set()
    for name, files in folders.items():
        (tmp_path / name).mkdir()
        digests.add(read_documents(write(tmp_path / name, **files)).digest)
    assert len(digests) == len(folders)


def test_the_digest_stays_when_the_folder_is_another_with_the_same_documents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, b="two", a="one")
    (tmp_path / "two" / "picture.png").write_bytes(b"\x89PNG")
    assert read_documents(tmp_path / "one").digest == read_documents(tmp_path / "two").digest


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_documents(folder)
    return str(caught.value)


def test_it_is_refused_when_the_folder_is_missing_or_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone") == f"{tmp_path / 'gone'}: cannot be read: No such file or directory"
    (tmp_path / "file").write_text("text")
    assert refusal(tmp_path / "file") == f"{tmp_path / 'file'}: cannot be read: Not a directory"


@pytest.mark.parametrize("content", [None, "", " \n\n\t", "---\n\n***\n"])
def test_it_is_refused_when_there_are_no_words(content: str | None, tmp_path: Path) -> None:
    (tmp_path / "notes.rst").write_text("not read")
    if content is not None:
        write(tmp_path, a=content)
    assert refusal(tmp_path) == f"{tmp_path}: no .txt or .md file with words in it; add documents"


def test_every_file_is_named_when_several_are_not_utf_8(tmp_path: Path) -> None:
    write(tmp_path, good="fine")
    (tmp_path / "bad.txt").write_bytes(b"ab\xff")
    (tmp_path / "latin.md").write_bytes("é".encode("latin-1"))
    assert refusal(tmp_path).splitlines() == [
        f"{tmp_path / 'bad.txt'}: not UTF-8 at byte 3",
        f"{tmp_path / 'latin.md'}: not UTF-8 at byte 1",
    ]


@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_link_is_refused_when_it_could_lead_outside(target: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "documents", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    write(outside, secret="secret")
    write(folder, fine="fine")
    link = folder / "link.md"
    link.symlink_to({"file": outside / "secret.md", "folder": outside, "nothing": outside / "gone"}[target])
    assert refusal(folder) == f"{link}: links and devices are not read; put the file or folder itself there"


def test_a_link_is_passed_over_when_it_is_to_no_document(tmp_path: Path) -> None:
    (tmp_path / "logo.png").symlink_to(tmp_path / "gone.png")
    assert len(read_documents(write(tmp_path, a="fine")).passages) == 1


def test_it_does_not_wait_when_a_document_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'pipe.txt'}: links and devices are not read")


def test_a_file_is_read_when_its_name_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("fine")
    assert [passage.text for passage in read_documents(tmp_path).passages] == ["fine"]


def test_paragraphs_are_joined_when_they_fit_together() -> None:
    text = "\n\n".join([words(100, "a"), words(100, "b"), words(1, "c"), words(200, "d")])
    assert [count_words(passage) for passage in cut_passages(text)] == [200, 1, 200]
    assert next(cut_passages(text)) == f"{words(100, 'a')}\n\n{words(100, 'b')}"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_paragraph_ends_at_a_blank_line_when_that_has_spaces(newline: str) -> None:
    text = f"{words(150, 'a')}\n{words(40, 'a')}\n \t\n\n{words(30, 'b')}\n".replace("\n", newline)
    assert list(cut_passages(text)) == [f"{words(150, 'a')}\n{words(40, 'a')}", words(30, "b")]


def test_a_heading_stays_with_its_text_when_a_passage_ends_before_it() -> None:
    text = f"# Guide\n\n{words(150)}\n\n## Refunds\n\n### When\n{words(120)}\n\n## End"
    first, second = cut_passages(text)
    assert first == f"# Guide\n\n{words(150)}"
    assert second == f"## Refunds\n\n### When\n{words(120)}\n\n## End"


def test_a_paragraph_is_cut_between_words_when_it_is_too_long() -> None:
    text = "\n".join(words(30, f"line{n}") for n in range(20))
    passages = list(cut_passages(text))
    assert [count_words(passage) for passage in passages] == [200, 200, 200]
    assert " ".join(passages).split() == text.split()


def test_a_paragraph_is_cut_when_it_is_written_without_spaces() -> None:
    passages = list(cut_passages("退款政策" * 130))
    assert [len(passage) for passage in passages] == [200, 200, 120]
    assert "".join(passages) == "退款政策" * 130


PIECES = st.lists(st.sampled_from(["word", "слово", "词语", "#", "--", "a-b", "x\ny", "# head\n"]), max_size=9)
PARAGRAPHS = st.lists(
    st.builds(lambda pieces, times: " ".join(pieces * times), PIECES, st.sampled_from([1, 20, 60])), max_size=6
)


@settings(deadline=None)
@given(paragraphs=PARAGRAPHS)
def test_no_word_is_lost_and_no_passage_is_too_long_when_texts_are_random(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    passages = list(cut_passages(text))
    assert [word for passage in passages for word in UnicodeWords().tokenize(passage)] == UnicodeWords().tokenize(text)
    assert all(0 < count_words(passage) <= MAX_PASSAGE_WORDS for passage in passages)


def test_a_folder_of_too_many_bytes_is_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(DOCUMENT_BYTES // 2 + 1)
    with pytest.raises(InvalidInputError, match="over 67,108,864 bytes of documents; take some out"):
        read_documents(tmp_path)
