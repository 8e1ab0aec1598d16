"""Of the mutants that mutmut makes at least 95 % are killed, and each survivor is argued in `argued.txt`."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest
from automatic_mutants import FILES, KILLED, SURVIVED, TESTS, copy_tree, read_argued, read_mutants, run_mutmut

pytestmark = pytest.mark.slow
ARGUED = read_argued(Path(__file__).with_name("argued.txt"))


@pytest.mark.parametrize("package", TESTS)
def test_few_mutants_survive_and_each_is_argued_when_all_are_tried(package: str, tmp_path: Path) -> None:
    pytest.importorskip("mutmut", reason="needs `pip install 'lora-harness[mutation]'`")
    copy_tree(tmp_path)
    run_mutmut(tmp_path, package, children=2)
    mutants = list(read_mutants(tmp_path))
    counted = [mutant for mutant in mutants if not mutant.is_wording]
    killed = [mutant for mutant in counted if mutant.code in KILLED]
    survived = {mutant.key for mutant in counted if mutant.code in SURVIVED}
    print(f"{package}: {len(mutants)} made, {len(mutants) - len(counted)} of words, {len(killed)} killed")
    assert len(killed) + sum(mutant.code in SURVIVED for mutant in counted) == len(counted) > 0, "some did not end"
    assert survived - ARGUED.keys() == set()
    argued = {key for key in ARGUED if any(fnmatch(key[0].split()[0], files) for files in FILES[package])}
    assert argued - {mutant.key for mutant in counted} == set(), "argued, and no mutant any more"
    assert len(killed) >= 0.95 * len(counted)
