"""Commands about whether a verdict may be believed, and the key that signs one: verify, keygen."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import accept_options, json_option, print_json
from harness.errors import EvidenceRefusedError, InvalidInputError

if TYPE_CHECKING:
    from harness.trust.verify import Verified

KEY_VARIABLE = "HARNESS_SIGNING_KEY"


def judging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a person gives to a judgement, as the one argument `given` for `judge_run`: what to accept, a key."""

    @functools.wraps(command)
    def judging(*arguments: Any, accepted: Any, signer: Any, **options: Any) -> Any:
        return command(*arguments, given={"accepted": accepted, "signer": signer}, **options)

    return accept_options(signing_option(judging))


def signing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --key, the private key that signs, as the argument `signer`; None when no key is given anywhere."""

    @functools.wraps(command)
    def signing(*arguments: Any, key: str | None, **options: Any) -> Any:
        return command(*arguments, signer=_find_signer(key), **options)

    return click.option(
        "--key",
        metavar="FILE",
        help=f"Sign the verdict with this private key.  [default: the file or PEM text in {KEY_VARIABLE}]",
    )(signing)


def _find_signer(key: str | None) -> Any:
    from harness.environment import value
    from harness.trust.sign import PRIVATE_MARK, read_signer

    if key is not None and PRIVATE_MARK in key:
        raise InvalidInputError(
            "--key: takes the name of a file; every process here can read a command line, so make a new key"
        )
    if key is not None:
        return read_signer(key, f"--key {key}")
    given = value(KEY_VARIABLE)
    return read_signer(given, KEY_VARIABLE) if given is not None else None


def _read_digest(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch("[0-9a-f]{64}", text):
        raise click.BadParameter("write the 64 hexadecimal digits of sha256sum < suite.yaml, and nothing after them")
    return text


def evidence_options(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add what an adapter's evidence is held to: --verdict, --suite-digest, --key, --history, --require-history.

    `required` is whether the command can do nothing without a digest.
    """
    path = click.Path(path_type=Path)
    log = "The committed log verdicts.jsonl, in which a newer hold stands."
    options = (
        click.option("--verdict", type=path, help="verdict.json; beside the adapter by default."),
        click.option(
            "--suite-digest",
            required=required,
            callback=_read_digest,
            metavar="SHA256",
            help="Of the suite that must have judged: sha256sum < suite.yaml, or the digest in suite.lock.",
        ),
        click.option("--key", type=path, metavar="FILE", help="Refuse what this public key did not sign."),
        click.option("--history", type=path, help=log),
        click.option("--require-history", is_flag=True, help="Refuse (5) to answer without --history."),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def verifier(suite_digest: str, key: Path | None, history: Path | None) -> Callable[[Path, Path], Verified]:
    """What these options ask of an adapter and its verdict; raises as `verify_adapter` does."""
    from harness.clock import utc_now
    from harness.trust.sign import read_public_key
    from harness.trust.verify import verify_adapter

    public = read_public_key(key) if key is not None else None
    return lambda adapter, verdict: verify_adapter(
        adapter, verdict, now=utc_now(), suite_digest=suite_digest, key=public, history=history
    )


def refuse_without_history(history: Path | None, *, required: bool) -> None:
    """Hold a command to --require-history."""
    if required and history is None:
        raise EvidenceRefusedError("no --history is given, so newer verdicts cannot be checked, and that is required")


def refuse_missing(*paths: Path | None) -> None:
    """Name what is not there, before what would be beside it or in it is looked for."""
    for path in paths:
        if path is not None and not path.exists():
            raise EvidenceRefusedError(f"{path}: there is no such file or folder, so nothing is verified")


@click.command()
@click.argument("adapter", type=click.Path(path_type=Path))
@evidence_options(required=True)
@json_option
def verify(
    adapter: Path,
    verdict: Path | None,
    suite_digest: str,
    key: Path | None,
    history: Path | None,
    require_history: bool,
    as_json: bool,
) -> None:
    """Exit 0 only if a fresh, complete ship verdict speaks of exactly these adapter files."""
    refuse_without_history(history, required=require_history)
    refuse_missing(adapter, history)
    found = verifier(suite_digest, key, history)(adapter, verdict or adapter.parent / "verdict.json")
    step = _deploy_step(adapter, verdict, suite_digest, key, history)
    if as_json:
        print_json({"verified": True, **verified_facts(found), "deploy_step": step})
        return
    for line in verified_lines(found):
        click.echo(line)
    click.echo(f"in a deploy step: {step}")


def verified_facts(found: Verified) -> dict[str, Any]:
    """What was verified, and what was not looked at, for --json."""
    verdict = found.verdict
    return {
        "run": verdict.run_id,
        "suite": verdict.suite,
        "judged": verdict.judged,
        "expires": verdict.expires,
        "adapter_digest": verdict.adapter_digest,
        "suite_digest": verdict.suite_digest,
        "signed_by": found.signed_by,
        "history_checked": found.history_checked,
        "accepted": verdict.accepted,
    }


def verified_lines(found: Verified) -> Iterator[str]:
    """What was verified, and what was not looked at, in words."""
    from harness.report.formatting import clean, one_line, plural

    verdict = found.verdict
    files = plural(len(verdict.adapter_files), "file")
    yield one_line(clean(f"verified: run {verdict.run_id} of {verdict.suite} shipped exactly these {files}"))
    yield f"judged {verdict.judged}, valid until {verdict.expires}"
    for check, reason in verdict.accepted.items():
        yield one_line(clean(f"undecided, and accepted by a person: {check}: {reason}"))
    if found.signed_by is not None:
        yield f"signed by key {found.signed_by}"
    elif found.has_envelope:
        yield "the signature was not checked: --key PUBLIC asks for it; until then this is as good as unsigned"
    else:
        yield "unsigned: this proves that the files are those judged, not who judged them (--key asks for a signature)"
    if found.history_checked:
        yield "no newer verdict by this suite on this adapter stands against it"
    else:
        yield f"newer verdicts were not checked: --history baselines/{one_line(clean(verdict.suite))}/verdicts.jsonl"


def _deploy_step(adapter: Path, verdict: Path | None, suite_digest: str, key: Path | None, history: Path | None) -> str:
    import shlex

    options = [("--verdict", verdict), ("--suite-digest", suite_digest), ("--key", key), ("--history", history)]
    given = [f"{name} {shlex.quote(str(value))}" for name, value in options if value is not None]
    required = ["--require-history"] if history is not None else []
    command = " ".join(["harness verify", shlex.quote(str(adapter)), *given, *required])
    return f"set -o pipefail; {command} && deploy"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("harness-signing.pem"))
@json_option
def keygen(file: Path, as_json: bool) -> None:
    """Make a key pair that signs verdicts: FILE, readable by you alone, and FILE.pub for everyone."""
    from harness.files import write_new
    from harness.trust.sign import new_key_pair

    public_file = file.with_name(f"{file.name}.pub")
    for path in (file, public_file):
        if path.exists() or path.is_symlink():
            raise InvalidInputError(f"{path} exists already, and no key is replaced; choose another name")
    private, public, key_id = new_key_pair()
    write_new(file, private, mode=0o600)
    write_new(public_file, public, mode=0o644)
    if as_json:
        print_json({"private_key": str(file), "public_key": str(public_file), "key_id": key_id})
        return
    click.echo(f"{file}: the private key; add it to .gitignore")
    click.echo(f"  {KEY_VARIABLE}={file} signs every verdict; in CI the variable may hold the text of the file")
    click.echo(f"{public_file}: the public key {key_id}; commit it, and give it to harness verify --key")
