"""Commands about promoted adapters: promote, baselines, verify."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.output import json_option, print_json


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", help="Name in the registry; the run's id by default.")
@click.option("--note", default="", help="A remark kept in the record.")
@click.option("--baselines", type=click.Path(path_type=Path), help="The registry; the project's by default.")
@json_option
def promote(run: Path, name: str | None, note: str, baselines: Path | None, as_json: bool) -> None:
    """Put the adapter of a run that shipped into the registry of baselines."""
    from harness.clock import utc_now
    from harness.promotion import promote_run

    folder = promote_run(run, name=name, note=note, registry=baselines, clock=utc_now)
    if as_json:
        print_json({"baseline": str(folder)})
    else:
        click.echo(f"promoted: {folder}\ncommit it, so that the next candidate is compared with it")


@click.command()
@click.argument("registry", type=click.Path(path_type=Path), default=Path("baselines"))
@json_option
def baselines(registry: Path, as_json: bool) -> None:
    """List the promoted adapters."""
    from harness.store.baselines import list_baselines

    found = list_baselines(registry)
    if as_json:
        rows = [{"suite": r.suite, "name": r.name, "promoted": r.promoted, "in_force": on} for r, on in found]
        print_json({"baselines": rows})
        return
    for record, in_force in found:
        click.echo(f"{'*' if in_force else ' '} {record.suite}/{record.name}  {record.promoted}  {record.sentence}")
    if not found:
        click.echo(f"nothing is promoted in {registry}")


@click.command()
@click.argument("adapter", type=click.Path(path_type=Path))
@click.option("--verdict", type=click.Path(path_type=Path), help="verdict.json; beside the adapter by default.")
@click.option("--suite-digest", help="Refuse a verdict of any other suite.")
@json_option
def verify(adapter: Path, verdict: Path | None, suite_digest: str | None, as_json: bool) -> None:
    """Exit 0 only if a fresh ship verdict speaks of exactly these adapter files."""
    from harness.clock import utc_now
    from harness.trust.verdicts import verify_adapter

    path = verdict or adapter.parent / "verdict.json"
    found = verify_adapter(adapter, path, now=utc_now(), suite_digest=suite_digest)
    if as_json:
        print_json({"verified": True, "run": found.run_id, "suite": found.suite, "expires": found.expires})
        return
    click.echo(f"verified: run {found.run_id} of {found.suite} shipped this adapter; valid until {found.expires}")
    click.echo("unsigned: this proves that the files are those judged, not who judged them")
    if suite_digest is None:
        click.echo(f"any suite was accepted; to accept only this one: --suite-digest {found.suite_digest}")


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@json_option
def history(suite: Path, as_json: bool) -> None:
    """List every candidate that the suite's test sets have judged, oldest first."""
    from dataclasses import asdict

    from harness.cli.output import load
    from harness.store.ledger import LEDGER, read_looks
    from harness.store.project import project_folders

    loaded = load(suite, ())
    ledger = project_folders(loaded.folder).baselines / loaded.suite.suite / LEDGER
    looks = read_looks(ledger)
    if as_json:
        print_json({"suite": loaded.suite.suite, "looks": [asdict(look) for look in looks]})
        return
    sets = list(dict.fromkeys(look.test_digest for look in looks))
    for digest in sets:
        seen = [look for look in looks if look.test_digest == digest]
        click.echo(f"test set {digest[:12]}: {len(seen)} looked at it")
        for look in seen:
            click.echo(f"  {look.judged}  {look.decision:<9}  adapter {look.candidate_digest[:12]}  run {look.run_id}")
    if not looks:
        click.echo(f"no looks are recorded in {ledger}")
