"""The only reader of environment variables."""

from __future__ import annotations

import os
import warnings
from pathlib import Path


def cache_folder() -> Path:
    """Where converted models are kept: HARNESS_CACHE, else the user's cache folder."""
    chosen = os.environ.get("HARNESS_CACHE")  # noqa: TID251
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")  # noqa: TID251
    return (Path(base) if base else Path.home() / ".cache") / "lora-harness"


def quiet_libraries() -> None:
    """Silence third-party progress bars, warnings and telemetry; must run before those libraries are imported."""
    settings = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)  # noqa: TID251
    # They warn of settings that other libraries make, which no user of ours can change.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def value(name: str) -> str | None:
    """The value of one environment variable, None when it is unset or empty."""
    return os.environ.get(name) or None  # noqa: TID251
