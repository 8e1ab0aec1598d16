"""The files of a split are found as the hub finds them, and their rows are read as any others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from shutil import copyfile

import pytest

from harness.data.formats import describe, to_examples
from harness.data.hub import find_files
from harness.data.reading import read_declared, read_hub
from harness.data.sources import Row
from harness.errors import InvalidInputError
from harness.suite.declaration import HubRows
from harness.suite.load import parse_suite

ROOT = Path(__file__).parents[2]
COMMIT = "e53f048856ff4f594e959d75785d2c2d37b678ee"
ROW = '{"prompt": "%s", "completion": "yes"}\n'
CARD = """\
---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: [main/test-a.jsonl, main/test-b.jsonl]
- config_name: other
  data_files: other/all.jsonl
---
# A data set
"""


class FolderHub:
    """A hub whose data set lies in a folder; gives the files that are asked for, in a snapshot of their own."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.origin, self.snapshot = folder / "origin", folder / "snapshot"
        self.asked: list[list[str]] = []
        for name, content in files.items():
            path = self.origin / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def __call__(self, declared: HubRows, patterns: Sequence[str]) -> Path:
        self.asked.append(list(patterns))
        for path in self.origin.rglob("*"):
            name = path.relative_to(self.origin).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in patterns):
                (self.snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, self.snapshot / name)
        return self.snapshot


def rows(split: str, config: str | None = None) -> HubRows:
    return HubRows(hub="owner/set", revision=COMMIT, split=split, config=config)


MAIN = {
    "README.md": CARD,
    **{
        f"main/{name}.jsonl": ROW % name
        for name in ("train-00001-of-00002", "train-00000-of-00002", "test-a", "test-b", "test-c")
    },
    "main/train-notes.md": "# train",
    "other/all.jsonl": ROW % "all",
}


@pytest.mark.parametrize(
    ("declared", "files"),
    [
        (rows("train", "main"), ("main/train-00000-of-00002.jsonl", "main/train-00001-of-00002.jsonl")),
        (rows("test", "main"), ("main/test-a.jsonl", "main/test-b.jsonl")),
        (rows("train", "other"), ("other/all.jsonl",)),
    ],
    ids=["a pattern", "a list of paths", "a plain path"],
)
def test_the_card_says_which_files_a_split_has(declared: HubRows, files: tuple[str, ...], tmp_path: Path) -> None:
    folder, found = find_files(declared, FolderHub(tmp_path, MAIN))
    assert (folder, found) == (tmp_path / "snapshot", files)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (rows("train"), "`config` must be one of main, other"),
        (rows("train", "third"), "`config` must be one of main, other"),
        (rows("validation", "main"), "`split` must be one of train, test"),
    ],
)
def test_a_choice_that_the_card_does_not_give_is_refused(declared: HubRows, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=reason) as caught:
        find_files(declared, FolderHub(tmp_path, MAIN))
    assert str(caught.value).startswith("owner/set@e53f048856ff/")


def test_the_only_configuration_is_meant_when_none_is_named(tmp_path: Path) -> None:
    card = "---\nconfigs:\n- config_name: main\n  data_files: data.jsonl\n---\n"
    hub = FolderHub(tmp_path, {"README.md": card, "data.jsonl": ROW % "a"})
    assert find_files(rows("train"), hub)[1] == ("data.jsonl",)


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("train.jsonl", True),
        ("data/train-00000-of-00001.parquet", True),
        ("train/part.csv", True),
        ("my_train_rows.json.gz", True),
        ("train2.jsonl", True),
        ("training.jsonl", False),
        ("constrain.jsonl", False),
        ("train.md", False),
        ("test.jsonl", False),
    ],
)
def test_without_a_card_the_names_of_files_and_folders_tell_the_split(
    name: str, is_found: bool, tmp_path: Path
) -> None:
    hub = FolderHub(tmp_path, {name: "", "a/train.txt": ""})
    assert find_files(rows("train"), hub)[1] == tuple(sorted(["a/train.txt"] + [name] * is_found))


def test_without_a_card_a_configuration_is_a_part_of_the_name(tmp_path: Path) -> None:
    hub = FolderHub(tmp_path, {"en/test.jsonl": "", "de/test.jsonl": "", "README.md": "no front matter"})
    assert find_files(rows("test", "de"), hub)[1] == ("de/test.jsonl",)


def test_only_the_files_of_the_split_are_fetched(tmp_path: Path) -> None:
    hub = FolderHub(tmp_path, {"train.jsonl": "", "huge/test.parquet": ""})
    find_files(rows("train"), hub)
    assert not (tmp_path / "snapshot" / "huge").exists()


def test_a_split_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no file of this split \(test\) with one of .jsonl, "):
        find_files(rows("test"), FolderHub(tmp_path, {"train.jsonl": ROW, "README.md": "---\nlicense: mit\n---\n"}))


def test_a_card_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"the front matter of its README\.md:2:1 not valid YAML"):
        find_files(rows("test"), FolderHub(tmp_path, {"README.md": "---\nconfigs: [\n---\n"}))


def test_the_rows_of_all_files_are_read_and_named(tmp_path: Path) -> None:
    files = {"train-0.jsonl": ROW % "a" + ROW % "b", "train-1.csv": "question,completion\nc,yes\n"}
    source = read_hub(rows("train"), {"prompt": "question"}, FolderHub(tmp_path, files))
    found = to_examples(source, labelled=True)
    assert [(row.messages[0].content, row.source) for row in found] == [
        ("a", "owner/set/train-0.jsonl:1"),
        ("b", "owner/set/train-0.jsonl:2"),
        ("c", "owner/set/train-1.csv:2"),
    ]
    assert describe(source) == "JSON Lines and CSV, 3 rows of prompt and completion"
    listed = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items())
    assert (source.digest, source.renamed) == (hashlib.sha256(listed.encode()).hexdigest(), {"question"})
    assert source.path == tmp_path / "snapshot"


def test_rows_that_a_suite_declares_on_the_hub_are_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "tests" / "suites" / "lora.yaml").read_text()
    loaded = parse_suite(text, tmp_path / "suite.yaml", {"data.columns.prompt": "question"}, files=False)
    row = '{"question": "a", "completion": "yes"}'
    monkeypatch.setattr("harness.data.reading.fetch_snapshot", FolderHub(tmp_path, {"test.jsonl": row}))
    assert read_declared(loaded, rows("test")).rows == (
        Row(where="owner/set/test.jsonl:1", value={"prompt": "a", "completion": "yes"}),
    )


def test_a_broken_row_is_named_with_its_data_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^owner/set/data/test\.jsonl:2: not valid JSON"):
        read_hub(rows("test"), {}, FolderHub(tmp_path, {"data/test.jsonl": ROW % "a" + "nothing"}))


SCRIPT = f"""
from harness.data.hub import fetch_snapshot, find_files
from harness.errors import BrokenRunError
from harness.suite.declaration import HubRows

try:
    print(*find_files(HubRows(hub="owner/set", revision="{COMMIT}", split="train"), fetch_snapshot)[1])
except BrokenRunError as error:
    print(error)
"""


def fetched_offline(cache: Path) -> str:
    """What is found in a hub's cache by a process that may not ask the hub."""
    known = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=known, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_split_is_found_offline_when_the_cache_has_all_of_it_and_refused_otherwise(tmp_path: Path) -> None:
    storage = tmp_path / "hub" / "datasets--owner--set"
    names = ("train-0.jsonl", "train-1.jsonl", "test.jsonl")
    listing = {"format_version": 1, "files": {name: {"size": 3, "blob_id": "b" * 40} for name in names}}
    (storage / "snapshots" / COMMIT).mkdir(parents=True)
    (storage / "trees").mkdir()
    (storage / "trees" / f"{COMMIT}.json").write_text(json.dumps(listing))
    (storage / "snapshots" / COMMIT / "train-0.jsonl").write_text("{}\n")
    assert "owner/set@e53f048856ff/train: cannot be had from the hub: " in fetched_offline(tmp_path)
    (storage / "snapshots" / COMMIT / "train-1.jsonl").write_text("{}\n")
    assert fetched_offline(tmp_path) == "train-0.jsonl train-1.jsonl\n"
