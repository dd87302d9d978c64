"""`dvp-mpc inspect`: what a value file says of itself, and whether it is sound."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from dvp_mpc.cli.output import Output
from dvp_mpc.models import DEFAULT_MODEL, find_model, load_model


@dataclass(frozen=True)
class Inspect:
    """Check a value file as the controller would and print its card."""

    model: Annotated[str, tyro.conf.Positional] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    arm: str | None = None
    """Arm, if it is to be checked against the model's; unset: the model's own."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Load, check, print."""
        _, _, card = load_model(self.model, self.arm)
        output.report(card)
        for section in ("task", "layout", "accuracy", "training", "versions"):
            output.table(section, ("field", "value"), [(name, value) for name, value in card[section].items()])
        output.say(f"digest {card['digest']}, made on {card['date']} by: {card['command']}")
        output.say(f"{find_model(self.model)}: every check passed")
        return 0
