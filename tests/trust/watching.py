"""What commands change and ask for, noted by an audit hook in their process and in those that it starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Runs in every Python process that has its folder on PYTHONPATH, before anything else.
WATCH = """
import os, sys

ASKS = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.move"}
RELATIVE = {"os.mkdir", "os.remove", "os.rmdir"}  # whose last argument is the folder that the path starts at, or -1
NOTE = os.open(PLACE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(event, arguments):
    if event in ASKS:
        os.write(NOTE, f"/asked/{event}\\n".encode())
        raise OSError("the network is forbidden here")
    if event == "open":
        path, mode, flags = arguments
        changes = isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        path, changes = arguments[0], event in CHANGES
        if event in RELATIVE and arguments[-1] >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), os.fsdecode(path))
    if changes:
        os.write(NOTE, (os.path.abspath(os.fsdecode(path)) + "\\n").encode())

sys.addaudithook(note)
sys.dont_write_bytecode = True
"""
RUN = """
import json, sys
from harness.cli.main import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments, standalone_mode=False)
    except (SystemExit, Exception) as done:
        print(repr(done))
"""
CANARY = "canary-5c1e77d09b"


def watched(commands: list[list[str]], folder: Path, *, code: str = RUN) -> tuple[str, set[Path]]:
    """What the commands print, and the files that they or processes of theirs made or changed.

    Temporary files are left out, of which nothing may be left. What is asked of the network is forbidden, and stands
    among the files as /asked/EVENT.
    """
    for name in ("watch", "temporary"):
        (folder / name).mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH.replace("PLACE", repr(str(folder / "watch" / "changed"))))
    own = {"PYTHONPATH": str(folder / "watch"), "HARNESS_CACHE": str(folder / "cache"), "SECRET_TOKEN": CANARY}
    own["TMPDIR"] = str(folder / "temporary")
    inherited = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        cwd=ROOT,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # What is not whole yet has a name of its own beside its place.
    lines = re.sub(r"/\.([^/]+)\.[0-9a-f]{16}\.part\b", r"/\1", (folder / "watch" / "changed").read_text()).splitlines()
    assert list((folder / "temporary").iterdir()) == []
    changed = {Path(line) for line in lines}
    changed = {path for path in changed if not path.is_relative_to(folder / "temporary")}
    return done.stdout + done.stderr, changed
