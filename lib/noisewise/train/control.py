"""How a run is told to stop, by a channel that is no signal.

Whoever started this process holds the other end of its standard input: a line on it, or its end (the starter died),
asks the run to save at the next step boundary and leave. Signals would reach a container's payload twice, or kill
the process that mounts its image.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

CONTROL = "NOISEWISE_CONTROL"  # "stdin": somebody holds the other end of standard input
INTERRUPTED = 75  # exit status of a run that saved and left; EX_TEMPFAIL in sysexits.h: try again


class Interrupted(Exception):
    """The run was asked to stop, has saved, and can go on later."""


class Control:
    """The flag that the training loop looks at between steps."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether somebody wants this run to stop."""
        return self._asked.is_set()

    def stop(self, *_: object) -> None:
        self._asked.set()

    def listen(self) -> Control:
        """Watch standard input where a starter holds it; and SIGTERM and Ctrl-C, of which a second one ends at once.

        Schedulers send SIGTERM to every process of a step, a payload's too: it saves then, as when it is asked.
        """
        if os.environ.get(CONTROL) == "stdin":
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self._stop_gently)
        return self

    def _stop_gently(self, *_: object) -> None:
        self.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _watch_stdin(self) -> None:
        os.read(sys.stdin.fileno(), 1)  # unbuffered: a buffered reader's lock would trip the interpreter's shutdown
        self.stop()
