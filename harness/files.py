"""Every write of the product: a file or a folder is either the old one or the new one, never a mixture.

What is new is written under another name in the same folder, made durable, and put in place by one rename, so that a
kill, a power cut or a full disk at any moment leaves the old state or the new one. What a killed process leaves under
such a name ends in `.part`, is read by nothing, and goes when the folder is held next.

Every call that changes a disk is one of `os`, looked up there, so that tests can let each of them fail in turn.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ".part"
PRIVATE = 0o700  # the mode of a folder that is its owner's only
PATIENCE_SECONDS = 30.0  # for another process that holds a folder
_held: set[tuple[int, int]] = set()  # device and inode of the folders that this process holds


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` atomically: temporary file in the same folder, fsync, rename, fsync of the folder."""
    make_folder(path.parent)
    temporary = _unfinished(path)
    with _named(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise
        sync(path.parent)


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that must not be there yet, from its first moment open to no more than `mode` allows.

    Raises:
        FileExistsError: there is one, or a link of that name.
    """
    make_folder(path.parent)
    with _named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except BaseException:
            _unlink(path)
            raise
        finally:
            os.close(descriptor)
        sync(path.parent)


def write_text(path: Path, content: str) -> None:
    """Replace a UTF-8 text file atomically; line ends are written as they are."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace a JSON Lines file atomically, one compact object a line."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_text(path, "".join(lines))


def append_line(path: Path, line: str) -> None:
    """Append one line to a UTF-8 text file, wholly or not at all; the folder is held meanwhile.

    The file is written anew: a line that was appended in place could be cut off by a kill or a full disk.
    """
    make_folder(path.parent)
    with hold(path.parent):
        earlier = path.read_bytes() if path.exists() else b""
        if earlier and not earlier.endswith(b"\n"):
            earlier += b"\n"
        write_bytes(path, earlier + line.encode("utf-8") + b"\n")


def remove(paths: Iterable[Path]) -> None:
    """Remove files of one folder, those that are there, durably."""
    for path in (gone := list(paths)):
        with _named(path):
            _unlink(path)
    for folder in {path.parent for path in gone}:
        sync(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, one by one; links are removed, not followed.

    What a kill leaves of it is not the whole: only for what is read by a seal or a manifest over all of it.
    """
    with _named(folder):
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                os.unlink(entry.path)
        os.rmdir(folder)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are not there yet, durably; the umask narrows `mode`."""
    for missing in reversed([above for above in (folder, *folder.parents) if not above.exists()]):
        with contextlib.suppress(FileExistsError):
            claim_folder(missing, mode=mode)


def claim_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder inside one that is there.

    Raises:
        FileExistsError: it is there already: of several who try at once, one makes it.
    """
    with _named(folder):
        os.mkdir(folder, mode)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Make a file's content durable, or the names in a folder, as rename alone does not."""
    with _named(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make all that a library wrote into a folder durable, before anything names it."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            sync_tree(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            sync(Path(entry.path))
    sync(folder)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Build a folder under another name and put it in place, whole and durable, when the block ends well.

    Raises:
        FileExistsError: there is one of this name by then, with something in it; it stays.
    """
    make_folder(target.parent)
    building = _unfinished(target)
    with _named(target):
        os.mkdir(building)
    try:
        yield building
        with _named(target):
            sync_tree(building)
            _put_in_place(building, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            remove_tree(building)
        raise
    sync(target.parent)


def point_link(link: Path, target: Path) -> None:
    """Let a link lead elsewhere, in one step; `target` is relative to its folder."""
    temporary = _unfinished(link)
    with _named(link):
        try:
            os.symlink(target, temporary)
            os.replace(temporary, link)
        except BaseException:
            _unlink(temporary)
            raise
        sync(link.parent)


def _put_in_place(building: Path, target: Path) -> None:
    try:
        os.replace(building, target)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # POSIX leaves the choice between this and EEXIST
            raise FileExistsError(errno.EEXIST, "exists already", str(target)) from None
        raise


@contextlib.contextmanager
def hold(folder: Path, *, seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Keep other processes from holding a folder, and remove what a killed one left unfinished in it.

    The lock (flock) is on the folder itself: there is no file to leave behind, and it ends with its process, however
    that ends. A block inside another one of the same process holds the folder already.

    Raises:
        BlockingIOError: another process still holds it after so many seconds.
    """
    found = os.stat(folder)
    if (key := (found.st_dev, found.st_ino)) in _held:
        yield
        return
    descriptor = _lock(folder, time.monotonic() + seconds)
    _held.add(key)
    try:
        _sweep(folder)
        yield
    finally:
        _held.remove(key)
        with _named(folder):
            os.close(descriptor)


def in_use(folder: Path) -> bool:
    """Whether another process holds a folder."""
    try:
        with hold(folder, seconds=0):
            return False
    except BlockingIOError:
        return True


def _lock(folder: Path, until: float) -> int:
    """A descriptor that locks the folder while it is open."""
    with _named(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError as error:
                    if time.monotonic() >= until:
                        error.strerror = "in use by another process; run again when that has ended"
                        raise
                time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise


def _sweep(folder: Path) -> None:
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(".") and entry.name.endswith(UNFINISHED):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                os.unlink(entry.path)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{UNFINISHED}")


def _unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of the operating system names the file that was meant, not its temporary name or none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
