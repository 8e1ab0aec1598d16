"""What verdict.json says, for tests that look at it without the reader of the product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OWN = "pkg:pypi/lora-harness#verdict"


def statement_of(folder: Path) -> dict[str, Any]:
    """The whole in-toto Statement of a run folder."""
    found: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return found


def own_part(folder: Path) -> dict[str, Any]:
    """The harness's own part of it: decision, checks, arms, notes and so on."""
    found: dict[str, Any] = statement_of(folder)["predicate"][OWN]
    return found
