"""Plots of a run. Matplotlib's object interface only: no backend is chosen and no global state is touched."""

from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dvp_mpc.files import whole_file
from dvp_mpc.problem.arm import Arm

JOINT_COLOURS = ("#33658a", "#86bbd8", "#2f9c95", "#a3b859", "#f6ae2d", "#f26419", "#8d5a97")
"""One colour per joint, from base to tool; told apart in grey print too."""
AXIS_COLOURS = ("#c8333a", "#4f9d4f", "#33658a")
INK, PALE = "#2b3440", "#d5dbe1"
FLOOR_MM = 1e-3
"""Smallest tool error that the logarithmic scale shows [mm]."""


class RunLog(Protocol):
    """What a plot needs of a run; the simulation's Log has it."""

    @property
    def t(self) -> np.ndarray:
        """(n,) [s]"""

    @property
    def v(self) -> np.ndarray:
        """(n, 7) [rad/s]"""

    @property
    def torque(self) -> np.ndarray:
        """(n, 7) [N m]"""

    @property
    def wrench_in_world(self) -> np.ndarray:
        """(n, 6) [N, N m]"""

    def tool_error(self) -> np.ndarray:
        """(n,) [m]"""


def plot_log(log: RunLog, arm: Arm, path: str | Path, title: str = "") -> None:
    """Draw tool error, torque and velocity as shares of their limits and the external force over time; write a picture.

    The ending of `path` chooses the format. The file appears whole or not at all.
    """
    figure = Figure(figsize=(8, 9), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    error, torque, velocity, force = figure.subplots(4, 1, sharex=True, height_ratios=(1.2, 1, 1, 0.8))
    error.set_title(title or f"{arm.name}: tool, torque, velocity and push", loc="left", color=INK, fontsize=11)
    error.semilogy(log.t, np.maximum(1e3 * log.tool_error(), FLOOR_MM), color=INK, lw=1.6)
    error.axhline(10, color=PALE, lw=1, zorder=0)
    error.text(1.01, 10, "1 cm", transform=error.get_yaxis_transform(), va="center", fontsize=8, color="grey")
    error.set_ylabel("tool error [mm]")
    _shares(torque, log.t, log.torque / arm.torque_limit, arm.joint_names)
    torque.set_ylabel("torque / limit [-]")
    _shares(velocity, log.t, log.v / arm.velocity_limit, arm.joint_names)
    velocity.set_ylabel("velocity / limit [-]")
    torque.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    for i, (axis, colour) in enumerate(zip("xyz", AXIS_COLOURS, strict=True)):
        force.plot(log.t, log.wrench_in_world[:, i], color=colour, lw=1.2, label=axis)
    force.set_ylabel("external force [N]")
    force.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False, title="world axis", title_fontsize=8
    )
    force.set_xlabel("time [s]")
    force.set_xlim(log.t[0], log.t[-1])
    for axes in (error, torque, velocity, force):
        axes.grid(True, color=PALE, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        canvas.print_figure(part, format=path.suffix[1:] or "png")


def _shares(axes: Axes, t: np.ndarray, shares: np.ndarray, names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        axes.plot(t, shares[:, i], color=JOINT_COLOURS[i % len(JOINT_COLOURS)], lw=1.1, label=name)
    for limit in (-1, 1):
        axes.axhline(limit, color="#c8333a", lw=0.9, ls="--", label="limit" if limit == 1 else None)
    axes.set_ylim(-1.1 * max(1, np.nanmax(-shares)), 1.1 * max(1, np.nanmax(shares)))
