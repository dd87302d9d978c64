"""What a command prints: tables and progress for people, or one JSON object for machines."""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table


class _Rate(ProgressColumn):
    """Units done per second."""

    def render(self, task: Task) -> str:
        return "" if task.speed is None else f"{task.speed:.0f}/s"


class Output:
    """Standard output of one command. As a context it keeps foreign chatter (PyBullet, Crocoddyl) off standard output."""

    def __init__(self, json_only: bool):
        self.json_only = json_only
        width = None if sys.stdout.isatty() else 140  # in a file or a pipe Rich would take 80 columns
        self._people = Console(stderr=json_only, quiet=json_only, highlight=False, width=width)

    def __enter__(self) -> "Output":
        sys.stdout.flush()
        self._real = os.dup(1)
        if self.json_only:
            os.dup2(2, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        # What C printed waits in a buffer of its own, and would come out at the very end.
        ctypes.CDLL(None).fflush(None)
        os.dup2(self._real, 1)
        os.close(self._real)

    def report(self, report: dict[str, Any]) -> None:
        """The one JSON object, if that is what was asked for. NaN and infinity are not JSON: use None."""
        if self.json_only:
            os.write(self._real, (json.dumps(report, allow_nan=False, indent=1) + "\n").encode())

    def say(self, text: str) -> None:
        """A line for people."""
        self._people.print(text)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people; numbers stand to the right."""
        table = Table(title=title, title_justify="left")
        for k, name in enumerate(head):
            table.add_column(name, justify="left" if k == 0 else "right")
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._people.print(table)

    @contextmanager
    def watch(self) -> Iterator[Callable[[str, int, int], None]]:
        """watch(what, done, of) for work that names its parts: a bar for each, made when it is first heard of."""
        with self.progress() as progress:
            bars: dict[str, TaskID] = {}

            def watch(what: str, done: int, total: int) -> None:
                if what not in bars:
                    bars[what] = progress.add_task(what, total=total, note="")
                progress.update(bars[what], completed=done)

            yield watch

    def progress(self) -> Progress:
        """A progress display with count, rate, elapsed and remaining time, on standard error."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, quiet=self.json_only),
        )
