"""Entry point: parse, run, turn errors into one line and an exit code.

0 done    1 the work failed    2 it was asked for wrongly    130 interrupted
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

from dvp_mpc.cli.bench import Bench
from dvp_mpc.cli.compare import Compare
from dvp_mpc.cli.evaluate import Evaluate
from dvp_mpc.cli.faults import Faults
from dvp_mpc.cli.inspect import Inspect
from dvp_mpc.cli.output import Output
from dvp_mpc.cli.reproduce import Reproduce
from dvp_mpc.cli.robustness import Robustness
from dvp_mpc.cli.ros_demo import RosDemo
from dvp_mpc.cli.simulate import Simulate
from dvp_mpc.cli.train import Train
from dvp_mpc.cli.validate import Validate
from dvp_mpc.errors import DvpError, UsageError
from dvp_mpc.presets import Preset, find_preset

DESCRIPTION = "Model predictive control of torque-controlled arms with a learned infinite-horizon terminal cost."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = _parse(args)
        with Output(command.json) as output:
            return command.run(output)
    except DvpError as error:
        print(f"dvp-mpc: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(
            "dvp-mpc: interrupted; the same `train`, `robustness` or `reproduce` command goes on where it stopped",
            file=sys.stderr,
        )
        return 130


def _parse(
    args: list[str],
) -> Train | Compare | Simulate | Evaluate | Inspect | Validate | RosDemo | Faults | Robustness | Bench | Reproduce:
    commands = (
        Annotated[Train, subcommand("train", default=Train(*_preset(args)))]
        | Annotated[Compare, subcommand("compare")]
        | Annotated[Simulate, subcommand("simulate")]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Inspect, subcommand("inspect")]
        | Annotated[Validate, subcommand("validate")]
        | Annotated[RosDemo, subcommand("ros-demo")]
        | Annotated[Faults, subcommand("faults")]
        | Annotated[Robustness, subcommand("robustness")]
        | Annotated[Bench, subcommand("bench")]
        | Annotated[Reproduce, subcommand("reproduce")]
    )
    one_flag = (tyro.conf.FlagCreatePairsOff,)  # --json, without a --no-json beside it
    return tyro.cli(commands, args=args, prog="dvp-mpc", description=DESCRIPTION, config=one_flag)


def _preset(args: list[str]) -> tuple[str, Preset]:
    """The preset named in the arguments: its values are the defaults of every other flag of `train`."""
    name = Train.preset
    for k, word in enumerate(args):
        if word.startswith("--preset="):
            name = word.split("=", 1)[1]
        elif word == "--preset" and k + 1 < len(args):
            name = args[k + 1]
    return name, find_preset(name)
