"""The limits that the README lists are those that hold."""

from __future__ import annotations

import re
from pathlib import Path

from harness import limits

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def size(count: int) -> str:
    """Bytes in the largest unit in which they are a whole number."""
    unit, power = next((unit, power) for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)) if count >= 1 << power)
    assert count % (1 << power) == 0
    return f"{count >> power} {unit}"


def test_the_readme_lists_every_limit_as_it_is() -> None:
    (table,) = re.findall(r"### Limits\n.*?\|---\|---\|\n(.*?)\n\n", README, re.DOTALL)
    listed = [row.split(" | ")[1].removesuffix(" |") for row in table.splitlines()]
    memory = f"{size(limits.WORKER_BYTES)} of memory"
    assert listed == [
        f"{size(limits.YAML_BYTES)}, {limits.YAML_DEPTH} levels",
        f"{size(limits.FILE_BYTES)}, packed and unpacked; {limits.FILE_LINES:,} lines",
        f"{limits.FILE_ROWS:,}, each of {size(limits.ROW_BYTES)}",
        size(limits.DOCUMENT_BYTES),
        f"{limits.JSON_DEPTH} levels, integers of {limits.JSON_DIGITS:,} digits",
        size(limits.TEXT_BYTES),
        size(limits.TOKENIZER_BYTES),
        size(limits.MODEL_JSON_BYTES),
        f"{size(limits.WEIGHTS_BYTES)} a file, of which {size(limits.HEADER_BYTES)} say what is in it",
        f"rank {limits.RANK:,}, alpha {limits.ALPHA:,}, {limits.VIRTUAL_TOKENS:,} virtual tokens, "
        f"{limits.MODULE_NAMES:,} module names, {limits.CLASS_LABELS:,} classes",
        size(limits.REPLY_BYTES),
        f"{limits.RULE_SECONDS:g} s of computing, {memory}",
        f"{limits.TEXT_SECONDS:g} s of computing, {memory}, {size(limits.RENDERED_BYTES)} of text",
        f"{limits.BRACKETS:,} opening brackets",
        f"{limits.ROUGE_WORDS:,} words a side",
        f"{limits.RESAMPLES:,}",
    ]


def test_no_limit_is_missing_from_the_list() -> None:
    numbers = [name for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)]
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in numbers if f"limits.{name}" not in source] == []
