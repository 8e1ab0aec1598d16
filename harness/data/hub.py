"""Find the files of a data set on the Hugging Face hub: one split, at one commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from harness.errors import BrokenRunError, InvalidInputError
from harness.limits import TEXT_BYTES, read_within
from harness.suite.declaration import HubRows
from harness.suite.source import Document, read

CARD = "README.md"
KINDS = (".jsonl", ".json", ".csv", ".parquet", ".txt")
ENDINGS = tuple(f"{kind}{packed}" for kind in KINDS for packed in ("", ".gz"))

Fetch = Callable[[HubRows, Sequence[str]], Path]  # the folder that has every file of these patterns


def find_files(declared: HubRows, fetch: Fetch) -> tuple[Path, tuple[str, ...]]:
    """The folder of a hub data set and its files of the declared split, in the order of their names.

    The split is what the card's `configs` say; without them, the files and folders that carry its name, as the hub
    itself reads a repository (https://huggingface.co/docs/hub/datasets-data-files-configuration).

    Raises:
        InvalidInputError: there is no such configuration or split, or the card cannot be read.
        BrokenRunError: the hub cannot be reached, or has no such data set at this commit.
    """
    configs = _configs(fetch(declared, [CARD]) / CARD, declared)
    named = _paths(configs, declared) if configs else None
    folder = fetch(declared, named or [f"*{declared.split}*{ending}" for ending in ENDINGS])
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    known = [name for name in names if name.lower().endswith(ENDINGS)]
    if named is None:
        wanted = [declared.split, *([declared.config] if declared.config else [])]
        files = [name for name in known if all(_carries(name, word) for word in wanted)]
    else:
        files = [name for name in known if any(fnmatch(name, pattern) for pattern in named)]
    if not files:
        wanted_files = " ".join(named or [declared.split])
        raise InvalidInputError(f"{declared}: no file of this split ({wanted_files}) with one of {', '.join(KINDS)}")
    return folder, tuple(files)


def fetch_snapshot(declared: HubRows, patterns: Sequence[str]) -> Path:
    """Download the files of these patterns, or find them in the hub's cache, which knows whether they are complete.

    Raises:
        BrokenRunError: the hub cannot be reached, or has no such data set at this commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = list(patterns)
    try:
        return Path(
            snapshot_download(declared.hub, repo_type="dataset", revision=declared.revision, allow_patterns=wanted)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BrokenRunError(f"{declared}: cannot be had from the hub: {error}") from None


def _configs(card: Path, declared: HubRows) -> list[dict[str, Any]]:
    """The configurations that a data set's card declares in its front matter; none without a card."""
    try:
        text = read_within(card, TEXT_BYTES).decode("utf-8", errors="replace") if card.is_file() else ""
    except OSError as error:
        raise InvalidInputError(f"{declared}: its {CARD} cannot be read: {error.strerror}") from None
    front = re.match(r"---\r?\n(.*?\n)---\s*(?:\n|$)", text, re.DOTALL)
    document = read(front[1], most_bytes=TEXT_BYTES) if front else Document()
    if document.problems:
        what = document.problems[0].render(f"the front matter of its {CARD}")
        raise InvalidInputError(f"{declared}: {what}")
    found = document.data.get("configs") if isinstance(document.data, dict) else None
    listed = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    return [item for item in listed if "data_files" in item]


def _paths(configs: list[dict[str, Any]], declared: HubRows) -> list[str]:
    """The patterns of the declared split."""
    by_name = {str(item.get("config_name", "default")): item for item in configs}
    name = declared.config or ("default" if "default" in by_name or len(by_name) > 1 else next(iter(by_name)))
    if name not in by_name:
        raise InvalidInputError(f"{declared}: `config` must be one of {', '.join(by_name)}")
    splits = _splits(by_name[name]["data_files"])
    if declared.split not in splits:
        raise InvalidInputError(f"{declared}: `split` must be one of {', '.join(splits)}")
    return splits[declared.split]


def _splits(declared: Any) -> dict[str, list[str]]:
    """Split -> its patterns; a plain path or list of paths is the split train."""
    listed = declared if isinstance(declared, list) else [declared]
    splits: dict[str, list[str]] = {}
    for item in listed:
        split, path = (item.get("split"), item.get("path")) if isinstance(item, dict) else ("train", item)
        splits.setdefault(str(split), []).extend(str(one) for one in (path if isinstance(path, list) else [path]))
    return splits


def _carries(name: str, word: str) -> bool:
    """Whether a path has `word` in it, parted from the rest by something that is no letter."""
    return re.search(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", name) is not None
