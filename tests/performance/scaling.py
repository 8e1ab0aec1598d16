"""What more workers gain: waiting, the tiny model's run and computing, each with Ray to start and with Ray running.

    OMP_NUM_THREADS=1 python -m tests.performance.scaling     # about ten minutes; prints Markdown tables

Every row is a whole `run_in_parts`, merge included. "Cold" starts Ray, its workers and what they import, and ends Ray;
"warm" finds a running Ray whose workers have imported everything, as on a cluster between two runs.

1. Waiting: 160 stored answers of a real run are given again at a pace, each after a sleep, by shards that need no
   torch. This is what the parts and the merge cost by themselves.
2. Two workers against one part in a process without Ray: the tiny model's run, its local arms only.
3. Computing: as 1, each answer after the same number of SHA-256 rounds on one thread. More workers than cores gain
   nothing.
4. The real thing: an `endpoint` arm that asks a slow server on 127.0.0.1, one question at a time. Every part plans the
   whole run, imports torch and loads the model; for more workers than cores this would time little else.

The scores of all runs of one suite must be the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray

from harness.clock import utc_now
from harness.distributing import Files, Order, Part, compute_part, run_in_parts
from harness.engine.share import Share
from harness.executors import Executor, LocalExecutor, RayExecutor
from harness.files import write_bytes, write_json_lines
from harness.judge import judge_run
from harness.progress import SilentProgress
from harness.store.facts import to_plain
from harness.store.project import project_folders
from harness.store.runs import begin_run, finish_run, read_run
from tests.systems.faulty_server import FaultyServer, Request, answers

ANSWERS = 160
SLEEP, SERVER_SECONDS, ROUNDS = 0.1, 0.25, 200_000  # an answer
WAITING, COMPUTING, ASKING = (1, 2, 4, 8), (1, 2, 4), (1, 2)  # workers
CORES = len(os.sched_getaffinity(0))
LIGHT, HEAVY = ("harness.store.runs", "harness.distributing"), ("torch", "transformers", "peft", "harness.produce")
OUTPUT = Path("reports") / "performance"
ARMS = """\
systems:
  candidate: {kind: adapter, role: candidate, system: plain.txt}
  bare: {kind: prompt, role: baseline, system: plain.txt}"""
API = "\n  api: {{kind: endpoint, base_url: '{url}', model: slow, concurrency: 1, timeout_seconds: 30}}"
Compute = Callable[[Part], Files]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one `run_in_parts` took, in seconds: the whole, and its three phases, which overlap between workers."""

    wall: float
    before: float  # until the first part began: Ray and its workers
    importing: float  # the longest of the parts
    computing: float  # the longest of the parts
    after: float  # the last part is done: end of Ray where it was started, merge
    processes: tuple[int, ...]
    scores: str  # SHA-256


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Does the work of a part, and notes in the folder `marks` when, and in which process."""

    compute: Compute
    imports: Sequence[str]
    marks: Path

    def __call__(self, part: Part) -> Files:
        began = time.perf_counter()  # of the machine's clock, so that processes can be compared
        _import(self.imports)
        imported = time.perf_counter()
        files = self.compute(part)
        noted = {"process": os.getpid(), "began": began, "imported": imported, "ended": time.perf_counter()}
        (self.marks / f"{part.index}.json").write_text(json.dumps(noted), encoding="utf-8")
        return files


def _import(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def replayed(whole: Path, pace: Callable[[], Any], part: Part) -> Files:
    """The shard of a stored run that a worker would have made, with `pace` before each of its answers."""
    run, share = read_run(whole), Share(part.index, part.count)
    own = []
    for answer in run.predictions:
        if share.takes_next():
            pace()
            own.append(answer)
    with tempfile.TemporaryDirectory() as name:
        folder = begin_run(Path(name) / f"{whole.name}-shard-{part.index}-of-{part.count}", {})
        for file in run.manifest.evidence:
            write_bytes(folder / file, (whole / file).read_bytes())
        write_json_lines(folder / "predictions.jsonl", [to_plain(answer) for answer in own])
        finish_run(folder, replace(run.manifest, shard=str(share)))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder.parent).as_posix(): path.read_bytes() for path in files}


def measured(
    suite: Path, compute: Compute, executor: Executor, workers: int, *, imports: Sequence[str]
) -> tuple[Taken, Path]:
    """Compute and merge a run, which is not judged within the time; returns its folder too."""
    order = Order(
        suite=suite / "suite.yaml",
        settings={},
        adapter=suite.parent / "adapter",
        fresh=True,
        locked=False,
        command="harness run",
    )
    with tempfile.TemporaryDirectory() as name:
        noted = Noted(compute=compute, imports=imports, marks=Path(name))
        began = time.perf_counter()
        made = run_in_parts(
            order,
            executor,
            workers=workers,
            folders=project_folders(suite),
            progress=SilentProgress(),
            compute=noted,
        )
        ended = time.perf_counter()
        marks = [json.loads(path.read_text(encoding="utf-8")) for path in noted.marks.iterdir()]
    assert len(marks) == workers, "every part was computed"
    judge_run(made, utc_now)
    taken = Taken(
        wall=ended - began,
        before=min(mark["began"] for mark in marks) - began,
        importing=max(mark["imported"] - mark["began"] for mark in marks),
        computing=max(mark["ended"] - mark["imported"] for mark in marks),
        after=ended - max(mark["ended"] for mark in marks),
        processes=tuple(sorted({mark["process"] for mark in marks})),
        scores=hashlib.sha256((made / "scores.jsonl").read_bytes()).hexdigest(),
    )
    return taken, made


def on_ray(suite: Path, compute: Compute, workers: int, *, warm: bool, imports: Sequence[str]) -> Taken:
    """One run on Ray, whose workers share the cores where there are more of them."""
    executor = RayExecutor(cpus=min(1.0, CORES / workers))
    with _warmed(executor, workers, imports) if warm else contextlib.nullcontext() as processes:
        taken, _ = measured(suite, compute, executor, workers, imports=imports)
    assert len(taken.processes) == workers, "each part had a process of its own"
    assert processes is None or set(taken.processes) <= processes, "a worker was started within the time"
    return taken


@contextlib.contextmanager
def _warmed(executor: RayExecutor, workers: int, imports: Sequence[str]) -> Iterator[set[int]]:
    """Ray with so many workers that have imported everything; yields their processes."""
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as name:
            found = executor.map(partial(_get_ready, Path(name), workers, imports), range(workers))
        yield {process for process in found if isinstance(process, int)}
    finally:
        ray.shutdown()


def _get_ready(meeting: Path, workers: int, imports: Sequence[str], index: int) -> int:
    """Import, and wait for the other workers, so that none of them does the work of two."""
    _import(imports)
    (meeting / str(index)).touch()
    while len(list(meeting.iterdir())) < workers:
        time.sleep(0.01)
    return os.getpid()


def in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns in a process that has not imported torch."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def write_project(project: Path, url: str) -> None:
    """Two suites on tiny models, and one adapter for both: they train alike."""
    from harness.prepare import read_inputs
    from harness.produce import train_only
    from harness.suite.load import load_suite
    from tests.tiny_model import write_tiny_suite

    (project / "baselines").mkdir()
    for name, systems, rows in (("local", ARMS, ANSWERS // 2), ("remote", ARMS + API.format(url=url), ANSWERS)):
        (project / name).mkdir()
        write_tiny_suite(
            project / name,
            test_rows=rows,
            suite=f"suite: {name}",
            systems=systems,
            checks="checks:\n  - {kind: better_than}",
        )
    loaded = load_suite(project / "local" / "suite.yaml", {})
    inputs = read_inputs(loaded, registry=project / "baselines", adapter=None)
    train_only(inputs, project / "adapter", SilentProgress(), clock=utc_now)


def in_this_process(suite: Path) -> tuple[Taken, Path]:
    """The whole run as one part, without Ray."""
    return measured(suite, compute_part, LocalExecutor(), 1, imports=HEAVY)


def series(
    suite: Path, compute: Compute, counts: Sequence[int], *, imports: Sequence[str]
) -> dict[str, dict[int, Taken]]:
    """Warm and cold runs for each number of workers; all have the same scores."""
    found: dict[str, dict[int, Taken]] = {"warm": {}, "cold": {}}
    for workers in counts:
        for kind, runs in found.items():
            runs[workers] = on_ray(suite, compute, workers, warm=kind == "warm", imports=imports)
            print(f"  {suite.name}, workers {workers}, {kind}: {runs[workers].wall:.1f} s", flush=True)
    return found


def scaling_table(title: str, serial: float, found: dict[str, dict[int, Taken]]) -> Iterator[str]:
    """Ideal is `serial` seconds divided by the workers, however few the cores; efficiency is ideal over wall."""
    yield f"\n{title}\n"
    yield "| workers | ideal s | warm: wall s | efficiency | cold: wall s | efficiency | cold: until a part begins s |"
    yield "|---" * 7 + "|"
    for workers, warm in found["warm"].items():
        ideal, cold = serial / workers, found["cold"][workers]
        yield (
            f"| {workers} | {ideal:.1f} | {warm.wall:.2f} | {ideal / warm.wall:.0%} | {cold.wall:.2f} | "
            f"{ideal / cold.wall:.0%} | {cold.before:.2f} |"
        )


def overhead_table(runs: dict[str, Taken]) -> Iterator[str]:
    """The phases of the runs of the tiny suite."""
    yield f"\nThe tiny model's run ({ANSWERS} answers) in two parts against one\n"
    yield "| run | wall s | until a part begins | importing, longest | computing, longest | end of Ray and merge |"
    yield "|---" * 6 + "|"
    for name, taken in runs.items():
        phases = (taken.wall, taken.before, taken.importing, taken.computing, taken.after)
        yield f"| {name} | {' | '.join(f'{seconds:.2f}' for seconds in phases)} |"


def slow_server() -> FaultyServer:
    """Answers every question after the same time."""

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        time.sleep(SERVER_SECONDS)
        answers(connection, request, server)

    return FaultyServer(behave)


def main() -> None:
    """Measure all four, print each table as it is known, and hold the scores together."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name, slow_server() as server:
        project = Path(name)
        os.environ["HARNESS_CACHE"] = str(project / "cache")
        in_new_process(write_project, project, server.base_url)
        local, remote = project / "local", project / "remote"
        alone, whole = in_new_process(in_this_process, local)
        sleeping = partial(replayed, whole, partial(time.sleep, SLEEP))
        waiting = series(local, sleeping, WAITING, imports=LIGHT)
        title = f"Waiting: {ANSWERS} answers, {SLEEP:g} s of sleep each"
        _show(scaling_table(title, ANSWERS * SLEEP, waiting))
        overhead = {
            "one part, no Ray": alone,
            "Ray, 2 workers, cold": on_ray(local, compute_part, 2, warm=False, imports=HEAVY),
            "Ray, 2 workers, warm": on_ray(local, compute_part, 2, warm=True, imports=HEAVY),
        }
        _show(overhead_table(overhead))
        hashing = partial(replayed, whole, partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", ROUNDS))
        serial, _ = measured(local, hashing, LocalExecutor(), 1, imports=LIGHT)
        computing = series(local, hashing, COMPUTING, imports=LIGHT)
        title = f"Computing: {ANSWERS} answers, {ROUNDS:,} rounds of SHA-256 each; ideal from one part without Ray"
        _show(scaling_table(title, serial.computing, computing))
        _same_scores([*_runs(waiting), *overhead.values(), serial, *_runs(computing)])
        asking = series(remote, compute_part, ASKING, imports=HEAVY)
        title = (
            f"An endpoint arm: {ANSWERS} answers, {SERVER_SECONDS:g} s of the server each; two arms of the tiny model"
        )
        _show(scaling_table(title, ANSWERS * SERVER_SECONDS, asking))
        _same_scores(_runs(asking))
    _write(overhead=overhead, serial=serial, waiting=waiting, computing=computing, endpoint=asking)


def _show(lines: Iterator[str]) -> None:
    """Print a table, with what else the machine had to do."""
    print(*lines, f"\n{CORES} cores, load {os.getloadavg()[0]:.1f}", sep="\n", flush=True)


def _runs(found: dict[str, dict[int, Taken]]) -> list[Taken]:
    return [taken for runs in found.values() for taken in runs.values()]


def _same_scores(runs: Sequence[Taken]) -> None:
    assert len({taken.scores for taken in runs}) == 1, "the number of workers changed a score"
    print(f"Scores: the same bytes in these {len(runs)} runs.\n", flush=True)


def _write(**found: Any) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, default=asdict)
    (OUTPUT / "scaling.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
