"""No module writes a file by itself, but for those that say why they may."""

from __future__ import annotations

import ast
from pathlib import Path

HARNESS = Path(__file__).parents[2] / "harness"
# What changes a disk; `write_text` and its like of `harness.files` are called by their name alone.
METHODS = {
    *("write_text", "write_bytes", "mkdir", "unlink", "rmdir", "rename", "touch", "symlink_to", "hardlink_to"),
    *("save_pretrained", "save_file", "to_csv", "tofile", "savez", "copytree", "copyfile", "copy2", "move", "rmtree"),
    *("mkstemp", "mkdtemp", "TemporaryDirectory", "TemporaryFile", "NamedTemporaryFile", "makedirs", "truncate"),
}
NAMES = {"save_file", "TemporaryDirectory", "NamedTemporaryFile"}
OS = {"open", "write", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "link", "symlink", "truncate"}
ALLOWED = {
    "cli/github.py": {"open"},  # files of the workflow's runner; what fails there is a warning
    "distributing.py": {"TemporaryDirectory"},  # a worker's part of a run, which the main process puts together
    "doctor.py": {"TemporaryFile"},  # only to see whether that can be done
    "engine/catalogue.py": {"TemporaryDirectory"},  # lasts no longer than the block
    "engine/conversion.py": {"save_pretrained"},  # into a folder that `new_folder` puts in place
    "probing.py": {"TemporaryDirectory"},  # nothing in it is read again
    "produce.py": {"TemporaryDirectory"},  # of a process whose writes count for nothing
    "store/frames.py": {"to_csv"},  # into memory
    "store/answers.py": {"os.open", "connect"},  # SQLite has a journal of its own
    "train/adapters.py": {"save_pretrained"},  # durable before a seal or a manifest names it, like the next two
    "train/recipe.py": {"TemporaryDirectory"},  # for a Trainer that keeps nothing
    "train/trainer.py": {"save_file"},
    "train/watch.py": {"save_file"},
    "trust/weight_files.py": {"os.open"},  # reads
}


def test_nothing_but_files_changes_a_disk() -> None:
    found = {
        str(path.relative_to(HARNESS)): calls
        for path in sorted(HARNESS.rglob("*.py"))
        if path != HARNESS / "files.py" and (calls := set(changing(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == ALLOWED


def changing(tree: ast.AST) -> list[str]:
    """The calls of a module that change a disk, or may."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OS:
                found.append(f"os.{name}")
            case ast.Attribute(value=ast.Name(id="sqlite3"), attr="connect"):
                found.append("connect")
            case ast.Attribute(attr="open") | ast.Name(id="open"):
                if any(is_writing_mode(value) for value in (*node.args, *(keyword.value for keyword in node.keywords))):
                    found.append("open")
            case ast.Attribute(attr=name) if name in METHODS:
                found.append(name)
            case ast.Name(id=name) if name in NAMES:
                found.append(name)
    return found


def is_writing_mode(node: ast.expr) -> bool:
    mode = node.value if isinstance(node, ast.Constant) else None
    return isinstance(mode, str) and bool(set(mode) & set("wax+")) and set(mode) <= set("rwaxbt+")


def test_a_module_that_writes_by_itself_is_found() -> None:
    lines = ("path.write_text('x')", "open(p, 'w')", "path.open('ab')", "os.replace(a, b)", "shutil.rmtree(p)")
    assert [bool(changing(ast.parse(line))) for line in lines] == [True] * len(lines)
    lines = ("write_text(path, 'x')", "open(p)", "path.open('rb')", "text.replace('a', 'b')", "os.path.join(a)")
    assert [bool(changing(ast.parse(line))) for line in lines] == [False] * len(lines)
