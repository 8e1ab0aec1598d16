"""What the shell completes: the suites and the finished runs of the project that one stands in.

Called at each press of the tab key, so it looks at names of files and reads none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

SUITES = ("*/suite.yaml", "suites/*/suite.yaml")
RUNS = "*/*/manifest.json"


def complete_suites(_context: click.Context, _argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The folders of suites below the working folder and in the project's `suites`, by name."""
    from harness.store.project import project_folders

    here = Path.cwd()
    root = project_folders(here / "suite").root
    found = {path.parent for pattern in SUITES for folder in (here, root) for path in folder.glob(pattern)}
    return _items(sorted(found), here, incomplete)


def complete_runs(_context: click.Context, _argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The folders of the project's finished runs, the newest of each suite first."""
    from harness.store.project import project_folders

    here = Path.cwd()
    found = {path.parent for path in project_folders(here / "suite").reports.glob(RUNS)}
    newest = sorted(found, key=lambda path: path.name, reverse=True)
    return _items(sorted(newest, key=lambda path: path.parent.name), here, incomplete)


def _items(folders: Iterable[Path], here: Path, incomplete: str) -> list[CompletionItem]:
    """Those that continue what was typed, as seen from here; when none does, the shell completes paths."""
    names = [os.path.relpath(folder, here) for folder in folders]
    fitting = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return fitting or [CompletionItem(incomplete, type="file")]
