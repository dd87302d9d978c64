"""How data generation grows with Ray workers: two against one, the bytes of a label, and where the driver is full.

python -m dvp_mpc.studies.bench.scale    # two minutes on two cores; leave the machine alone meanwhile

Where the driver is full is measured with workers that only sleep. A worker that sleeps for a hundredth of what a chunk takes
sends as many chunks as a hundred that solve, so a few processes stand for a cluster. They share this machine with the
driver: one that has its cores for itself takes in more.
"""

import pickle
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from dvp_mpc.cluster import ray_cluster, ray_unordered
from dvp_mpc.learning.dataset import CHUNK, Chunk, solve_chunk, write_chunk
from dvp_mpc.learning.settings import Sampling, Starts
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.bench.throughput import collect_seconds
from dvp_mpc.studies.bench.ticks import BENCH
from dvp_mpc.value import Value

SAMPLING = Sampling(starts=Starts(loop=0.0))  # what `dvp-mpc bench` times
SLEEPERS = 8  # processes


@dataclass(frozen=True)
class Scale:
    """Two Ray workers against one; bytes of a label; chunks that the driver takes in."""

    problems: int = 240
    """Problems that one and two workers solve, in each round."""
    rounds: int = 2
    """Rounds of one worker and two, in turn."""
    workers: tuple[int, ...] = (25, 50, 100, 200, 400, 800)
    """Numbers of workers that sleeping ones stand for."""
    seconds: float = 5.0
    """Time that each number is kept up."""
    seed: int = 2026
    """Seed of the problems."""


def two_against_one(task: ReachTask, value: Value, problems: int, rounds: int, seed: int) -> dict[int, float]:
    """Problems per second with one Ray worker and with two, the best of all rounds, which other processes disturbed least."""
    best = {1: 0.0, 2: 0.0}
    with ray_cluster("local", 2):
        for turn in range(rounds + 1):  # the first is for the workers' imports
            for workers in best:
                sampling = Sampling(problems if turn else 4 * CHUNK, starts=SAMPLING.starts)
                seconds = collect_seconds(task, value, sampling, seed, workers, workers=ray_unordered)
                if turn:
                    best[workers] = max(best[workers], problems / seconds)
    return best


def intake(chunk: Chunk, chunk_seconds: float, workers: tuple[int, ...], seconds: float) -> list[dict[str, float]]:
    """What the driver takes in and writes to disk when `workers` workers send a chunk every chunk_seconds."""
    rows = []
    with ray_cluster("local", SLEEPERS), tempfile.TemporaryDirectory() as folder:
        for number in (workers[0], *workers):  # the first once more, for the start of the sleepers
            work = partial(_sleep, chunk, SLEEPERS * chunk_seconds / number)
            taken, began, cpu = 0, time.perf_counter(), time.process_time()
            # No break when time is up: ending what is under way ends its worker, and the next number would wait for another.
            numbers = takewhile(lambda _: time.perf_counter() - began < seconds, count())  # noqa: B023
            for k, result, _ in ray_unordered(work, numbers, -1):
                write_chunk(Path(folder, f"chunk{k:04d}.npz"), result)
                taken += 1
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            offered = number / chunk_seconds
            rows.append(
                {"workers": number, "offered": offered, "taken": taken / wall, "driver_cpu_ms": 1e3 * cpu / taken}
            )
    return rows[1:]


def _sleep(chunk: Chunk, seconds: float, number: int) -> Chunk:
    time.sleep(seconds)
    return chunk


def measure(settings: Scale) -> dict[str, Any]:
    """All of it; keys as in the tables that `main` prints."""
    task, value, _ = load_model(DEFAULT_MODEL)
    chunk = solve_chunk(task, value, True, SAMPLING, [BENCH, settings.seed, 0], CHUNK)
    sent, labels = len(pickle.dumps(chunk, protocol=5)), len(chunk.arrays["V"])
    rates = two_against_one(task, value, settings.problems, settings.rounds, settings.seed)
    return {
        "per_second": rates,
        "ratio": rates[2] / rates[1],
        "chunk_bytes": sent,
        "label_bytes": sent / labels,
        "sent_once_bytes": len(pickle.dumps((task, value), protocol=5)),
        "chunk_seconds": CHUNK / rates[1],
        "intake": intake(chunk, CHUNK / rates[1], settings.workers, settings.seconds),
    }


def main() -> None:
    """Measure and print."""
    found = measure(tyro.cli(Scale, description=__doc__))
    console, rates = Console(width=110), found["per_second"]
    console.print(
        f"problems a second: one worker {rates[1]:.1f}, two {rates[2]:.1f}, ratio {found['ratio']:.2f}\n"
        f"bytes: label {found['label_bytes']:.0f}, chunk {found['chunk_bytes']}, task and value, once to each machine "
        f"{found['sent_once_bytes']}"
    )
    table = Table("workers", "chunks/s sent", "taken in", "share", "driver CPU ms a chunk", title="a driver's intake")
    for row in found["intake"]:
        share = row["taken"] / row["offered"]
        numbers = (f"{row['offered']:.0f}", f"{row['taken']:.0f}", f"{share:.2f}", f"{row['driver_cpu_ms']:.2f}")
        table.add_row(f"{row['workers']:.0f}", *numbers)
    console.print(table)
    full = max(row["taken"] for row in found["intake"])
    console.print(
        f"full at {full:.0f} chunks/s, which {full * found['chunk_seconds']:.0f} workers send at "
        f"{found['chunk_seconds']:.2f} s a chunk"
    )


if __name__ == "__main__":
    main()
