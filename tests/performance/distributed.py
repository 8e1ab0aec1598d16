"""The demo suite trained by one process and by two of `accelerate launch`: both loss curves, and how far they part.

python -m tests.performance.distributed --epochs 1

Dropout is 0, since processes draw theirs apart. Exit code 1 where a loss differs by more than the tolerance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.clock import utc_now
from harness.environment import cache_folder
from tests.performance.measure import OUTPUT, arguments

SUITE = Path(__file__).parents[2] / "suites" / "ticket-triage"
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", "0"]
TOLERANCE = 1e-5  # nats per token, in float32; 1.3e-6 was seen over the 37 updates of an epoch


def main() -> int:
    """Train the suite twice from nothing, print the curves, and write them as JSON."""
    asked = arguments(__doc__ or "", epochs=1, processes=2)
    with tempfile.TemporaryDirectory() as name:
        one = _train(Path(name) / "one", [], asked.epochs)
        two = _train(Path(name) / "two", [*LAUNCH, "--num_processes", str(asked.processes)], asked.epochs)
    print("step  train (1)  train (2)  validation (1)  validation (2)")
    for first, second in zip(one["points"], two["points"], strict=True):
        losses = [point[loss] for loss in ("train_loss", "validation_loss") for point in (first, second)]
        print(f"{first['step']:4}  " + "  ".join("        -" if loss is None else f"{loss:9.6f}" for loss in losses))
    largest = {loss: _largest(one, two, loss) for loss in ("train_loss", "validation_loss")}
    differing = [key for key in ("trained_tokens", "last_step", "best_step", "stop_reason") if one[key] != two[key]]
    for loss, (difference, step) in largest.items():
        print(f"{loss}: at most {difference:.2e} apart, at step {step} (tolerance {TOLERANCE:g})")
    print(f"processes {one['world_size']} and {two['world_size']}; {one['seconds']:.0f} s and {two['seconds']:.0f} s")
    print(f"tokens, steps and reason to stop: {'differ in ' + ', '.join(differing) if differing else 'the same'}")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    whole = {"when": utc_now().isoformat(timespec="seconds"), "largest": largest, "one": one, "two": two}
    (OUTPUT / "distributed.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(bool(differing) or max(difference for difference, _ in largest.values()) > TOLERANCE)


def _train(folder: Path, launcher: list[str], epochs: int) -> dict[str, Any]:
    """The history of a training with nothing in its cache but the models that were converted before."""
    cache = folder / "cache"
    cache.mkdir(parents=True)
    models = (cache_folder() / "models").resolve()
    models.mkdir(parents=True, exist_ok=True)
    (cache / "models").symlink_to(models)
    command = [sys.executable, *launcher, "-m", "harness", "train", str(SUITE), "--out", str(folder / "adapter")]
    command += ["--set", "train.dropout=0", "--set", f"train.epochs={epochs}"]
    started = time.perf_counter()
    # As many threads for one process as for each of several: the order of sums depends on them.
    subprocess.run(command, env=os.environ | {"HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}, check=True)
    print(f"{folder.name}: {time.perf_counter() - started:.0f} s with its start")
    (history,) = cache.glob("trainings/*/result/history.json")
    found: dict[str, Any] = json.loads(history.read_text(encoding="utf-8"))
    return found


def _largest(one: dict[str, Any], two: dict[str, Any], loss: str) -> tuple[float, int]:
    pairs = zip(one["points"], two["points"], strict=True)
    return max((abs(a[loss] - b[loss]), a["step"]) for a, b in pairs if a[loss] is not None)


if __name__ == "__main__":
    sys.exit(main())
