"""Twenty unseen starts and goals in PyBullet, half of them with a blow of 5 N s on the hand: one table per horizon.

python sim/twenty_seeds.py --nodes 10 2
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Seeds:
    """Run `dvp-mpc simulate` over many seeds; every other run is struck, each from another side."""

    nodes: tuple[int, ...] = (10, 2)
    """Horizons."""
    first: int = 100
    """First seed."""
    count: int = 20
    """Number of seeds."""
    disturbance: str = "impulse:5@1.5/random"
    """What strikes every other run."""
    model: str = "panda_reach"
    """Value file, or the name of a shipped one."""


def simulate(settings: Seeds, nodes: int, seed: int) -> dict[str, Any]:
    """The report of one run, through the command that a user would type."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["simulate", "--model", settings.model, "--nodes", str(nodes), "--seed", str(seed), "--out", folder]
        if seed % 2:
            command += ["--disturbance", settings.disturbance]
        program = Path(sys.executable).with_name("dvp-mpc")
        done = subprocess.run([program, *command, "--json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    """Print one table."""
    settings = tyro.cli(Seeds)
    table = Table(title=f"PyBullet, seeds {settings.first} to {settings.first + settings.count - 1}, tool error at 4 s")
    head = (
        "nodes",
        "median mm",
        "max mm",
        "of seed",
        "<= 1 mm",
        "violations",
        "velocity",
        "rejected",
        "misses",
        "p50 ms",
        "p99 ms",
    )
    for name in head:
        table.add_column(name, justify="right")
    for nodes in settings.nodes:
        reports = [simulate(settings, nodes, seed) for seed in range(settings.first, settings.first + settings.count)]
        errors = np.array([1e3 * report["tool_error_final_m"] for report in reports])
        total = {name: sum(report[name] for report in reports) for name in reports[0] if name.endswith("violations")}
        solve = {name: np.median([report["solve_ms"][name] for report in reports]) for name in ("p50", "p99")}
        table.add_row(
            str(nodes),
            f"{np.median(errors):.3f}",
            f"{errors.max():.3f}",
            str(settings.first + errors.argmax()),
            f"{(errors <= 1).sum()} of {len(errors)}",
            str(total["torque_violations"] + total["rate_violations"]),
            str(total["velocity_violations"]),
            str(sum(report["rejected"] for report in reports)),
            str(sum(report["misses"] for report in reports)),
            f"{solve['p50']:.2f}",
            f"{solve['p99']:.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
