"""Where a suite's project keeps its baselines and reports, found from the suite and not from the working folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARKS = ("baselines", ".git", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class ProjectFolders:
    """The folders of a project that outlive a run."""

    root: Path
    baselines: Path
    reports: Path


def project_folders(suite_folder: Path) -> ProjectFolders:
    """The nearest folder above the suite with baselines/, .git or pyproject.toml; else the suite's parent."""
    above = list(suite_folder.resolve().parents)
    root = next((folder for folder in above if any((folder / mark).exists() for mark in MARKS)), above[0])
    return ProjectFolders(root=root, baselines=root / "baselines", reports=root / "reports")
