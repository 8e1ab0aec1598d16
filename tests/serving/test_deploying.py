"""Only what verifies is placed; a tampered adapter is not; one command goes back; a kill leaves the old or the new."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture

from harness.cli.main import main
from harness.deploying import VERSIONS, Placed, Server, examine_folder, place_adapter, roll_back
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.judge import judge_run
from harness.records import RunManifest
from harness.store.facts import read_record, to_plain
from harness.store.runs import MANIFEST, finish_run
from harness.trust.digests import digest_files, digest_tree
from harness.trust.history import append_entry, next_sequence, read_log
from harness.trust.verify import Verified, verify_adapter

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SUITE_DIGEST = hashlib.sha256(SUITE.encode()).hexdigest()
SERVER = Server(max_lora_rank=16, base_model=None)
CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}


def verify(adapter: Path, verdict: Path) -> Verified:
    return verify_adapter(adapter, verdict, now=NOW, suite_digest=SUITE_DIGEST)


def shipped(folder: Path, *, weights: bytes = b"weights", fixture: Fixture | None = None, **config: Any) -> Path:
    """The adapter of a run that was judged just now."""
    (fixture or Fixture()).write(folder)
    adapter = folder / "adapter"
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, "base_model_name_or_path": "base", **config}))
    (adapter / "adapter_model.safetensors").write_bytes(weights)
    finish_run(folder, read_record(RunManifest, folder / MANIFEST))
    judge_run(folder, lambda: NOW)
    return adapter


def place(adapter: Path, folder: Path, name: str = "triage", *, server: Server = SERVER) -> Placed:
    folder.mkdir(exist_ok=True)
    verdict = adapter.parent / "verdict.json"
    return place_adapter(adapter, folder, name, verdict=verdict, verify=verify, server=server, clock=lambda: NOW)[0]


def weights(folder: Path, name: str = "triage") -> bytes:
    """What a server finds under a name, by the path that vLLM's filesystem resolver takes."""
    found = Path(os.path.realpath(folder / name))
    assert found.is_relative_to(os.path.realpath(folder)), "the resolver refuses what leads out of its folder"
    assert json.loads((found / "adapter_config.json").read_text())["peft_type"] == "LORA"
    return (found / "adapter_model.safetensors").read_bytes()


def test_a_verified_adapter_is_placed(tmp_path: Path) -> None:
    placed = place(shipped(tmp_path / "run"), tmp_path / "served")
    assert weights(tmp_path / "served") == b"weights"
    assert (placed.number, placed.replaces, placed.base) == (1, None, "base")
    assert examine_folder(tmp_path / "served") == (placed,)
    assert sorted(path.name for path in (tmp_path / "served" / "triage").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_nothing_that_happens_to_the_source_afterwards_reaches_the_server(tmp_path: Path) -> None:
    adapter = shipped(tmp_path / "run")
    place(adapter, tmp_path / "served")
    shutil.rmtree(adapter.parent)
    assert weights(tmp_path / "served") == b"weights"


def tamper(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"other weights")


def add_a_file(adapter: Path) -> None:
    (adapter / "extra.safetensors").write_bytes(b"")


def add_a_link(adapter: Path) -> None:
    (adapter / "link").symlink_to(adapter / "adapter_config.json")


def forget_the_verdict(adapter: Path) -> None:
    (adapter.parent / "verdict.json").unlink()


def forge(adapter: Path) -> None:
    path = adapter.parent / "verdict.json"
    path.write_text(path.read_text().replace("weights", "weight5").replace("ship", "shlp"))


@pytest.mark.parametrize("spoil", [tamper, add_a_file, add_a_link, forget_the_verdict, forge, shutil.rmtree])
def test_a_tampered_adapter_is_not_placed(spoil: Any, tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "first"), served)
    adapter = shipped(tmp_path / "second", weights=b"new")
    spoil(adapter)
    with pytest.raises(EvidenceRefusedError):
        place(adapter, served)
    assert weights(served) == b"weights"
    assert [placed.number for placed in examine_folder(served)] == [1]


def test_an_adapter_that_was_held_is_not_placed(tmp_path: Path) -> None:
    adapter = shipped(tmp_path / "run", fixture=Fixture(candidate_right=lambda i: False))
    with pytest.raises(EvidenceRefusedError, match="hold"):
        place(adapter, tmp_path / "served")
    assert examine_folder(tmp_path / "served") == ()


def test_an_adapter_that_the_server_cannot_serve_is_not_placed(tmp_path: Path) -> None:
    served = tmp_path / "served"
    with pytest.raises(InvalidInputError, match="`use_dora`"):
        place(shipped(tmp_path / "dora", use_dora=True), served)
    with pytest.raises(InvalidInputError, match="names 'base' as its base model"):
        place(shipped(tmp_path / "run"), served, server=Server(max_lora_rank=16, base_model="other"))
    with pytest.raises(InvalidInputError, match="names no base model"):
        place(shipped(tmp_path / "nameless", base_model_name_or_path=None), served)
    assert not (served / "triage").exists() and examine_folder(served) == ()


def test_one_step_goes_back_to_what_was_served_before(tmp_path: Path) -> None:
    served = tmp_path / "served"
    for number, content in enumerate((b"one", b"two", b"three"), start=1):
        place(shipped(tmp_path / f"run{number}", weights=content), served)
    assert weights(served) == b"three"
    assert roll_back(served, "triage").number == 2
    assert weights(served) == b"two"
    # What comes next takes the place of what is served, not of what was taken back.
    assert place(shipped(tmp_path / "run4", weights=b"four"), served).replaces == 2
    roll_back(served, "triage")
    roll_back(served, "triage")
    assert weights(served) == b"one"
    with pytest.raises(InvalidInputError, match="took no other's place"):
        roll_back(served, "triage")
    with pytest.raises(InvalidInputError, match="nothing is placed"):
        roll_back(served, "other")


def test_going_back_works_when_the_present_one_is_damaged_and_not_when_the_earlier_one_is(tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "one", weights=b"one"), served)
    place(shipped(tmp_path / "two", weights=b"two"), served)
    (served / "triage" / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EvidenceRefusedError, match="changed since it was placed"):
        examine_folder(served)
    roll_back(served, "triage")
    assert weights(served) == b"one"
    place(shipped(tmp_path / "three", weights=b"three"), served)
    (served / ".versions" / "triage" / "000001" / "adapter" / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EvidenceRefusedError, match="changed since it was placed"):
        roll_back(served, "triage")
    assert weights(served) == b"three"


def test_going_back_leads_to_other_files_when_a_placement_was_repeated(tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "one", weights=b"one"), served)
    two = shipped(tmp_path / "two", weights=b"two")
    assert place(two, served) == place(two, served) == examine_folder(served)[0]
    assert len(list((served / ".versions" / "triage").iterdir())) == 2
    roll_back(served, "triage")
    assert weights(served) == b"one"
    # What is damaged is no reason to keep it.
    file = served / "triage" / "adapter_model.safetensors"
    file.chmod(0o644)
    file.write_bytes(b"damaged")
    assert place(tmp_path / "one" / "adapter", served).number == 3
    assert weights(served) == b"one"


def test_names_are_served_side_by_side(tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "one", weights=b"one"), served, "one")
    place(shipped(tmp_path / "two", weights=b"two"), served, "two")
    assert (weights(served, "one"), weights(served, "two")) == (b"one", b"two")
    assert [placed.name for placed in examine_folder(served)] == ["one", "two"]


def by_hand(served: Path, adapter: Path, *, verdict: Path | None, number: str = "000002") -> Path:
    """A version with a note of its own, as the guard would write it."""
    version = served / ".versions" / "triage" / number
    shutil.copytree(adapter, version / "adapter")
    noted = Placed(
        name="triage",
        number=int(number),
        digest=digest_tree(digest_files(adapter)),
        base="base",
        placed=NOW.isoformat(),
        replaces=1,
    )
    (version / "placed.json").write_text(json.dumps(to_plain(noted)))
    if verdict is not None:
        shutil.copyfile(verdict, version / "verdict.json")
    return version


@pytest.mark.parametrize(
    "where",
    [
        "other",
        "evil.part",
        ".versions/other",
        ".versions/triage/mine",
        ".versions/triage/evil.part",
        ".versions/triage/1",
        ".versions/triage/000001/evil",
    ],
)
def test_what_nobody_placed_is_told(where: str, tmp_path: Path) -> None:
    served = tmp_path / "served"
    adapter = shipped(tmp_path / "run")
    place(adapter, served)
    shutil.copytree(adapter, served / where)
    with pytest.raises(EvidenceRefusedError, match="nobody verified it"):
        examine_folder(served)


@pytest.mark.parametrize("where", [".versions", ".versions/triage", ".versions/triage/000001"])
def test_a_link_in_the_place_of_a_folder_of_the_guard_is_told(where: str, tmp_path: Path) -> None:
    """And nothing is swept where it leads."""
    served = tmp_path / "served"
    place(shipped(tmp_path / "run"), served)
    elsewhere = shutil.move(served / where, tmp_path / "elsewhere")
    (Path(elsewhere) / ".mine.part").write_bytes(b"")
    (served / where).symlink_to(elsewhere)
    with pytest.raises(EvidenceRefusedError, match="nobody verified it"):
        examine_folder(served)
    assert (Path(elsewhere) / ".mine.part").exists()


@pytest.mark.parametrize("where", [".versions", ".versions/triage"])
def test_nothing_is_placed_nor_gone_back_to_where_a_link_leads(where: str, tmp_path: Path) -> None:
    """And nothing is swept or made there."""
    served, adapter = tmp_path / "served", shipped(tmp_path / "run")
    place(adapter, served)
    place(shipped(tmp_path / "other", weights=b"other"), served)
    elsewhere = Path(shutil.move(served / where, tmp_path / "elsewhere"))
    (elsewhere / ".mine.part").write_bytes(b"")
    (served / where).symlink_to(elsewhere)
    before = sorted(path.name for path in elsewhere.iterdir())
    for name in ("triage", "new") if where == ".versions" else ("triage",):
        with pytest.raises(EvidenceRefusedError, match="nobody verified it"):
            place(adapter, served, name)
    with pytest.raises(EvidenceRefusedError, match="nobody verified it"):
        roll_back(served, "triage")
    assert sorted(path.name for path in elsewhere.iterdir()) == before
    assert os.readlink(served / "triage") == ".versions/triage/000002/adapter"


@pytest.mark.parametrize("where", [".evil.part", ".versions/triage/.evil.part", ".versions/triage/.000002.0a.part"])
def test_what_a_kill_left_unfinished_is_gone_when_the_folder_is_examined(where: str, tmp_path: Path) -> None:
    """A copy that nobody verified yet, which the resolver would find by its path."""
    served = tmp_path / "served"
    adapter = shipped(tmp_path / "run")
    place(adapter, served)
    shutil.copytree(adapter, served / where / "adapter")
    tamper(served / where / "adapter")
    assert [placed.number for placed in examine_folder(served)] == [1]
    assert not (served / where).exists()


def test_a_version_by_hand_is_told_when_no_ship_verdict_on_it_lies_beside_it(tmp_path: Path) -> None:
    served = tmp_path / "served"
    placed = shipped(tmp_path / "run")
    place(placed, served)
    other = shipped(tmp_path / "other", weights=b"other")
    held = shipped(tmp_path / "held", weights=b"held", fixture=Fixture(candidate_right=lambda i: False))
    for adapter, verdict, said in (
        (other, None, "no verdict that can be read"),
        (other, placed.parent / "verdict.json", "does not say ship for the adapter beside it"),
        (held, held.parent / "verdict.json", "does not say ship for the adapter beside it"),
    ):
        version = by_hand(served, adapter, verdict=verdict)
        with pytest.raises(EvidenceRefusedError, match=said):
            examine_folder(served)
        shutil.rmtree(version)
    by_hand(served, other, verdict=other.parent / "verdict.json")
    assert len(examine_folder(served)) == 1


def test_a_name_is_told_when_its_link_leads_to_another_number_than_it_seems(tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "run"), served)
    (served / "triage").unlink()
    (served / "triage").symlink_to(Path(".versions", "triage", "1", "adapter"))
    with pytest.raises(EvidenceRefusedError, match="nobody verified it"):
        examine_folder(served)


def test_a_refusal_names_the_given_files(tmp_path: Path) -> None:
    """And not the copies, which are gone by then."""
    served, adapter = tmp_path / "served", shipped(tmp_path / "run")
    verdict = shutil.move(adapter.parent / "verdict.json", tmp_path / "mine.json")
    served.mkdir()

    def refusal(suite_digest: str = SUITE_DIGEST, *, rank: int = 16) -> str:
        with pytest.raises((EvidenceRefusedError, InvalidInputError)) as caught:
            place_adapter(
                adapter,
                served,
                "triage",
                verdict=Path(verdict),
                verify=lambda a, v: verify_adapter(a, v, now=NOW, suite_digest=suite_digest),
                server=Server(max_lora_rank=rank, base_model=None),
                clock=lambda: NOW,
            )
        assert VERSIONS not in str(caught.value)
        return str(caught.value)

    assert refusal("0" * 64).startswith(f"{verdict}: given by another suite")
    assert refusal(rank=4).startswith(f"{adapter / 'adapter_config.json'}: `r` is 8")
    tamper(adapter)
    assert refusal().startswith(f"{adapter / 'adapter_model.safetensors'}: not the file that was judged")


def test_a_folder_or_a_foreign_link_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    served, adapter = tmp_path / "served", shipped(tmp_path / "run")
    served.mkdir()
    (served / "link").symlink_to(adapter)
    (served / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(InvalidInputError, match="not placed by `harness deploy-guard`"):
            place(adapter, served, name)


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", "a b", "prod.part"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--name"):
        place(shipped(tmp_path / "run"), tmp_path / "served", name)


STEPS = ("open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile")


def killed_at(step: int, do: Any) -> bool:
    """Do it in a child that dies just before its n-th step on the file system; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = step

        def watch(event: str, _arguments: object) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left == 0:
                    os._exit(9)

        try:
            sys.addaudithook(watch)
            do()
            os._exit(0)
        finally:
            os._exit(1)  # the child is no second run of these tests
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9


def test_a_kill_at_any_step_leaves_the_old_adapter_or_the_new_one(tmp_path: Path) -> None:
    served = tmp_path / "served"
    old, new = shipped(tmp_path / "old", weights=b"old"), shipped(tmp_path / "new", weights=b"new")
    place(old, served)
    seen, step = [], 1
    while killed_at(step, lambda: place(new, served)):
        seen.append(weights(served))
        assert {placed.name for placed in examine_folder(served)} == {"triage"}
        if seen[-1] == b"new":
            roll_back(served, "triage")
        step += 1
    assert step > 20 and weights(served) == b"new"
    assert seen.count(b"old") > 10
    assert place(old, served).replaces is not None and weights(served) == b"old"
    assert not list((served / ".versions" / "triage").glob(".*"))


def test_a_kill_at_any_step_of_going_back_leaves_one_of_the_two(tmp_path: Path) -> None:
    served = tmp_path / "served"
    place(shipped(tmp_path / "old", weights=b"old"), served)
    place(shipped(tmp_path / "new", weights=b"new"), served)
    seen, step = [], 1
    while killed_at(step, lambda: roll_back(served, "triage")):
        seen.append(weights(served))
        assert len(examine_folder(served)) == 1
        if seen[-1] == b"old":
            place(tmp_path / "new" / "adapter", served)
        step += 1
    assert weights(served) == b"old" and set(seen) == {b"old", b"new"}


# --- the command -----------------------------------------------------------------------------------------------------


def guard(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["deploy-guard", *map(str, arguments)])


def place_by_command(adapter: Path, folder: Path, *more: object, digest: str = SUITE_DIGEST) -> Result:
    return guard(adapter, folder, "--name", "triage", "--suite-digest", digest, *more)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """An adapter that shipped a moment ago by the real clock, as the command reads it."""
    adapter = shipped(tmp_path / "fresh")
    judge_run(adapter.parent, lambda: datetime.now(UTC) - timedelta(minutes=1))
    return adapter


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Another that did."""
    adapter = shipped(tmp_path / "second", weights=b"second")
    judge_run(adapter.parent, lambda: datetime.now(UTC) - timedelta(minutes=1))
    return adapter


def test_the_command_places_examines_and_goes_back(fresh: Path, second: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    assert place_by_command(fresh, served).exit_code == 2  # no such folder
    served.mkdir()
    first = place_by_command(fresh, served, "--base-model", "base")
    assert first.exit_code == 0, first.output
    assert "vllm serve base" in first.output and "unload_lora_adapter" in first.output
    again = place_by_command(fresh, served, "--json")
    assert (json.loads(again.output)["number"], json.loads(again.output)["done"]) == (1, "placed already")
    other = place_by_command(second, served, "--json")
    assert (json.loads(other.output)["number"], json.loads(other.output)["replaces"]) == (2, 1)
    examined = guard(served)
    assert examined.exit_code == 0 and "triage: version 2" in examined.output
    back = guard(served, "--rollback", "triage")
    assert back.exit_code == 0 and "rolled back to" in back.output and "version 1" in back.output


def test_the_command_refuses_with_5_what_is_not_verified(fresh: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    assert place_by_command(fresh, served, digest="0" * 64).exit_code == 5
    tamper(fresh)
    assert place_by_command(fresh, served).exit_code == 5
    assert list(path.name for path in served.iterdir() if path.name != ".versions") == []
    shutil.copytree(fresh, served / "by-hand")
    assert guard(served).exit_code == 5


def test_the_command_says_what_was_not_checked(fresh: Path, second: Path, tmp_path: Path) -> None:
    """As `harness verify` does."""
    served = tmp_path / "served"
    served.mkdir()
    found = place_by_command(fresh, served)
    assert "unsigned: this proves" in found.output and "newer verdicts were not checked" in found.output
    facts = json.loads(place_by_command(second, served, "--json").output)
    assert (facts["signed_by"], facts["history_checked"], facts["accepted"]) == (None, False, {})
    refused = place_by_command(fresh, served, "--require-history")
    assert refused.exit_code == 5 and "no --history is given" in refused.output
    assert guard(served, "--rollback", "triage", "--require-history").exit_code == 5
    back = guard(served, "--rollback", "triage")
    assert back.exit_code == 0 and "newer verdicts were not checked" in back.output


def test_the_command_places_and_goes_back_only_to_what_no_newer_hold_stands_against(
    fresh: Path, second: Path, tmp_path: Path
) -> None:
    served, log = tmp_path / "served", tmp_path / "registry" / "fixture" / "verdicts.jsonl"
    served.mkdir()
    judge_run(fresh.parent, lambda: datetime.now(UTC) - timedelta(minutes=1), registry=tmp_path / "registry")
    checked = place_by_command(fresh, served, "--history", log, "--require-history", "--json")
    assert checked.exit_code == 0 and json.loads(checked.output)["history_checked"] is True
    assert place_by_command(second, served).exit_code == 0
    back = guard(served, "--rollback", "triage", "--history", log, "--require-history", "--json")
    assert back.exit_code == 0 and json.loads(back.output)["history_checked"] is True
    assert place_by_command(second, served).exit_code == 0
    (entry,) = [entry for entry in read_log(log) if entry.event == "ship"]
    with next_sequence(log, adapter=entry.adapter, suite=entry.suite) as number:
        append_entry(log, replace(entry, sequence=number, event="hold", verdict="0" * 64))
    assert place_by_command(fresh, served, "--history", log).exit_code == 5
    refused = guard(served, "--rollback", "triage", "--history", log)
    assert refused.exit_code == 5 and "a newer verdict on this adapter is hold" in refused.output
    assert os.readlink(served / "triage") == ".versions/triage/000003/adapter"


GIVEN = {
    "--verdict": "verdict.json",
    "--suite-digest": "0" * 64,
    "--key": "key.pub",
    "--base-model": "base",
    "--max-lora-rank": "16",
}
OF_HISTORY = {"--history": "verdicts.jsonl", "--require-history": None}


@pytest.mark.parametrize("option", [*GIVEN, *OF_HISTORY])
def test_an_option_is_refused_when_its_check_would_not_be_made(
    option: str, fresh: Path, second: Path, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    assert place_by_command(fresh, served).exit_code == place_by_command(second, served).exit_code == 0
    given = [part for part in (option, (GIVEN | OF_HISTORY)[option]) if part is not None]
    examined = guard(served, *given)
    assert examined.exit_code == 2 and f"{option} would check nothing here" in examined.output
    if option in GIVEN:
        assert guard(served, "--rollback", "triage", *given).exit_code == 2
    assert os.readlink(served / "triage") == ".versions/triage/000002/adapter"


def test_a_digest_that_cannot_be_one_is_a_usage_error(fresh: Path, tmp_path: Path) -> None:
    found = place_by_command(fresh, tmp_path, digest="nonsense")
    assert found.exit_code == 2 and "64 hexadecimal digits" in found.output


@pytest.mark.parametrize(
    "arguments",
    [("a", "b"), ("a", "b", "--name", "n"), ("a", "--name", "n"), ("a", "b", "--rollback", "n"), ("a", "b", "c")],
)
def test_the_command_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    assert guard(*arguments).exit_code == 2
