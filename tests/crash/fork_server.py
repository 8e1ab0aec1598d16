"""Runs commands in processes that need no start-up: they are forked from one that has imported everything.

The process itself is the script; `ForkServer` speaks with it. A child is as real as any other to `kill` and to strace.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, and what it printed."""

    code: int
    said: str


class ForkServer:
    """Commands as "module:function" with their arguments; `imports` are made once, before the first."""

    def __init__(self, *imports: str) -> None:
        command = [sys.executable, __file__, *imports]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(
        self,
        target: str,
        *arguments: str,
        log: Path,
        go: Path | None = None,
        kill_after: float | None = None,
        **environment: str,
    ) -> int:
        """The number of the process that will run the command, once the file `go` is there.

        After `kill_after` seconds it is killed, where it has not ended by then.
        """
        asked = {"target": target, "arguments": arguments, "log": str(log), "env": environment}
        self._say({**asked, "go": str(go) if go else None, "kill_after": kill_after})
        return int(self._hear())

    def wait(self, log: Path) -> Ended:
        """Wait until the command that was started ends."""
        status = int(self._hear())
        return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))

    def run(
        self, target: str, *arguments: str, log: Path, kill_after: float | None = None, **environment: str
    ) -> Ended:
        """Start a command and wait for its end."""
        self.start(target, *arguments, log=log, kill_after=kill_after, **environment)
        return self.wait(log)

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _say(self, message: Any) -> None:
        assert self._process.stdin is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def command_line(*arguments: str) -> None:
    """The command `harness`, as its own process would run it."""
    from harness.cli.main import main

    sys.argv = ["harness", *arguments]
    main(list(arguments), prog_name="harness")


def serve() -> None:
    """Fork a child for each line of standard input, and print its number and then its status."""
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            run_child(asked)
        print(child, flush=True)
        if asked["kill_after"] is not None:
            time.sleep(asked["kill_after"])
            os.kill(child, signal.SIGKILL)  # which does nothing to one that has ended and was not waited for yet
        print(os.waitpid(child, 0)[1], flush=True)


def run_child(asked: dict[str, Any]) -> None:
    """Be the command, and end as it does."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(asked["env"])
    module, name = asked["target"].split(":")
    function = getattr(importlib.import_module(module), name)
    while asked["go"] is not None and not os.path.exists(asked["go"]):
        time.sleep(0.002)
    code = 0
    try:
        function(*asked["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would, but without going on in the server's own code
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    for name in sys.argv[1:]:
        importlib.import_module(name)
    sys.modules["fork_server"] = sys.modules["__main__"]
    serve()
