"""The command about answers and scores kept from earlier runs: cache."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from harness.cli.output import json_option, print_json
from harness.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.store.answers import AnswerStore, StoredWeights
    from harness.store.trainings import StoredTraining

    Trainings = tuple[StoredTraining, ...]

_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _read_age(_context: click.Context, _option: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no age; write hours, days or weeks, such as 12h, 30d or 4w")
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _read_size(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([kmgt]?b)", text, re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write 800kB, 500MB or 1.5GB")
    units = {name.lower(): size for name, size in _BYTES.items()}
    return int(float(match[1]) * units[match[2].lower()])


@click.command()
@click.option("--prune", is_flag=True, help="Remove all that is stored, or what the next three options choose.")
@click.option("--older-than", "age", metavar="AGE", callback=_read_age, help="Not used for so long: 12h, 30d, 4w.")
@click.option(
    "--max-size",
    "size",
    metavar="SIZE",
    callback=_read_size,
    help="The least recently used, until the file is no larger: 500MB, 2GB.",
)
@click.option("--weights", "prefix", metavar="PREFIX", help="Of these weights only, by how their digest begins.")
@json_option
def cache(prune: bool, age: timedelta | None, size: int | None, prefix: str | None, as_json: bool) -> None:
    """Show the answers, scores and trainings kept from earlier runs, or remove them."""
    from harness.clock import utc_now
    from harness.environment import cache_folder
    from harness.store.answers import ANSWERS, AnswerStore
    from harness.store.trainings import TRAININGS, TrainingStore

    if not prune and (age, size, prefix) != (None, None, None):
        raise click.UsageError("--older-than, --max-size and --weights say what --prune removes; add --prune")
    path, since = cache_folder() / ANSWERS, None if age is None else utc_now() - age
    trainings = TrainingStore(cache_folder() / TRAININGS)
    forgotten = trainings.prune(unused_since=since, keep_bytes=size) if prune and prefix is None else ()
    if not path.exists():
        _say_nothing(path, trainings.summary(), forgotten, prune=prune, as_json=as_json)
        return
    with AnswerStore(path, clock=utc_now) as store:
        if prune:
            weights = None if prefix is None else _find_weights(store, prefix)
            removed = store.prune(weights=weights, unused_since=since, keep_bytes=size)
            _show_removed(path, removed, forgotten, as_json=as_json)
        else:
            _show(path, store, trainings.summary(), as_json=as_json)


def _find_weights(store: AnswerStore, prefix: str) -> str:
    found = [one.weights for one in store.summary() if one.weights.startswith(prefix)]
    if not prefix or len(found) != 1:
        which = ", ".join(weights[:16] for weights in found) or "nothing is stored of such weights"
        raise InvalidInputError(f"--weights {prefix}: must be the beginning of exactly one digest; found: {which}")
    return found[0]


def _say_nothing(path: Path, trainings: Trainings, forgotten: Trainings, *, prune: bool, as_json: bool) -> None:
    if as_json:
        nothing = {"removed": [], "forgotten": _plain(forgotten)} if prune else {"weights": [], "refusals": []}
        print_json({"path": str(path), "bytes": 0, "trainings": _plain(trainings)} | nothing)
        return
    click.echo(f"nothing is stored: there is no {path}")
    _list_trainings(trainings, forgotten)


def _plain(trainings: Trainings) -> list[dict[str, object]]:
    return [
        {"key": one.key, "finished": one.finished, "bytes": one.bytes, "last_use": one.last_use.isoformat()}
        for one in trainings
    ]


def _list_trainings(trainings: Trainings, forgotten: Trainings) -> None:
    from harness.report.formatting import moment

    for one in forgotten:
        click.echo(f"removed: training {one.key[:12]}, {_in_units(one.bytes)}")
    for one in trainings:
        state = "finished" if one.finished else "interrupted"
        click.echo(f"training {one.key[:12]}, {state}, {_in_units(one.bytes)}, {moment(one.last_use.isoformat())}")


def _show(path: Path, store: AnswerStore, trainings: Trainings, *, as_json: bool) -> None:
    from dataclasses import asdict

    from harness.report.formatting import clean, moment, one_line

    stored, refusals, size = store.summary(), store.refusals(), path.stat().st_size
    if as_json:
        rows = {"weights": [asdict(one) for one in stored], "refusals": [asdict(one) for one in refusals]}
        print_json({"path": str(path), "bytes": size, **rows, "trainings": _plain(trainings)})
        return
    click.echo(f"{path}: {_in_units(size)}")
    if stored:
        click.echo(f"{'weights':<12}  {'batches':>9}  {'answers':>9}  {'scores':>9}  last used")
    for one in stored:
        counts = "  ".join(f"{count:>9,}" for count in (one.batches, one.answers, one.scores))
        click.echo(f"{clean(one.weights[:12]):<12}  {counts}  {moment(one.last_use)}")
    for refusal in refusals:
        name, when = clean(refusal.weights[:12]), moment(refusal.refused)
        click.echo(f"refused: {name}, {refusal.rows:,} rows forgotten on {when}: {one_line(clean(refusal.why))}")
    if not stored:
        click.echo("no answers are stored" if trainings else "nothing is stored")
    _list_trainings(trainings, ())


def _show_removed(path: Path, removed: tuple[StoredWeights, ...], forgotten: Trainings, *, as_json: bool) -> None:
    from dataclasses import asdict

    from harness.report.formatting import clean, plural

    size = path.stat().st_size
    if as_json:
        found = {"removed": [asdict(one) for one in removed], "forgotten": _plain(forgotten)}
        print_json({"path": str(path), "bytes": size, **found})
        return
    _list_trainings((), forgotten)
    for one in removed:
        rows = f"{plural(one.answers, 'answer')} and {plural(one.scores, 'score')}"
        click.echo(f"removed: {clean(one.weights[:12])}, {rows} (batches: {one.batches:,})")
    if not (removed or forgotten):
        click.echo("nothing to remove")
    click.echo(f"{path}: {_in_units(size)}")


def _in_units(size: int) -> str:
    """Bytes in the largest unit that leaves a whole part: 1.4 MB."""
    unit, factor = next((item for item in reversed(_BYTES.items()) if size >= item[1]), ("B", 1))
    return f"{size / factor:.1f} {unit}" if factor > 1 else f"{size} B"
