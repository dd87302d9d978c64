"""`dvp-mpc simulate`: one closed loop in simulation."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from rich.progress import Progress

from dvp_mpc.cli.output import Output
from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import ExternalWrench, parse_disturbance
from dvp_mpc.errors import BadSetting, UsageError
from dvp_mpc.files import whole_file, writable_folder
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.optimum import running_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.plots import plot_log

if TYPE_CHECKING:  # the command line must start without the extra 'sim'
    from dvp_mpc_sim.bullet import BulletPlant
    from dvp_mpc_sim.loop import Log, Plant
    from dvp_mpc_sim.viewer import BrowserView

PATIENCE = 60.0  # [s] for somebody to open the browser


@dataclass(frozen=True)
class Simulate:
    """Let the arm reach a goal in simulation and write log, plot and (with --film) an animation.

    Start and goal are drawn from the box that the model is trusted on, start speeds included.
    """

    model: Annotated[str, tyro.conf.arg(aliases=["-m"])] = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    arm: str | None = None
    """Arm to check against the model's, or the URDF that the model was made for; unset: the model's own."""
    nodes: int = 10
    """Nodes of the horizon."""
    terminal: str = "value"
    """Terminal cost: value (learned), riccati (of the goal, no learning) or zero."""
    seed: int = 0
    """Seed of start and goal."""
    goal: tuple[float, float, float] | None = None
    """Goal in the world frame [m]; unset: drawn from the seed."""
    at_rest: bool = False
    """Start at rest instead of at speed."""
    duration: float = 4.0
    """Simulated time [s]."""
    disturbance: str | None = None
    """Push on the tool, such as impulse:5@1.5 (N s at s), push:20@1-4, sine:10@0.5Hz or random:5."""
    link: str | None = None
    """Link that the disturbance acts on instead of the tool."""
    payload: float = 0.0
    """Mass at the tool that the controller does not know of [kg]."""
    offset_free: bool = False
    """Let the controller find the torque that its model lacks (payload, push, friction) and make up for it."""
    engine: str = "bullet"
    """Physics engine: bullet or mujoco."""
    rate_hz: float = 1000.0
    """Controller steps per second."""
    plan_hz: float = 200.0
    """Plans per second; between them the plan's Riccati gain closes the loop."""
    film: bool = False
    """Render the motion to a GIF (takes some seconds)."""
    gui: bool = False
    """Show PyBullet's window, in real time."""
    view: bool = False
    """Show the arm and what the controller plans in a browser, in real time; waits a minute for one to look."""
    mcap: bool = False
    """Write the log as ROS 2 messages too, for Foxglove and PlotJuggler."""
    out: Path | None = None
    """Output folder; unset: runs/simulate/MODEL-nodesN-seedS."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self, output: Output) -> int:
        """Simulate, write, report."""
        try:
            from dvp_mpc_sim.body import Body
            from dvp_mpc_sim.bullet import BulletPlant
            from dvp_mpc_sim.episode import make_plant, start_and_goal, terminal_cost

            if self.view:
                from dvp_mpc_sim.viewer import BrowserView
            if self.mcap:
                from dvp_mpc_sim.mcap_log import write_mcap
        except ImportError as error:
            raise UsageError(f"simulation needs the extra 'sim' (pip install '.[sim]'): {error}") from error
        if not 0 < self.duration < 1e5:
            raise BadSetting("duration", self.duration, "must be positive [s]")
        task, value, _ = load_model(self.model, self.arm)
        x0, goal = start_and_goal(task, self.seed, goal_in_world=self.goal, at_rest=self.at_rest)
        stem = f"{Path(self.model).stem}-nodes{self.nodes}-seed{self.seed}"
        folder = writable_folder(self.out or Path("runs", "simulate", stem))
        if self.link is not None:
            task.arm.rotation_in_world(task.arm.home, self.link)  # refuses an unknown one by name
        if self.gui and self.engine != "bullet":
            raise BadSetting("gui", True, "shows Bullet's window; watch other engines with --view")
        mpc = MpcSettings(self.nodes)
        settings = ControllerSettings(mpc, self.rate_hz, self.plan_hz, offset_free=self.offset_free)
        controller = Controller(task, terminal_cost(self.terminal, value), goal, settings)
        pushes = [parse_disturbance(self.disturbance, seed=self.seed, link=self.link)] if self.disturbance else []
        files = ["log.npz", "plot.png", "summary.json"]
        with (
            make_plant(self.engine, task.arm, Body(payload=self.payload), gui=self.gui) as plant,
            BrowserView(task.arm) if self.view else nullcontext() as view,
            output.progress() as progress,
        ):
            if view is not None:
                output.say(f"open {view.url}")
                view.wait_for_browser(PATIENCE)
            log = self._close_loop(plant, controller, x0, goal, pushes, view, progress)
            report = self._report(task, log, controller, goal, folder)
            log.save(folder / "log.npz")
            plot_log(log, task.arm, folder / "plot.png", self._title(task, goal))
            with whole_file(folder / "summary.json") as part:
                part.write_text(json.dumps(report, indent=1))
            if self.mcap:
                write_mcap(log, task.arm, folder / "log.mcap")
                files.append("log.mcap")
            if self.film:
                with BulletPlant(task.arm, visual=True) as stage:
                    _draw_film(stage, log, pushes, folder / "film.gif", progress)
                files.append("film.gif")
        output.report(report)
        output.table(self._title(task, goal), ("figure", "value"), _rows(report))
        for file in files:
            output.say(f"wrote {folder / file}")
        return 0

    def _close_loop(
        self,
        plant: "Plant",
        controller: Controller,
        x0: np.ndarray,
        goal: np.ndarray,
        pushes: list[ExternalWrench],
        view: "BrowserView | None",
        progress: Progress,
    ) -> "Log":
        from dvp_mpc_sim.episode import real_time
        from dvp_mpc_sim.loop import simulate

        bar = progress.add_task("simulating", total=round(self.duration / plant.dt), note="ms")
        pace = real_time() if self.gui or self.view else None
        show = None if view is None else view.follow(plant, controller, pushes)

        def on_step(t: float) -> None:
            if round(t / plant.dt) % 50 == 49:
                progress.update(bar, completed=round(t / plant.dt) + 1)
            if show is not None:
                show(t)
            if pace is not None:
                pace(t)

        start, length = {"q0": x0[:DOF], "v0": x0[DOF:]}, self.duration
        return simulate(plant, controller, **start, duration=length, goals=goal, disturbances=pushes, on_step=on_step)

    def _title(self, task: ReachTask, goal: np.ndarray) -> str:
        push = f", {self.disturbance}" if self.disturbance else ""
        place = ", ".join(f"{value:.2f}" for value in goal)
        return f"{task.arm.name} to ({place}) m, {self.nodes} nodes + {self.terminal}, seed {self.seed}{push}"

    def _report(
        self, task: ReachTask, log: "Log", controller: Controller, goal: np.ndarray, folder: Path
    ) -> dict[str, Any]:
        statistics = controller.statistics
        return {
            **log.summary(task.arm),
            "cost": running_cost(task, np.hstack([log.q, log.v]), log.torque, log.goal_in_world, log.dt),
            "solve_ms": statistics.solve_ms(),
            "misses": statistics.misses,
            "steps": statistics.steps,
            "rejected": sum(statistics.rejected.values()),
            "states": dict(statistics.states),
            "seed": self.seed,
            "nodes": self.nodes,
            "terminal": self.terminal,
            "engine": self.engine,
            "goal_in_world": goal.tolist(),
            "run_dir": str(folder),
        }


def _draw_film(plant: "BulletPlant", log: "Log", pushes: list[ExternalWrench], path: Path, progress: Progress) -> None:
    from dvp_mpc_sim.film import film_pictures
    from dvp_mpc_sim.render import write_gif

    bar = progress.add_task("drawing", total=None, note="pictures")
    pictures = film_pictures(
        plant, log, pushes, on_picture=lambda done, of: progress.update(bar, completed=done, total=of)
    )
    write_gif(path, pictures, 20)


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    solve, settling = report["solve_ms"], report["settling_time_s"]
    return [
        ("tool error at the end", f"{1e3 * report['tool_error_final_m']:.3f} mm"),
        ("settled within 1 cm after", "never" if settling is None else f"{settling:.2f} s"),
        ("cost", f"{report['cost']:.4f}"),
        ("impulse received", f"{report['impulse_N_s']:.2f} N s"),
        ("torque, rate violations", f"{report['torque_violations']}, {report['rate_violations']}"),
        ("position, velocity violations", f"{report['position_violations']}, {report['velocity_violations']}"),
        ("solve p50 / p99 / max", f"{solve['p50']:.2f} / {solve['p99']:.2f} / {solve['max']:.2f} ms"),
        ("missed steps, rejected plans", f"{report['misses']} of {report['steps']}, {report['rejected']}"),
        ("steps in each state", ", ".join(f"{name} {count}" for name, count in report["states"].items())),
    ]
