"""`dvp-mpc faults`: what the controller promises when things go wrong, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.progress import TaskID

from dvp_mpc.arguments import require_jobs
from dvp_mpc.cli.output import Output
from dvp_mpc.errors import UsageError

if TYPE_CHECKING:  # the command line must start without the extra 'sim'
    from dvp_mpc_sim.fault_table import Row

ELSEWHERE = {
    "F23": "with F22: odd seeds hang",
    "F35": "one test per callback, tests/ros",
    "F38": "a soak of hours",
    **dict.fromkeys(("F42", "F43", "F44", "F45", "F46", "F47"), "dvp-mpc robustness promises"),
}
"""Faults that have no row of their own."""
OVER_DDS = ("F9", "F14", "F15", "F22", "F32", "F37")
"""Faults that only whole nodes can have."""


@dataclass(frozen=True)
class Faults:
    """Run the table of faults: each row with its seed, its trials, what is expected and what was measured.

    Every published sample of every run must keep the torque invariant, and the same run without the fault must track. Rows
    run in simulated time; those that need processes and DDS run after them, one at a time. The exit code is 1 when a row fails.
    """

    rows: tuple[str, ...] = ()
    """Faults to run, such as F1 F20; unset: the whole table."""
    quick: bool = False
    """A few trials of each row."""
    seed: int = 2026
    """Seed of starts, goals and faults."""
    jobs: int = -1
    """Worker processes; -1: one per core."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Run, report, judge."""
        try:
            from dvp_mpc_sim.fault_table import choose, place, rows, run_table
        except ImportError as error:
            raise UsageError(f"the table needs the extra 'sim' (pip install '.[sim]'): {error}") from error
        require_jobs(self.jobs)
        over_dds, reason = _rows_over_dds()
        table = [*rows(), *over_dds]
        chosen = choose(self.rows, table)
        results: list[dict[str, Any]] = []
        with output.progress() as progress:
            bars: dict[int, TaskID] = {}
            for row, result in run_table(chosen, seed=self.seed, quick=self.quick, jobs=self.jobs):
                if id(row) not in bars:
                    bars[id(row)] = progress.add_task(f"{row.fault} {row.title}", total=row.count(self.quick), note="")
                progress.advance(bars[id(row)])
                if result is not None:
                    results.append(result)
        results.sort(key=lambda result: place(result["fault"]))
        not_run = [] if self.rows else _not_run(table, reason)
        output.report({"rows": results, "not_run": not_run})
        output.table(f"faults, seed {self.seed}", ("", "trials", "expected", "measured", "pass"), _cells(results))
        for entry in not_run:
            output.say(f"not run: {entry['fault']}: {entry['reason']}")
        failed = [result["fault"] for result in results if not result["pass"]]
        output.say(
            f"{len(results) - len(failed)} of {len(results)} rows pass" + (f"; not {', '.join(failed)}" * bool(failed))
        )
        return 1 if failed else 0


def _rows_over_dds() -> tuple[Sequence["Row"], str]:
    """The rows of whole nodes, or why there are none."""
    try:
        from dvp_mpc_ros.fault_rows import ROWS
    except ImportError as error:
        return (), f"needs ROS 2 (pip install '.[ros]'): {error}"
    return ROWS, ""


def _not_run(table: Sequence["Row"], reason: str) -> list[dict[str, str]]:
    reasons = dict(ELSEWHERE)
    if reason:
        reasons |= dict.fromkeys(OVER_DDS, reason)
    return [
        {"fault": fault, "reason": text} for fault, text in sorted(reasons.items(), key=lambda item: int(item[0][1:]))
    ]


def _cells(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            f"{result['fault']} {result['title']}",
            str(result["trials"]),
            result["expected"],
            result["measured"],
            "yes" if result["pass"] else f"NO: {', '.join(result['broken'])}",
        ]
        for result in results
    ]
