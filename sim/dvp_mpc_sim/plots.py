"""Plots of several runs, for the scripts beside this package; one run alone is drawn by `dvp_mpc.studies.plots`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dvp_mpc.files import whole_file
from dvp_mpc.problem.arm import Arm
from dvp_mpc.studies.plots import FLOOR_MM, INK, JOINT_COLOURS, PALE
from dvp_mpc_sim.loop import Log

RUN_COLOURS = ("#33658a", "#f26419", "#2f9c95", "#8d5a97")
PUSHED = 0.1
"""Force that counts as a push [N]."""


def plot_comparison(logs: Mapping[str, Log], arm: Arm, path: Path) -> None:
    """Draw the tool errors of runs, by name, in one panel, and the torque of each in one of its own, pushes shaded."""
    figure = Figure(figsize=(8, 3 + 2.3 * len(logs)), dpi=110, layout="constrained")
    panels = figure.subplots(1 + len(logs), 1, sharex=True, height_ratios=(1.3, *[1.0] * len(logs)))
    for k, (name, log) in enumerate(logs.items()):
        colour, torque = RUN_COLOURS[k % len(RUN_COLOURS)], panels[1 + k]
        panels[0].semilogy(log.t, np.maximum(1e3 * log.tool_error(), FLOOR_MM), color=colour, lw=1.6, label=name)
        for joint, share, shade in zip(arm.joint_names, (log.torque / arm.torque_limit).T, JOINT_COLOURS, strict=True):
            torque.plot(log.t, share, color=shade, lw=1.0, label=joint)
        torque.set_title(name, color=colour, loc="left", fontsize=10)
        torque.set(ylabel="torque / limit [-]", ylim=(-1.05, 1.05))
        pushed = log.t[np.linalg.norm(log.wrench_in_world[:, :3], axis=1) > PUSHED]
        for start, stop in _spans(pushed, log.dt):
            torque.axvspan(start, stop, color=PALE, alpha=0.6, lw=0)
            if k == 0:
                panels[0].axvspan(start, stop, color=PALE, alpha=0.6, lw=0)
    panels[0].set(ylabel="tool error [mm]", xlim=(log.t[0], log.t[-1]))
    panels[0].legend(frameon=False, fontsize=9)
    panels[1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    panels[-1].set_xlabel("time [s]")
    _finish(figure, path)


def plot_sweep(parameter: str, values: np.ndarray, figures: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw figures of merit, each (values, seeds) by its label, over a parameter: a dot for each seed, a line of medians."""
    figure = Figure(figsize=(7, 2.4 * len(figures)), dpi=110, layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(figures), 1, sharex=True))
    for axes, (label, found) in zip(panels, figures.items(), strict=True):
        axes.plot(values, found[:, :1], "o", color=RUN_COLOURS[0], alpha=0.45, ms=6, mec="none", label="one run")
        axes.plot(values, found[:, 1:], "o", color=RUN_COLOURS[0], alpha=0.45, ms=6, mec="none")
        axes.plot(values, np.median(found, axis=1), color=INK, lw=1.4, label="median")
        axes.set(ylabel=label, ylim=(0, 1.1 * found.max() or 1))
    panels[0].legend(frameon=False, fontsize=9)
    panels[-1].set_xlabel(parameter)
    _finish(figure, path)


def _spans(times: np.ndarray, dt: float) -> list[tuple[float, float]]:
    """From, until [s] of each stretch of consecutive rows."""
    breaks = np.flatnonzero(np.diff(times) > 1.5 * dt)
    starts, stops = np.append(times[:1], times[breaks + 1]), np.append(times[breaks], times[-1:])
    return list(zip(starts.tolist(), (stops + dt).tolist(), strict=True))


def _finish(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.grid(True, color=PALE, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        figure.savefig(part, format=path.suffix[1:] or "png")
