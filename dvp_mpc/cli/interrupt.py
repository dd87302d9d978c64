"""Ctrl-C that is not lost.

Python drops a KeyboardInterrupt that happens to arrive in a destructor or a weak reference's callback, of which a worker pool
has many. So it is remembered, and raised again at the next look.
"""

import signal


class Interrupt:
    """A context in which `look` raises the KeyboardInterrupt that was dropped."""

    def __enter__(self) -> "Interrupt":
        self._came = False
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: object) -> None:
        self._came = True
        raise KeyboardInterrupt

    def look(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed."""
        if self._came:
            raise KeyboardInterrupt
