"""What a process weighs, written into its history four times a second."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.history import Writer

__all__ = ["start_gauges"]

_EVERY = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")


def start_gauges(history: Writer, more: Callable[[], Mapping[str, float]]) -> None:
    """Write `gauge` events until the process ends, with what `more` tells beside the process's."""

    def run() -> None:
        pause = threading.Event()
        while True:
            rss = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
            fds = len(list(Path("/proc/self/fd").iterdir()))
            history.write("gauge", rss=rss, threads=threading.active_count(), fds=fds, **more())
            pause.wait(_EVERY)

    threading.Thread(target=run, name="chaos-gauges", daemon=True).start()
