"""Safetensors files without torch: the header read strictly, all bytes hashed and found finite in one pass."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.errors import InvalidInputError
from harness.limits import HEADER_BYTES, WEIGHTS_BYTES
from harness.strict_json import StrictJsonError, parse

MOST_DIMENSIONS = 8
NAME_LETTERS = 500  # of a tensor
CHUNK = 8 * 2**20  # bytes read at a time; a multiple of every item's size

ITEM_BITS = {
    **dict.fromkeys(("C64", "F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
# Data type -> the integers of its bits, and those that are all set in NaN and infinity (IEEE 754; bfloat16 as float32).
FLOATS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}


_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file: `begin` and `end` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@contextlib.contextmanager
def open_regular(path: Path, *, largest: int) -> Iterator[BinaryIO]:
    """Open a file of up to `largest` bytes for reading, if it is one: no link, pipe, device or folder.

    Raises:
        InvalidInputError: it is something else, is larger, or cannot be read.
    """
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would hold the run for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidInputError(
                f"{path}: a link, whose target could change after it was read; copy the folder with `cp -rL`"
            ) from None
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise InvalidInputError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if found.st_size > largest:
            raise InvalidInputError(f"{path}: {found.st_size:,} bytes; at most {largest:,} are read")
        try:
            yield stream
        except OSError as error:
            raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from None


def read_whole(path: Path, *, largest: int) -> bytes:
    """All bytes of a regular file.

    Raises:
        InvalidInputError: as `open_regular`, or it changed while it was read.
    """
    with open_regular(path, largest=largest) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = _read_up_to(stream, size + 1)
    if len(content) != size:
        raise InvalidInputError(f"{path}: changed while it was read")
    return content


def parse_header(path: Path, header: bytes, data_bytes: int) -> dict[str, StoredTensor]:
    """Name -> tensor, by the header of a file that has `data_bytes` bytes after it.

    The format: https://github.com/huggingface/safetensors#format. Every byte belongs to exactly one tensor.

    Raises:
        InvalidInputError: the header is not that of a whole file; `path` is what the message names.
    """
    try:
        value = parse(header.decode("utf-8"))
    except (UnicodeDecodeError, StrictJsonError) as error:
        raise InvalidInputError(f"{path}: its header is not strict JSON: {error}") from None
    if not isinstance(value, dict) or not header.startswith(b"{"):
        raise InvalidInputError(f"{path}: its header must be a JSON object from the first byte on")
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(item, str) for item in metadata.values()):
        raise InvalidInputError(f"{path}: its `__metadata__` must hold texts only")
    if too_long := next((name for name in value if len(name) > NAME_LETTERS), None):
        raise InvalidInputError(f"{path}: tensor {shown(too_long)}: a name of over {NAME_LETTERS} characters")
    tensors = {name: _read_entry(f"{path}: tensor {shown(name)}", entry) for name, entry in value.items()}
    reached = 0
    for name, tensor in sorted(tensors.items(), key=_place):
        if tensor.begin != reached:
            problem = "overlaps the tensor before it" if tensor.begin < reached else "leaves a gap before it"
            raise InvalidInputError(
                f"{path}: tensor {shown(name)} {problem}: it begins at byte {tensor.begin:,}, not at {reached:,}"
            )
        reached = tensor.end
    if reached != data_bytes:
        raise InvalidInputError(
            f"{path}: {data_bytes:,} bytes of data, and its tensors take {reached:,}; it is cut off or has a rest"
        )
    if b"-" in _TEXTS.sub(b"", header):
        raise InvalidInputError(f"{path}: its header writes a number with a sign, as -0; shapes and places have none")
    return tensors


def _place(item: tuple[str, StoredTensor]) -> tuple[int, int]:
    return item[1].begin, item[1].end


def _read_entry(where: str, entry: Any) -> StoredTensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidInputError(f"{where}: must have `dtype`, `shape` and `data_offsets`, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise InvalidInputError(f"{where}: the data type {shown(dtype)} is not known")
    if not _are_counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise InvalidInputError(f"{where}: the shape must be up to {MOST_DIMENSIONS} whole numbers from 0 on")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InvalidInputError(f"{where}: `data_offsets` must be where it begins and where it ends")
    needed = math.prod(shape) * ITEM_BITS[dtype]
    if needed != (offsets[1] - offsets[0]) * 8:
        raise InvalidInputError(
            f"{where}: {dtype} of shape {shape} takes {needed / 8:,.10g} bytes, not {offsets[1] - offsets[0]:,}"
        )
    return StoredTensor(dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(value: Any) -> bool:
    # A truth value is an int in Python, and 1.0 equals 1; neither is a count.
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**53 for item in value)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by its header alone; links are followed by whoever resolves the path.

    Raises:
        InvalidInputError: as `open_regular` and `parse_header`.
    """
    with open_regular(path, largest=WEIGHTS_BYTES) as stream:
        return _open_header(path, stream)[0]


def hash_finite(path: Path, tensors: Mapping[str, StoredTensor]) -> str:
    """The SHA-256 of exactly those bytes of a file that were found to be these tensors, all of them finite.

    Raises:
        InvalidInputError: as `open_regular`; a tensor that is not float16, bfloat16 or float32; a number that is not
            finite; or the file is no longer the one whose header was read.
    """
    with open_regular(path, largest=WEIGHTS_BYTES) as stream:
        again, header = _open_header(path, stream)
        if again != tensors:
            raise InvalidInputError(f"{path}: changed while it was read")
        digest = hashlib.sha256(len(header).to_bytes(8, "little") + header)
        for name, tensor in sorted(tensors.items(), key=_place):
            if tensor.dtype not in FLOATS:
                raise InvalidInputError(
                    f"{path}: tensor {shown(name)} is {tensor.dtype}; only {', '.join(FLOATS)} can be judged"
                )
            for start in range(tensor.begin, tensor.end, CHUNK):
                wanted = min(CHUNK, tensor.end - start)
                chunk = _read_up_to(stream, wanted)
                if len(chunk) < wanted:
                    raise InvalidInputError(f"{path}: cut off while it was read")
                digest.update(chunk)
                _refuse_infinite(f"{path}: tensor {shown(name)}", chunk, tensor, start - tensor.begin)
        if stream.read(1):
            raise InvalidInputError(f"{path}: grew while it was read")
    return digest.hexdigest()


def _open_header(path: Path, stream: BinaryIO) -> tuple[dict[str, StoredTensor], bytes]:
    """The tensors and the bytes of the header; the stream then stands where the data begin."""
    size = os.fstat(stream.fileno()).st_size
    start = _read_up_to(stream, 8)
    length = int.from_bytes(start, "little")
    if length > size - 8:
        raise InvalidInputError(f"{path}: not a safetensors file, or cut off in its header")
    if length > HEADER_BYTES:
        raise InvalidInputError(f"{path}: a header of {length:,} bytes; at most {HEADER_BYTES:,} are read")
    header = _read_up_to(stream, length)
    return parse_header(path, header, size - 8 - length), header


def _read_up_to(stream: BinaryIO, count: int) -> bytes:
    """As many bytes, or all that are left; a single read may return fewer."""
    pieces: list[bytes] = []
    while count and (piece := stream.read(count)):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _refuse_infinite(where: str, chunk: bytes, tensor: StoredTensor, offset: int) -> None:
    kind, exponent = FLOATS[tensor.dtype]
    bits = np.frombuffer(chunk, dtype=kind)
    bad = (bits & bits.dtype.type(exponent)) == exponent
    if bad.any():
        first = offset // bits.itemsize + int(bad.argmax())
        place = [int(index) for index in np.unravel_index(first, tensor.shape)]
        raise InvalidInputError(f"{where} is not finite: there is NaN or infinity at {place}")


def compare_shapes(path: Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """Hold the tensors of a file to those that there must be.

    Raises:
        InvalidInputError: one is missing, is not among them, or has another shape.
    """
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    shapes = [name for name in expected if name in found and expected[name] != found[name]]
    for problem, names in (("missing", missing), ("not part of it", extra), ("of another shape", shapes)):
        if names:
            first = names[0]
            sizes = f" ({list(found[first])}, not {list(expected[first])})" if names is shapes else ""
            raise InvalidInputError(
                f"{path}: {len(names)} tensors are {problem}, the first is {shown(first)}{sizes}; "
                "it was made for another base model or with other settings than its configuration says"
            )


def shown(value: Any) -> str:
    """What stands in a file, short and without control characters."""
    text = value if isinstance(value, str) and value.isascii() and value.isprintable() else ascii(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
