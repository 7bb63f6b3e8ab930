"""The program of the built-in model's child process: `… builtin_server WEIGHTS SOCKET THREADS WINDOW FOLDER`.

Answers on the unix socket until it is ended by a signal.
"""

import signal
import sys
from typing import Any

SLOTS = 2
"""Requests served side by side; each slot remembers the prompt that it read last."""
PROMPT_CACHE_MB = 256
TEMPERATURE = 0.2
"""A small model that is let loose makes things up."""


def main(weights: str, socket: str, threads: int, window: int, folder: str) -> None:
    """Load the weights and serve. What was read is kept in, and taken from, files of the folder."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = [socket]
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * window
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    # Names moved between versions of the runtime; these are not worth a failure.
    _set(
        params,
        ui=False,
        webui=False,
        offline=True,
        endpoint_slots=False,
        cache_ram_mib=PROMPT_CACHE_MB,
        slot_save_path=f"{folder}/",
        sse_ping_interval=5,
    )
    _set(params.sampling, temp=TEMPERATURE, penalty_repeat=1.1)
    _server = xllamacpp.Server(params)  # serves in threads of its own for as long as it is held
    while True:
        signal.pause()


def _set(params: Any, **values: object) -> None:
    for name, value in values.items():
        if hasattr(params, name):
            setattr(params, name, value)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
