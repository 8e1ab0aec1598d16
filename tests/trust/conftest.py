"""A run that shipped, for the tests that forge, verify and outlive its verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forging import Shipped, ship


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A run that shipped, signed and noted; nothing changes it."""
    return ship(tmp_path_factory.mktemp("project"))


@pytest.fixture
def shipped(original: Shipped, tmp_path: Path) -> Shipped:
    """A copy to change."""
    shutil.copytree(original.folder, tmp_path / "run")
    shutil.copytree(original.registry, tmp_path / "baselines")
    return Shipped(tmp_path / "run", tmp_path / "baselines")
