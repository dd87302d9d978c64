"""`dvp-mpc evaluate`: how much a short horizon loses, beside no learning and no terminal cost."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from dvp_mpc.cli.output import Output
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.studies.evaluation import evaluate


@dataclass(frozen=True)
class Evaluate:
    """Closed-loop cost above the infinite-horizon optimum, tick times and accuracy of a value, on unseen states.

    Suboptimalities are fractions (0.001 is 0.1 %). Each horizon is run with the learned value, with the Riccati matrix of
    the goal (no learning) and with zero terminal cost.
    """

    model: Annotated[str, tyro.conf.arg(aliases=["-m"])] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    arm: str | None = None
    """Arm to check against the model's, or the URDF that the model was made for; unset: the model's own."""
    nodes: tuple[int, ...] = (1, 2, 5, 10, 20)
    """Horizons."""
    starts: int = 100
    """Starts and goals, drawn from the box that the model is trusted on."""
    states: int = 500
    """Held-out ground-truth states for the accuracy of the value."""
    seed: int = 2026
    """Seed of starts, goals and states."""
    jobs: int = -1
    """Worker processes; -1: one per core."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Evaluate and report."""
        task, value, _ = load_model(self.model, self.arm)
        with output.watch() as watch:
            report = evaluate(task, value, self.nodes, self.starts, self.seed, self.states, self.jobs, watch)
        output.report(report)
        losses, ticks = ("loss % median", "p95", "max", "diverged"), ("tick ms p50", "p99", "/ zero")
        head = ("terminal", "nodes", *losses, "tool mm", "max", "past limit mrad", "speed / limit", *ticks)
        output.table(f"closed loop, {self.starts} unseen starts, seed {self.seed}", head, _rows(report))
        _accuracy(output, report)
        return 0


def _rows(report: dict[str, Any]) -> list[list[str]]:
    rows = []
    for row in sorted(report["rows"], key=lambda row: ("value riccati zero".index(row["terminal"]), row["nodes"])):
        loss, error, tick = row["suboptimality"], row["tool_error_final_m"], row["tick_ms"]
        rows.append(
            [
                row["terminal"],
                row["nodes"],
                *(_number(loss[key], 100) for key in ("median", "p95", "max")),
                row["diverged"],
                *(_number(error[key], 1000) for key in ("median", "max")),
                _number(row["position_excess_rad"], 1000),
                "inf" if (speed := row["speed_share"]["max"]) is None else f"{speed:.2f}",
                f"{tick['p50']:.3f}",
                f"{tick['p99']:.2f}",
                f"{row['tick_ratio_to_zero']:.2f}",
            ]
        )
    return rows


def _accuracy(output: Output, report: dict[str, Any]) -> None:
    names = {
        "policy_gradient_error": "policy-metric gradient error",
        "rel_error_median": "relative value error, median",
        "gradient_error_median": "relative gradient error, median",
        "psd_share": "Hessian positive semi-definite, share",
        "goal_value": "largest |V(goal)|",
    }
    columns = (report["value"], report["value"]["at_starts"], report["riccati"])
    rows = [[text, *(f"{column[name]:.3g}" for column in columns)] for name, text in names.items()]
    head = ("", "value, along optima", "value, at their starts", "riccati, along optima")
    output.table(f"accuracy on {report['value']['states']} held-out states", head, rows)


def _number(value: float | None, scale: float) -> str:
    if value is None:
        return "inf"
    return f"{scale * value:.0f}" if scale * value >= 100 else f"{scale * value:.3f}"
