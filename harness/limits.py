"""What every input may be at most: hitting a limit is an error, never a silent cut. The README lists them.

A limit is generous, so that only what is hostile or broken meets it. What an answer may cost is limited in computing
time and memory, not by the clock, so that a busy machine changes no score.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

YAML_BYTES = 1 << 17  # of a suite, a task.yaml or a --set value: half a second of parsing
YAML_DEPTH = 30  # of mappings and lists in each other

FILE_BYTES = 1 << 30  # of a file of rows, questions, scores or evidence, packed and unpacked
FILE_LINES = 5_000_000
FILE_ROWS = 1_000_000
ROW_BYTES = 4 << 20
TEXT_BYTES = 1 << 20  # of a prompt, template, rubric, grammar, schema, lock or verdict; of a card or ratings
DOCUMENT_BYTES = 1 << 26  # of all documents of a folder: half a minute of reading
TOKENIZER_BYTES = 1 << 27  # of each file of a tokenizer

JSON_DEPTH = 100  # of arrays and objects in each other
JSON_DIGITS = 4300  # of an integer; CPython's own limit for text to int

REPLY_BYTES = 4 << 20  # of one response of a server, with its head
RENDERED_BYTES = 16 << 20  # of one conversation, as a chat template writes it

MODEL_JSON_BYTES = 16 << 20  # of a base model's config.json and index of weights
HEADER_BYTES = 2 << 20  # of a safetensors file: some 14,000 tensors
WEIGHTS_BYTES = 64 << 30  # of a safetensors file of an adapter or a whole model
RANK = 1024  # of a low-rank adapter
ALPHA = 65_536
VIRTUAL_TOKENS = 1024
MODULE_NAMES = 10_000  # that an adapter's configuration lists
CLASS_LABELS = 10_000  # of a classifier

RULE_SECONDS = 5.0  # of computing: to read a schema, pattern, grammar or chat template
TEXT_SECONDS = 1.0  # of computing: to judge one answer by it, or to render one conversation
WORKER_BYTES = 1 << 30  # of memory for either

BRACKETS = 1000  # tried in one answer, to find the JSON in it; each costs a pass over the text
ROUGE_WORDS = 20_000  # of an answer, and of a reference
RESAMPLES = 1_000_000  # that a suite may ask for


def read_within(path: Path, most: int) -> bytes:
    """The bytes of a file, all of them.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe or a device may have no end), or has more than `most`
            bytes.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    content = b""
    if facts.st_size <= most:
        with path.open("rb") as stream:
            content = stream.read(most + 1)  # it may have grown
    if max(facts.st_size, len(content)) > most:
        raise OSError(errno.EFBIG, f"over {most:,} bytes", str(path))
    return content
