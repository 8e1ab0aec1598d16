"""A real OpenAI-compatible server for tests: llama.cpp with the demo model, in a process of its own."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.engine.catalogue import _fetch
from harness.environment import cache_folder
from harness.files import new_folder
from harness.suite.catalogue import CATALOGUE

MODEL = CATALOGUE["smollm2-135m-instruct"]
# Beside the converted model; read at import, since tests of the command line give the rest of a run another cache.
FOLDER = cache_folder() / "models" / f"{MODEL.package}-{MODEL.sha256[:12]}-gguf"
START_SECONDS = 60.0  # it takes less than one

# The `test` extra brings it, so that CI never skips.
needs_real_server = pytest.mark.skipif(
    find_spec("xllamacpp") is None, reason="xllamacpp is not installed; `pip install -e '.[test]'` brings it"
)


@contextmanager
def real_server(adapter: Path | None = None) -> Iterator[str]:
    """The base URL of a server that runs until the block ends, and is then killed whatever it is doing.

    It applies the `adapter`, a GGUF file, to all that it answers, if one is given. A question has the same greedy
    answer whatever else is asked before it or at the same time. The server takes any model name for that of the one
    model that it runs.

    Raises:
        BrokenRunError: the model cannot be fetched.
        RuntimeError: the server does not start; with the last that it wrote.
    """
    command = [sys.executable, __file__, str(_model_file()), *([str(adapter)] if adapter is not None else [])]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            address = process.stdout.readline().decode().strip() if ready else ""
            if not address:
                log.seek(0)
                raise RuntimeError(f"the server did not start: {log.read().decode(errors='replace')[-2000:]}")
            yield f"{address}/v1"
        finally:
            process.kill()


def _model_file() -> Path:
    """The GGUF as its package carries it, fetched once per machine."""
    if not FOLDER.is_dir():
        with tempfile.TemporaryDirectory() as scratch, new_folder(FOLDER) as building:
            shutil.move(_fetch(MODEL, Path(scratch)), building)
    return FOLDER / Path(MODEL.file).name


def _serve(model: str, *adapters: str) -> None:
    """Say the address on stdout, then serve until stdin ends, which it also does when the parent process dies."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_ctx = 2048
    settings.port = 0  # any that is free
    settings.ui = False
    settings.fit_params = False
    # What is computed together, or kept from an earlier prompt, rounds otherwise and changes greedy answers.
    settings.n_parallel = 1
    settings.cache_prompt = False
    # Two threads wait for each other in busy loops: five times slower as soon as a core has other work.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.lora_adapters = [_applied(path) for path in adapters]
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # without waiting for what is under way


def _applied(adapter: str) -> object:
    """An adapter as llama.cpp is told of it."""
    import xllamacpp

    info = xllamacpp.CommonAdapterLoraInfo()
    info.path, info.scale = adapter, 1.0
    return info


if __name__ == "__main__":
    _serve(*sys.argv[1:])
