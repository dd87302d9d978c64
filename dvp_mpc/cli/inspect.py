"""`dvp-mpc inspect`: what a value file says of itself, and whether it is sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from dvp_mpc.cli.output import Output
from dvp_mpc.models import DEFAULT_MODEL, find_model, load_model


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
        _, _, card = load_model(self.model, self.arm)
        output.report(card)
        for section in ("task", "layout", "training", "accuracy", "versions"):
            output.say(f"[bold]{section}[/bold]")
            for name, value in _flat(card[section]):
                output.say(f"  {name:<28} {value}")
        output.say(f"[bold]made[/bold] on {card['date']} by: {card['command']}")
        output.say(f"[bold]digest[/bold] {card['digest']}")
        output.say(f"{find_model(self.model)}: every check passed")
        return 0


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
