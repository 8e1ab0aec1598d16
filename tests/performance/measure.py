"""Two sides of one comparison, alternating in one process: medians of times, ratios, and exact counts."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.clock import utc_now
from harness.engine.catalogue import locate
from harness.engine.loading import LoadedModel, load
from harness.environment import cache_folder, quiet_libraries, value

MODEL = "smollm2-135m-instruct"
OUTPUT = Path("reports") / "performance"
Side = Callable[[], Mapping[str, Any]]  # does the work once and returns its counts


def arguments(description: str, **defaults: int) -> argparse.Namespace:
    """Command-line options with whole-number defaults; each script says what they mean."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    return parser.parse_args()


def real_model() -> LoadedModel:
    """The demo's model in float32."""
    quiet_libraries()
    name, folder = locate(MODEL, suite_folder=Path(), cache=cache_folder())
    return load(name, folder)


def data_folder() -> Path:
    """The folder of real data sets, named by HARNESS_TEST_DATA."""
    folder = value("HARNESS_TEST_DATA")
    if folder is None:
        raise SystemExit("set HARNESS_TEST_DATA to the folder with the real data sets (mmlu/ and others)")
    return Path(folder)


def alternate(sides: Mapping[str, Side], *, repeats: int) -> dict[str, dict[str, Any]]:
    """Run the sides in turn, `repeats` times; every repetition must count the same.

    Returns side -> {"seconds": median, "all_seconds": [...], and its counts}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    counts: dict[str, dict[str, Any]] = {}
    for repetition in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            found = dict(side())
            seconds[name].append(time.perf_counter() - started)
            assert counts.setdefault(name, found) == found, f"{name} counted differently in repetition {repetition}"
            print(f"  {name}: {seconds[name][-1]:.1f} s", flush=True)
    return {
        name: {"seconds": statistics.median(seconds[name]), "all_seconds": seconds[name], **counts[name]}
        for name in sides
    }


def report(name: str, results: Mapping[str, Mapping[str, Any]], *, ours: str, **facts: Any) -> None:
    """Print how many times faster `ours` is than every other side, with all counts, and write them as JSON."""
    ratios = {other: results[other]["seconds"] / results[ours]["seconds"] for other in results if other != ours}
    for side, found in results.items():
        shown = {key: number for key, number in found.items() if key not in {"seconds", "all_seconds"}}
        print(f"{side}: {found['seconds']:.2f} s {json.dumps(shown)}")
    for other, ratio in ratios.items():
        print(f"{ours} against {other}: {ratio:.2f}x")
    for key, fact in facts.items():
        print(f"{key}: {fact}")
    whole = {
        "name": name,
        "when": utc_now().isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "ratios": ratios,
        "sides": results,
        **facts,
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f"{name}.json").write_text(json.dumps(whole, indent=1, default=str) + "\n", encoding="utf-8")
