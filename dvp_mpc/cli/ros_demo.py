"""`dvp-mpc ros-demo`: plant and controller over DDS, two goals and a blow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dvp_mpc.arguments import require_seed
from dvp_mpc.cli.output import Output
from dvp_mpc.errors import UsageError
from dvp_mpc.files import writable_folder
from dvp_mpc.models import DEFAULT_MODEL


@dataclass(frozen=True)
class RosDemo:
    """Start the PyBullet arm and the controller as two ROS 2 nodes, activate, send two goals and a blow, and judge the record.

    Everything goes over Fast DDS as it would with a real arm: lifecycle services, joint_states, effort commands.
    """

    model: Annotated[str, tyro.conf.arg(aliases=["-m"])] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    nodes: int = 10
    """Nodes of the horizon."""
    rate_hz: float = 200.0
    """Commands per second."""
    seed: int = 0
    """Seed of the goals and the direction of the blow."""
    out: Path = Path("runs/ros-demo")
    """Folder for the plant's record and the nodes' output."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Run and report; 1 when the torque invariant was broken."""
        try:
            from dvp_mpc_ros.demo import run_demo
        except ImportError as error:
            raise UsageError(
                f"ros-demo needs ROS 2 (pip install '.[ros,sim]', or your distribution's): {error}"
            ) from error
        require_seed(self.seed)
        folder = writable_folder(self.out)
        report = run_demo(
            folder, model=self.model, nodes=self.nodes, rate_hz=self.rate_hz, seed=self.seed, say=output.say
        )
        output.report(report)
        output.table("plant and controller over DDS", ("figure", "value"), _rows(report))
        output.say(f"wrote {folder / 'record.npz'}")
        return 1 if report["violations"] else 0


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    gap, latency, solve = report["gap_ms"], report["latency_ms"], report["solve_ms"]
    return [
        ("tool error after 4 s, each goal", ", ".join(f"{1e3 * e:.3f} mm" for e in report["tool_error_final_m"])),
        ("violations of the torque invariant", str(report["violations"])),
        ("time between commands p50 / p99 / max", f"{gap['p50']:.2f} / {gap['p99']:.2f} / {gap['max']:.2f} ms"),
        ("missed ticks", f"{report['misses']} of {report['ticks']}"),
        ("state to command p50 / p99", f"{latency['p50']:.2f} / {latency['p99']:.2f} ms"),
        ("solve p50 / p99 / max", f"{solve['p50']:.2f} / {solve['p99']:.2f} / {solve['max']:.2f} ms"),
        ("time in each safety state", ", ".join(f"{k} {v:.2f} s" for k, v in report["safety_states"].items())),
        ("plant's time / time that passed", f"{report['plant_real_time']:.3f}"),
        ("plant's watchdog held the arm for", f"{report['watchdog_braked_s']:.2f} s"),
        ("rights of the command loop", report["rights"]),
    ]
