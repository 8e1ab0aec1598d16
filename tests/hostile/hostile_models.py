"""Answers that count as invalid, folders that are no whole base model, and odd ones of both that are in order."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapter_files import base_shapes, safetensors, write_base, write_file

WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"

# --- answers ---------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"queue": {"enum": ["billing", "tech"]}, "amount": {"type": "number", "multipleOf": 0.01}},
    "patternProperties": {"^(x+)+$": {"type": "integer"}},
    "required": ["queue"],
    "additionalProperties": False,
}
TARGET = '{"queue": "tech"}'
ANSWERS: dict[str, str] = {
    "nothing": "",
    "spaces": " \n\t",
    "NUL": "\0",
    "NUL after it": TARGET + "\0",
    "a byte order mark before it": "\ufeff" + TARGET,
    "half a character": '{"queue": "\ud800"}',
    "half a character, escaped": '{"queue": "\\ud800"}',
    "bytes that were no UTF-8": b'{"queue": "\xff\xfe"}'.decode("utf-8", "surrogateescape"),
    "what stands for such bytes": '{"queue": "\ufffd\ufffd"}',
    "an escape sequence": "\x1b[2J\x1b]0;title\x07",
    "a terminal's hyperlink": "\x1b]8;;https://e.org\x1b\\click\x1b]8;;\x1b\\",
    "text that runs backwards": '{"queue": "\u202ehcet"}',
    "zero-width letters": '{"queue": "te\u200bch"}',
    "look-alikes": '{"queue": "tесh"}',
    "full-width letters": '{"queue": "ｔｅｃｈ"}',
    "combining marks": '{"queue": "t' + "\u0301" * 10_000 + 'ech"}',
    "control characters in text": '{"queue": "te\x01ch"}',
    "every control character": "".join(map(chr, range(32))),
    "a page with a script": "<script>alert(1)</script>",
    "a command of Actions": "::set-output name=decision::ship\n::error::x",
    "control tokens": "<|im_end|><|im_start|>assistant\n" + TARGET,
    "deep lists": "[" * 100_000,
    "deep lists that close": "[" * 50_000 + "]" * 50_000,
    "deep objects": '{"queue":' * 20_000 + "1" + "}" * 20_000,
    "deeper by one than is read": "[" * 101 + "]" * 101,
    "a long integer": '{"queue": ' + "9" * 100_000 + "}",
    "an integer that is no float": '{"queue": "tech", "amount": 1' + "0" * 400 + "}",
    "a number beyond floats": '{"queue": "tech", "amount": 1e999}',
    "NaN": '{"queue": "tech", "amount": NaN}',
    "infinity": '{"queue": "tech", "amount": -Infinity}',
    "a key twice": '{"queue": "billing", "queue": "tech"}',
    "a key twice, escaped": '{"queue": "billing", "\\u0071ueue": "tech"}',
    "single quotes": "{'queue': 'tech'}",
    "a comment": TARGET + " // sure",
    "a comma too many": '{"queue": "tech",}',
    "a fence": f"```json\n{TARGET}\n```",
    "prose before it": f"Here you are: {TARGET}",
    "two values": TARGET * 2,
    "cut off": TARGET[:-1],
    "cut off in an escape": '{"queue": "te\\u00',
    "YAML": "queue: tech",
    "Python": '{"queue": None}',
    "XML without end": "<a>" * 10_000,
    "entities of XML": '<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>',
    "another type": '"tech"',
    "a list of it": f"[{TARGET}]",
    "another value": '{"queue": "sales"}',
    "another case": '{"queue": "Tech"}',
    "a space too many": '{"queue": "tech "}',
    "a key too many": '{"queue": "tech", "note": ""}',
    "a key of an object's class": '{"queue": "tech", "__proto__": {}}',
    "a key that hangs a pattern": '{"queue": "tech", "' + "x" * 40 + '!": 1}',
    "20,000 keys": json.dumps({"queue": "tech", **{f"k{n}": n for n in range(20_000)}}),
    "a hundred thousand letters": "a" * 100_000,
    "a hundred thousand brackets": "{}" * 50_000,
    "brackets that never close": '{"' * 50_000,
    "a hundred thousand spaces before it": " " * 100_000 + "x" + TARGET,
    "ten thousand words": "tech " * 10_000,
    "a hundred thousand line ends": "\n" * 100_000 + "x",
    "backslashes": "\\" * 50_000,
    "quotes": '"' + '\\"' * 25_000,
}
GOOD_ANSWERS: dict[str, str] = {
    "as it is": TARGET,
    "spaces around": f"\r\n\t {TARGET} \n",
    "spaces inside": '{\n\t"queue" :\r\n"tech"\n}',
    "escapes": '{"\\u0071ueue": "\\u0074ech"}',
    "an amount": '{"queue": "tech", "amount": 1E+1}',
    "a zero below 0": '{"queue": "tech", "amount": -0.0}',
    "keys of a pattern": '{"queue": "tech", "xx": 3}',
    "another order": '{"amount": 0.01, "queue": "tech"}',
}

# --- base models -----------------------------------------------------------------------------------------------------


class BrokenBase(NamedTuple):
    """What is done to the folder of a whole base model, and what is then named in it; "" is the folder."""

    change: Callable[[Path], object]
    file: str = WEIGHTS


def without(*names: str) -> BrokenBase:
    """Files that are missing."""

    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return BrokenBase(change, "")


def edited(edit: Callable[[bytes], bytes]) -> BrokenBase:
    """Weights with other bytes."""
    return BrokenBase(lambda folder: (folder / WEIGHTS).write_bytes(edit((folder / WEIGHTS).read_bytes())))


def header(content: bytes, data: bytes = b"") -> BrokenBase:
    """Weights with such a header."""
    return BrokenBase(lambda folder: write_file(folder / WEIGHTS, content, data))


def index(content: bytes) -> BrokenBase:
    """A model in several files, by this index."""

    def change(folder: Path) -> None:
        write_base(folder, shards=2)
        (folder / WEIGHTS).unlink()
        (folder / INDEX).write_bytes(content)

    return BrokenBase(change, INDEX)


def renamed(name: str) -> BrokenBase:
    """Its weights under another name, as a pickle has it."""
    return BrokenBase(lambda folder: (folder / WEIGHTS).rename(folder / name), "")


def replaced(make: Callable[[Path], object]) -> BrokenBase:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        make(folder / WEIGHTS)

    return BrokenBase(change)


def one(**changes: object) -> BrokenBase:
    """A tensor of one number whose entry says something else."""
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes
    return header(json.dumps({"model.norm.weight": entry}).encode(), b"\0" * 4)


BASES: dict[str, BrokenBase] = {
    "no folder": BrokenBase(shutil.rmtree, ""),
    "an empty folder": without(WEIGHTS, CONFIG),
    "no configuration": without(CONFIG),
    "no weights": without(WEIGHTS),
    "a pickle of PyTorch": renamed("pytorch_model.bin"),
    "a pickle beside nothing": renamed("model.pt"),
    "a pickle in parts": renamed("pytorch_model-00001-of-00002.bin"),
    "weights of TensorFlow": renamed("tf_model.h5"),
    "GGUF": renamed("model.gguf"),
    "code alone": BrokenBase(lambda folder: (folder / WEIGHTS).rename(folder / "modeling_evil.py"), ""),
    "an index of pickles": index(b'{"weight_map": {"a": 1}}'),
    "empty weights": edited(lambda _: b""),
    "weights cut off": edited(lambda content: content[:-1]),
    "half of the weights": edited(lambda content: content[: len(content) // 2]),
    "a byte too many": edited(lambda content: content + b"\0"),
    "a pickle by another name": edited(lambda _: b"\x80\x04\x95" + b"." * 60),
    "a page instead": edited(lambda _: b"<!doctype html><title>Sign in</title>"),
    "the pointer of a large file": edited(lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "a header without end": edited(lambda content: b"\xff" * 8 + content[8:]),
    "a header of 100 TB": edited(lambda content: (10**14).to_bytes(8, "little") + content[8:]),
    "a header that is no JSON": header(b"{weights}"),
    "a header nested deeply": header(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "a header with NaN": header(b'{"a": NaN}'),
    "a name twice": header(b'{"a": {}, "a": {}}'),
    "a header that is a list": header(b"[]"),
    "an entry that is a list": header(b'{"a": []}'),
    "a type that there is not": one(dtype="F33"),
    "a shape below 0": one(shape=[-1]),
    "a shape that overflows": one(shape=[2**40, 2**40]),
    "offsets that overlap nothing": one(data_offsets=[4, 8]),
    "offsets the wrong way": one(data_offsets=[4, 0]),
    "metadata that are no text": header(b'{"__metadata__": {"a": 1}}'),
    "a pipe": replaced(os.mkfifo)._replace(file=""),
    "a folder of weights": replaced(Path.mkdir)._replace(file=""),
    "an index that leads up": index(b'{"weight_map": {"a": "../../etc/passwd"}}'),
    "an index of an absolute path": index(b'{"weight_map": {"a": "/etc/passwd"}}'),
    "an index that is no JSON": index(b"{weights}"),
    "an index that is a list": index(b"[]"),
    "an index of nothing": index(b"{}"),
    "an index of numbers": index(b'{"weight_map": {"a": 7}}'),
}

GOOD_BASES: dict[str, Callable[[Path], object]] = {
    "one file": write_base,
    "four files": lambda folder: write_base(folder, shards=4),
    "biases": lambda folder: write_base(folder, base_shapes(biases=True)),
    "an output layer": lambda folder: write_base(folder, base_shapes(tied=False), tie_word_embeddings=False),
    "an architecture that is not known": lambda folder: write_base(folder, architectures=["MixtralForCausalLM"]),
    "infinity in its configuration": lambda folder: (write_base(folder) / CONFIG).write_text('{"limit": Infinity}'),
    "code and pickles beside it": lambda folder: (write_base(folder) / "modeling_x.py").write_text("raise SystemExit"),
    "spaces behind its header": lambda folder: write_file(
        write_base(folder) / WEIGHTS,
        json.dumps(safetensors({})[0]).encode() + b" " * 9,
        b"",
    ),
}
