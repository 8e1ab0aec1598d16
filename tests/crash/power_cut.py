"""What a disk may hold after a power cut, at every call of `harness.files` to the operating system.

Only what POSIX promises is taken as kept: a file's content after an fsync of the file, names after an fsync of their
folder. Of all else each part is there or not, whatever the order in which it was written, as in Pillai et al. 2014,
"All File Systems Are Not Created Equal" (OSDI).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from faulty_os import CALLS

FEW = 4  # folders or files that are not durable, of which every choice is tried; of more, each alone

Names = Mapping[str, int]  # what a folder holds: name -> inode
Tree = Mapping[str, bytes | None]  # path -> content of a file, target of a link (after a zero byte), None for a folder


class PowerCutOs:
    """In the place of `os`: the same, noting before each call that changes a disk what a cut would leave.

    Everything below `root` counts as durable when it begins. Nothing is made durable for real.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._kept = root, dict[int, int]()  # inode -> a descriptor of it
        self.states: dict[str, Tree] = {}  # by a digest; random names do not count
        self.calls = 0
        self._durable_names: dict[int, Names] = {}
        self._durable_content: dict[int, bytes] = {}
        names, content = self._now()
        self._durable_names |= names
        self._durable_content |= content

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in (*CALLS, "symlink"):
            return call

        def noted(*arguments: Any, **settings: Any) -> Any:
            self.calls += 1
            self.states |= self.possible()
            return self._sync(*arguments) if name == "fsync" else call(*arguments, **settings)

        return noted

    def release(self) -> None:
        """Let go of what kept numbers of inodes from being given again."""
        for descriptor in self._kept.values():
            os.close(descriptor)

    def possible(self) -> dict[str, Tree]:
        """Every state that a cut could leave now, by a digest."""
        found: dict[str, Tree] = {}
        names, content = self._now()
        root = self._number(self._root)
        folders = [one for one, now in names.items() if self._durable_names.get(one) != now]
        files = [one for one, now in content.items() if self._durable_content.get(one) != now]
        for lost_names in choices(folders):
            for lost_content in choices(files):
                seen_names = {**self._durable_names, **{one: names[one] for one in names if one not in lost_names}}
                old = {one: self._durable_content.get(one, b"") for one in lost_content}
                tree = dict(self._tree(root, "", seen_names, {**self._durable_content, **content, **old}))
                found.setdefault(digest(tree), tree)
        return found

    def _tree(
        self, folder: int, path: str, names: Mapping[int, Names], content: Mapping[int, bytes]
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, number in names.get(folder, {}).items():
            place = f"{path}{name}"
            if number in content:
                yield place, content[number]
            else:
                yield place, None
                yield from self._tree(number, f"{place}/", names, content)

    def _now(self) -> tuple[dict[int, Names], dict[int, bytes]]:
        names: dict[int, Names] = {}
        content: dict[int, bytes] = {}
        for folder, _, _ in os.walk(self._root):
            entries = {entry.name: (self._number(Path(entry.path)), entry) for entry in os.scandir(folder)}
            names[self._number(Path(folder))] = {name: number for name, (number, _) in entries.items()}
            for number, entry in entries.values():
                if entry.is_symlink():  # which is durable or not with its name
                    content[number] = self._durable_content[number] = b"\0" + os.fsencode(os.readlink(entry.path))
                elif entry.is_file():
                    content[number] = Path(entry.path).read_bytes()
        return names, content

    def _number(self, path: Path) -> int:
        """The number of an inode, which is kept from being given to another."""
        number = path.lstat().st_ino
        if number not in self._kept:
            self._kept[number] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        return number

    def _sync(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if stat.S_ISDIR(found.st_mode):
            self._durable_names[found.st_ino] = {e.name: self._number(Path(e.path)) for e in os.scandir(path)}
        else:
            self._durable_content[found.st_ino] = path.read_bytes()


def choices(parts: Sequence[int]) -> Iterable[frozenset[int]]:
    """Which of the parts are lost: every choice of a few; of many none, all, and each alone."""
    sizes = range(len(parts) + 1) if len(parts) <= FEW else (0, 1, len(parts))
    return [frozenset(lost) for size in sizes for lost in combinations(parts, size)]


def digest(tree: Tree) -> str:
    """Of all that a tree holds, whatever random names are in it."""
    lines = sorted(f"{re.sub(r'[0-9a-f]{16}', '', path)} {content!r}" for path, content in tree.items())
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def write_tree(tree: Tree, folder: Path) -> Path:
    """The disk as it is found when the power is back."""
    folder.mkdir()
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir()
        elif content.startswith(b"\0"):
            (folder / path).symlink_to(os.fsdecode(content[1:]))
        else:
            (folder / path).write_bytes(content)
    return folder
