"""Read a folder of text files and cut them into passages."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.data.sources import raise_problems, read_limited
from harness.errors import InvalidInputError
from harness.limits import DOCUMENT_BYTES
from harness.records import Passage
from harness.scoring.overlap import UnicodeWords

SUFFIXES = (".txt", ".md")
MAX_PASSAGE_WORDS = 200

# With the blank lines after it, and under the headings that stand directly above it.
_PARAGRAPH = re.compile(r"(?:#[^\n]*\n\s*)*.+?(?:\n[^\S\n]*\n\s*|\Z)", re.DOTALL)
# A run without spaces is cut as well: in Chinese or Thai it may be a whole paragraph.
_PIECE = re.compile(rf"\S{{1,{MAX_PASSAGE_WORDS}}}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The passages of a folder in the order of its file names, and one SHA-256 over the files' names and bytes."""

    passages: tuple[Passage, ...]
    digest: str


def read_documents(folder: Path) -> Documents:
    """Read every .txt and .md file under `folder`; a passage's source is "file#n", n counting from 1.

    Raises:
        InvalidInputError: naming each file or folder that cannot be read, is a link or is not UTF-8; or when there
            is no file with words in it, or there is too much of them.
    """
    digest, passages, problems = hashlib.sha256(), list[Passage](), list[str]()
    files, left = _document_files(folder), DOCUMENT_BYTES
    if sum(path.stat().st_size for path in files) > left:
        raise InvalidInputError(f"{folder}: over {left:,} bytes of documents; take some out")
    for path in files:
        name, content = path.relative_to(folder).as_posix(), read_limited(path, left)
        left -= len(content)
        # No name holds a NUL, and a SHA-256 is 32 bytes long: what is hashed can be read in one way only.
        digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(content).digest())
        try:
            text = content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            problems.append(f"{path}: not UTF-8 at byte {error.start + 1}")
            continue
        passages += [Passage(text=cut, source=f"{name}#{n}") for n, cut in enumerate(cut_passages(text), start=1)]
    raise_problems(problems)
    if not passages:
        raise InvalidInputError(f"{folder}: no {' or '.join(SUFFIXES)} file with words in it; add documents")
    return Documents(passages=tuple(passages), digest=digest.hexdigest())


def cut_passages(text: str) -> Iterator[str]:
    """Whole paragraphs, as many as make up to 200 words; a paragraph of more words is cut between words.

    A heading stays with what stands under it. Words are counted as `UnicodeWords` does: in scripts written without
    spaces each character is one.
    """
    passage, words = "", 0
    for piece, more in _pieces(text.replace("\r\n", "\n").replace("\r", "\n")):
        if words + more > MAX_PASSAGE_WORDS:
            yield passage.strip()
            passage, words = "", 0
        passage, words = passage + piece, words + more
    if words:
        yield passage.strip()


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Paragraphs of up to 200 words, and the parts of longer ones, each with its number of words."""
    for paragraph in _PARAGRAPH.findall(text):
        if (words := _count_words(paragraph)) <= MAX_PASSAGE_WORDS:
            yield paragraph, words
        else:
            yield from ((part, _count_words(part)) for part in _PIECE.findall(paragraph))


def _count_words(text: str) -> int:
    return len(UnicodeWords().tokenize(text))


def _document_files(folder: Path) -> list[Path]:
    found, problems = list[Path](), list[str]()
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        inside = [Path(parent, name) for name in files if name.lower().endswith(SUFFIXES)]
        linked = [path for name in folders if (path := Path(parent, name)).is_symlink()]
        linked += [path for path in inside if path.is_symlink() or not path.is_file()]
        problems += [f"{path}: links and devices are not read; put the file or folder itself there" for path in linked]
        found += inside
    raise_problems(sorted(problems))
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise InvalidInputError(f"{error.filename}: cannot be read: {error.strerror}") from None
