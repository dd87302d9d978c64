"""`dvp-mpc reproduce`: the paper's figures, each with a verdict."""

import datetime
import os
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape

from dvp_mpc.cli.interrupt import Interrupt
from dvp_mpc.cli.output import Output
from dvp_mpc.files import writable_folder


@dataclass(frozen=True)
class Reproduce:
    """Reproduce a figure of the paper, or all of them: numbers with their spread over seeds, a plot and a verdict.

    A run that was stopped goes on where it was when the same command is given again. A full run of `all` also writes
    reproduction.md and its plots to docs.
    """

    figure: tyro.conf.Positional[str]
    """Number of a figure, or all."""
    quick: bool = False
    """Seconds instead of minutes: shows the path, proves nothing."""
    seeds: int | None = None
    """Seeds of training; unset: 5, or 2 with --quick."""
    jobs: Annotated[int, tyro.conf.arg(aliases=["-j"])] = 1
    """Worker processes; -1: one per core. Has no influence on the results."""
    out: Path | None = None
    """Folder for results and plots; unset: runs/reproduce, or runs/reproduce-quick."""
    docs: Path | None = None
    """Folder for the page; unset: docs for a full run of all, otherwise the output folder."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Compute, judge, draw, write."""
        from dvp_mpc.studies.reproduce.page import show, write_page
        from dvp_mpc.studies.reproduce.registry import find_figures
        from dvp_mpc.studies.reproduce.study import run_figures

        figures = find_figures(self.figure)
        seeds = (2 if self.quick else 5) if self.seeds is None else self.seeds
        folder = writable_folder(self.out or Path("runs", "reproduce-quick" if self.quick else "reproduce"))
        with output.progress() as progress, Interrupt() as interrupt:
            bars = {figure.name: progress.add_task(figure.name, total=seeds, note="seeds") for figure in figures}

            def watch(what: str, done: int, total: int) -> None:
                interrupt.look()
                progress.update(bars[what], completed=done, total=total)

            outcomes = run_figures(figures, seeds, self.quick, folder, self.jobs, watch)
        meta = {
            "Command": f"`{shlex.join(['dvp-mpc', *sys.argv[1:]])}`",
            "Date": datetime.date.today().isoformat(),
            "Machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        }
        in_docs = self.figure == "all" and not self.quick
        page = write_page(outcomes, writable_folder(self.docs or (Path("docs") if in_docs else folder)), meta)
        output.report({"figures": [outcome.report() for outcome in outcomes], "meta": meta, "page": str(page)})
        for outcome in outcomes:
            figure, summary = outcome.figure, outcome.summary
            rows = [(escape(name), escape(show(value))) for name, value in summary.numbers.items()]
            title = f"Figure {figure.number}: {figure.title}: {summary.verdict.value.upper()} ({outcome.seeds} seeds)"
            output.table(title, ("number", "mean ± std [min, max]"), rows)
            for remark in summary.remarks:
                output.say(escape(remark))
        for file in (*(outcome.plot for outcome in outcomes), page):
            output.say(f"wrote {file}")
        return 0
