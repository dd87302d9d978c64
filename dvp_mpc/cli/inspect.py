"""`dvp-mpc inspect`: what a value file says of itself, whether it is sound, and where it may be trusted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import tyro

from dvp_mpc import native
from dvp_mpc.cli.output import Output
from dvp_mpc.cli.validate import how_to
from dvp_mpc.models import DEFAULT_MODEL, find_model, load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask


@dataclass(frozen=True)
class Inspect:
    """Check a value file as the controller would and print its card."""

    model: Annotated[str, tyro.conf.Positional] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    arm: str | None = None
    """Arm to check against the model's, or the URDF that the model was made for; unset: the model's own."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Load, check, print."""
        task, _, card = load_model(self.model, self.arm)
        trust = trust_facts(task) | {"validate": how_to(self.model, card["training"].get("preset"))}
        output.report(card | {"trust": trust})
        for section in ("task", "layout", "training", "accuracy", "versions"):
            output.say(f"[bold]{section}[/bold]")
            for name, value in _flat(card[section]):
                output.say(f"  {name:<28} {value}")
        output.say(f"[bold]made[/bold] on {card['date']} by: {card['command']}")
        output.say(f"[bold]digest[/bold] {card['digest']}")
        output.say(f"[bold]terminal node and box QP[/bold] on this machine: {native.load()[1] or 'compiled'}")
        region = trust["region"]
        rows = [(name, *(f"{low:.3f} to {up:.3f}" for low, up in sides)) for name, *sides in _joints(task, region)]
        output.table("trusted where", ("joint", "posture rad", "speed rad/s", "starts from rad"), rows)
        for low, up, axis in zip(region["goal_lower"], region["goal_upper"], "xyz", strict=True):
            output.say(f"  goal {axis} in the world: {low:.3f} to {up:.3f} m")
        output.say(f"  {trust['inside']}")
        output.say(f"  {trust['outside']}")
        output.say(f"[bold]whether the value is right[/bold]: {trust['validate']}")
        output.say(f"{find_model(self.model)}: every check passed")
        return 0


def trust_facts(task: ReachTask) -> dict[str, Any]:
    """Where a value for this task is trusted, and what happens elsewhere."""
    region, (lower, upper) = task.region, task.start_box
    sides = {
        "lower": region.lower,
        "upper": region.upper,
        "around_goal_posture": region.around[:DOF],
        "goal_lower": np.array(task.box.goal_lower),
        "goal_upper": np.array(task.box.goal_upper),
    }
    return {
        "start_box": {"lower": lower.tolist(), "upper": upper.tolist()},
        "region": {name: side.tolist() for name, side in sides.items()},
        "inside": f"and within {region.around[0]:g} rad of the goal's posture: score at most 1",
        "outside": "outside: the Riccati value of the goal ends the horizon, and the state is DEGRADED",
    }


def _joints(task: ReachTask, region: dict[str, list[float]]) -> Iterator[tuple[Any, ...]]:
    """Name of each joint with its sides: posture, speed, start posture."""
    pairs = list(zip(region["lower"], region["upper"], strict=True))
    for i, (name, *start) in enumerate(zip(task.arm.joint_names, *task.start_box, strict=False)):
        yield name, pairs[i], pairs[DOF + i], tuple(start)


def _flat(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested fields as dotted names with readable values."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield prefix + name, " ".join(map(_text, value))
        else:
            yield prefix + name, _text(value)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
