"""End calls of ONNX Runtime that do not return: a graph of a bundle may loop forever."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from towermill.errors import BundleError

#: Seconds that one call may take. Batches are small: it takes milliseconds.
LIMIT: Final = 60.0


class TimeLimit:
    """Runs sessions, each call for at most a number of seconds.

    One thread watches all calls, so that a call costs microseconds. It starts with the first call
    and lives as long as the process.

    Parameters
    ----------
    seconds
        The limit.
    """

    def __init__(self, seconds: float = LIMIT) -> None:
        self.seconds = seconds
        self._running: dict[int, tuple[float, Any]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def run(self, session: Any, inputs: dict[str, Any]) -> list[Any]:
        """Return the outputs of an ``onnxruntime.InferenceSession``.

        Raises
        ------
        BundleError
            The call took longer than the limit and was ended.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # what is ended is reported below
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            self._running[id(options)] = time.monotonic() + self.seconds, options
            if len(self._running) == 1:
                self._changed.notify()
        try:
            found: list[Any] = session.run(None, inputs, options)
            return found
        except Exception as error:  # its exceptions have no common base but this
            if not options.terminate:
                raise
            raise BundleError(
                f"A model of the bundle should answer within {self.seconds:g} seconds; the call "
                "was ended. Do not use this bundle: export it again."
            ) from error
        finally:
            with self._changed:
                del self._running[id(options)]

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._running:
                    self._changed.wait()
                now = time.monotonic()
                ahead = [end for end, _ in self._running.values() if end > now]
                for end, options in self._running.values():
                    if end <= now:
                        options.terminate = True
                self._changed.wait(min([self.seconds, *(end - now for end in ahead)]))


#: The limit of all calls in this process.
TIME_LIMIT: Final = TimeLimit()
