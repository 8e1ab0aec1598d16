"""Where a suite's project keeps its baselines and reports, found from the suite and not from the working folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SUITES = "suites"
MARKS = ("baselines", ".git", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class ProjectFolders:
    """The folders of a project that outlive a run."""

    root: Path
    baselines: Path
    reports: Path


def project_folders(suite_folder: Path) -> ProjectFolders:
    """The nearest folder above the suite with baselines/, .git or pyproject.toml.

    Where there is none it is the folder that holds `suites`, or else the suite's parent.
    """
    above = list(suite_folder.resolve().parents)
    bare = next((folder.parent for folder in above if folder.name == SUITES), above[0])
    root = next((folder for folder in above if any((folder / mark).exists() for mark in _marks(folder))), bare)
    return ProjectFolders(root=root, baselines=root / "baselines", reports=root / "reports")


def _marks(folder: Path) -> tuple[str, ...]:
    """What tells that a folder is a project's root; among suites, one may be called `baselines`."""
    return tuple(mark for mark in MARKS if not (mark == "baselines" and folder.name == SUITES))
