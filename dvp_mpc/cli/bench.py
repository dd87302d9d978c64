"""`dvp-mpc bench`: what a tick costs and where, whether the rate is held, and how fast labels and training are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dvp_mpc.cli.output import Output
from dvp_mpc.errors import BadSetting, UsageError
from dvp_mpc.files import whole_file, writable_folder
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.studies.bench.loop import real_time_loop
from dvp_mpc.studies.bench.report import RATES_HZ, equal_cost, growth, machine, measured_ticks, peak_memory_mb, rows
from dvp_mpc.studies.bench.throughput import cold_start, label_throughput, training_steps
from dvp_mpc.studies.bench.ticks import STAGES
from dvp_mpc.value import RiccatiValue, ValueFunction


@dataclass(frozen=True)
class Bench:
    """Measure speed: ticks by stage, rates held in real time, labels, training steps, cold start.

    Everything that is compared is measured in one run, interleaved. Let nothing else run meanwhile; the machine's load is
    written into the result, which is saved and can be compared with an earlier one.
    """

    model: Annotated[str, tyro.conf.arg(aliases=["-m"])] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    arm: str | None = None
    """Arm to check against the model's, or the URDF that the model was made for; unset: the model's own."""
    nodes: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    """Horizons."""
    ticks: int = 200
    """Ticks along each motion."""
    motions: int = 5
    """Motions, each with a start and goal of its own."""
    equal_nodes: tuple[int, ...] = (1, 2, 5, 10)
    """Horizons for which the shortest zero-terminal horizon of equal closed-loop cost is looked for; none: no search."""
    starts: int = 6
    """Closed loops behind each of those costs."""
    seconds: float = 10.0
    """Time that each rate is held for."""
    problems: int = 160
    """Problems solved for the label throughput."""
    steps: int = 40
    """Training steps that are timed; 0: none."""
    seed: int = 2026
    """Seed of starts and goals."""
    jobs: int = -1
    """Worker processes for closed loops and labels; -1: one per core."""
    out: Path = Path("runs/bench")
    """Folder; the result becomes bench.json in it."""
    compare: Path | None = None
    """bench.json of an earlier run, to be compared with."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def __post_init__(self) -> None:
        least = {"seconds": 0.1, "problems": 1, "starts": 1, "steps": 0, "ticks": 2, "motions": 1}
        for name, number in least.items():
            if not getattr(self, name) >= number:
                raise BadSetting(name, getattr(self, name), f"must be at least {number:g}")
        for n in self.nodes:
            if n < 1:
                raise BadSetting("nodes", n, "the horizon needs at least one node")
        if not self.nodes:
            raise BadSetting("nodes", self.nodes, "name at least one horizon")
        if not set(self.equal_nodes) <= set(self.nodes):
            raise BadSetting("equal_nodes", self.equal_nodes, f"must be among nodes = {self.nodes}")

    def run(self, output: Output) -> int:
        """Measure, report, save."""
        earlier = _read(self.compare) if self.compare else None
        folder = writable_folder(self.out)
        report = self._measure(output)
        output.report(report)
        _print(output, report)
        if earlier is not None:
            _print_comparison(output, report, earlier)
        with whole_file(folder / "bench.json") as part:
            part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
        output.say(f"saved: {folder / 'bench.json'}")
        return 0

    def _measure(self, output: Output) -> dict[str, Any]:
        task, value, _ = load_model(self.model, self.arm)
        terminals: dict[str, ValueFunction | None] = {"value": value, "riccati": RiccatiValue(), "zero": None}
        with output.watch() as watch:
            facts, start = machine(), cold_start(self.model, self.arm)
            loops = []
            for k, rate in enumerate(RATES_HZ):
                watch("rates in real time", k, len(RATES_HZ))
                loops.append(real_time_loop(task, value, 10, rate, self.seconds, self.seed))
            watch("rates in real time", len(RATES_HZ), len(RATES_HZ))
            equal = equal_cost(task, value, self.equal_nodes, self.starts, self.seed, self.jobs, watch)
            times, compared = measured_ticks(
                task, terminals, self.nodes, equal, self.seed, self.motions, self.ticks, watch
            )
            labels = label_throughput(task, value, self.seed, self.problems, self.jobs, watch)
            training = training_steps(task, value, self.seed, self.steps)
        return {
            "machine": facts | {"load_at_end": machine()["load"]},
            "model": self.model,
            "seed": self.seed,
            "rows": rows(times),
            "growth": growth(times),
            "equal_cost": compared,
            "loop": loops,
            "labels": labels,
            "training": training,
            "cold_start_s": start,
            "peak_memory_mb": peak_memory_mb(),
        }


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text())
        return {"rows": {(row["nodes"], row["terminal"]): row for row in report["rows"]}, "machine": report["machine"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no result of `dvp-mpc bench`: {error}") from error


def _print(output: Output, report: dict[str, Any]) -> None:
    facts = report["machine"]
    output.say(
        f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; load {facts['load']:.1f} at the "
        f"beginning, {facts['load_at_end']:.1f} at the end; terminal node {facts['terminal_node']}"
    )
    head = ("terminal", "nodes", "p50", "p99", "p99.9", "max", *(f"> {1000 / r:g} ms" for r in RATES_HZ), "/ native")
    order = sorted(report["rows"], key=lambda row: ("value riccati zero".index(row["terminal"]), row["nodes"]))
    ticks = [
        [
            row["terminal"],
            row["nodes"],
            *(f"{row['tick_ms'][name]:.3f}" for name in ("p50", "p99", "p999", "max")),
            *row["misses"].values(),
            f"{row['ratio_native']:.2f}",
        ]
        for row in order
    ]
    output.table(f"tick in ms, {report['rows'][0]['ticks']} of each, interleaved", head, ticks)
    stages = [
        [row["terminal"], row["nodes"], *(f"{1e3 * row['stages'][name]:.0f}" for name in STAGES)] for row in order
    ]
    output.table("stages of a Newton step, medians in microseconds", ("terminal", "nodes", *STAGES), stages)
    equal = [
        [
            row["nodes"],
            f"{100 * row['loss_median']:.4f}",
            row["zero_nodes"] or "none found",
            f"{100 * row['zero_loss_median']:.4f}",
            f"{row['tick_ratio']:.4f}",
        ]
        for row in report["equal_cost"]
    ]
    if equal:
        columns = ("nodes with the value", "median loss %", "zero-terminal nodes", "median loss %", "tick ratio")
        output.table("shortest zero-terminal horizon with the same closed-loop cost", columns, equal)
    loops = [
        [
            f"{row['rate_hz']:g}",
            row["ticks"],
            row["misses"],
            *(f"{row['latency_ms'][name]:.3f}" for name in ("p50", "p99", "p999", "max")),
            "yes" if row["fifo"] else "no",
        ]
        for row in report["loop"]
    ]
    head = ("Hz", "ticks", "misses", "latency ms p50", "p99", "p99.9", "max", "FIFO")
    output.table("state to torque in real time, 10 nodes, a plan at every step", head, loops)
    labels, training = report["labels"], report["training"]
    output.say(
        f"labels: {labels['per_second']:.1f} problems/s with {labels['workers']} workers and their start; one core "
        f"{labels['per_second_one_core']:.1f}/s, {labels['ratio_bare']:.2f} of bare solver calls"
    )
    output.say(f"training: {training['steps_per_second']:.1f} steps/s" if training else "training: not timed")
    output.say(
        f"cold start to first torque: {report['cold_start_s']:.2f} s; peak memory {report['peak_memory_mb']:.0f} MB"
    )


def _print_comparison(output: Output, report: dict[str, Any], earlier: dict[str, Any]) -> None:
    lines = []
    for row in report["rows"]:
        if (before := earlier["rows"].get((row["nodes"], row["terminal"]))) is None:
            continue
        ratios = (row["tick_ms"][name] / before["tick_ms"][name] for name in ("p50", "p99"))
        natives = (r["ratio_native"] for r in (before, row))
        lines.append([row["terminal"], row["nodes"], *(f"{r:.2f}" for r in (*ratios, *natives))])
    facts = earlier["machine"]
    title = f"beside {facts['date']} on {facts['processor']}, load {facts['load']:.1f}"
    output.table(title, ("terminal", "nodes", "p50 now / then", "p99", "/ native then", "now"), lines)
