"""A run whose parts are computed by an executor: the verdict, and every score, is that of one process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.engine.local_models import find_local
from harness.engine.share import Share
from harness.environment import cache_folder
from harness.errors import BrokenRunError
from harness.executors import Executor, GivenUp
from harness.files import write_bytes
from harness.merging import Failed, merge_shards
from harness.prepare import Inputs, read_inputs
from harness.produce import produce, refuse_unshareable, train_all
from harness.progress import Progress, SilentProgress
from harness.store.project import ProjectFolders, project_folders
from harness.suite.load import load_suite

Files = Mapping[str, bytes]  # path inside a folder -> content


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run as its workers are told of it; the folders must be the same on all of them."""

    suite: Path
    settings: Mapping[str, str]
    adapter: Path | None
    fresh: bool
    locked: bool
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of `count` parts of a run."""

    order: Order
    index: int
    count: int


def run_in_parts(
    order: Order,
    executor: Executor,
    *,
    workers: int,
    folders: ProjectFolders,
    progress: Progress,
    compute: Callable[[Part], Files] | None = None,
) -> Path:
    """Let an executor compute as many parts as there are workers, and merge them; this process needs no torch.

    `compute` is what a worker does with its part. A part that was given up counts as errors.

    Raises:
        HarnessError: what a worker met, and what `merge_shards` raises.
    """
    loaded = load_suite(order.suite, order.settings)
    refuse_unshareable(loaded.suite, Share(0, workers))
    if loaded.suite.engine is not None and workers > 1:
        executor = executor.apart()
    if loaded.suite.trainings and order.adapter is None and not order.fresh:
        progress.start("training on one worker", 1)
        (trained,) = executor.map(train_part, [order])  # kept in the cache folder, where the parts find it
        if isinstance(trained, GivenUp):
            raise BrokenRunError(f"the training was not finished: {trained.why}")
        progress.advance()
    parts = [Part(order=order, index=index, count=workers) for index in range(workers)]
    progress.start(f"{workers} parts", workers)
    found = executor.map(compute or compute_part, parts)
    progress.advance(workers)
    failed = []
    with tempfile.TemporaryDirectory() as name:
        made = []
        for part, result in zip(parts, found, strict=True):
            if isinstance(result, GivenUp):
                failed.append(Failed(index=part.index, why=result.why))
                continue
            made.append(_unpack(Path(name), result))
        return merge_shards(
            loaded,
            made,
            reports=folders.reports,
            progress=progress,
            command=order.command,
            failed=failed,
            model=find_local(loaded.suite.model, suite_folder=loaded.folder, cache=cache_folder()),
        )


def _unpack(folder: Path, files: Files) -> Path:
    for path, content in files.items():
        write_bytes(folder / path, content)
    return folder / next(iter(files)).split("/")[0]


def compute_part(part: Part) -> Files:
    """What a worker does: its shard of the run, as the files of the shard's folder."""
    from harness.clock import utc_now

    with tempfile.TemporaryDirectory() as name:
        made = produce(
            _inputs(part.order),
            folders=replace(project_folders(part.order.suite.parent), reports=Path(name)),
            clock=utc_now,
            progress=SilentProgress(),
            command=part.order.command,
            fresh=part.order.fresh,
            share=Share(part.index, part.count),
        )
        assert isinstance(made, Path)  # a shard is never taken from an earlier run
        files = sorted(path for path in made.rglob("*") if path.is_file())
        return {path.relative_to(made.parent).as_posix(): path.read_bytes() for path in files}


def train_part(order: Order) -> None:
    """What one worker does before the others: the trainings of the run, into the cache folder."""
    from harness.clock import utc_now

    with tempfile.TemporaryDirectory() as name:
        train_all(_inputs(order), Path(name), SilentProgress(), clock=utc_now)


def _inputs(order: Order) -> Inputs:
    from harness.locking import hold_to_lock

    loaded = load_suite(order.suite, order.settings)
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines, adapter=order.adapter)
    return hold_to_lock(inputs, required=order.locked)
