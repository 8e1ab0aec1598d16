"""Where the numbers of a run come from: the libraries, and the commit that its suite stands at."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path


def library_versions() -> dict[str, str]:
    """The versions that a manifest names."""
    names = ("torch", "transformers", "peft", "lm-eval", "tokenizers", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def git_state(folder: Path) -> tuple[str | None, bool]:
    """The commit that the suite stands at, and whether something is not committed; (None, False) without git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    return git("rev-parse", "HEAD"), git("status", "--porcelain") != ""  # what cannot be told is not clean
