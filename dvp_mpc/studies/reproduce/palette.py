"""One colour per method, in every figure, and the sheet that figures are drawn on."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from dvp_mpc.files import whole_file

INK, PALE = "#2b3440", "#d5dbe1"
METHOD = {
    "truth": "#2b3440",  # ground truth, reference
    "ours": "#f26419",  # DVP with our loss, network and settings
    "paper": "#33658a",  # DVP with the paper's
    "zero": "#8a96a3",  # no terminal cost
    "riccati": "#a3b859",
    "ppo": "#8d5a97",
    "feedforward": "#2f9c95",  # figures 5 and 6; the residual network is the paper's
}
LABEL = {
    "truth": "ground truth",
    "ours": "DVP, our settings",
    "paper": "DVP, paper's settings",
    "zero": "zero terminal cost",
    "riccati": "Riccati terminal cost",
    "ppo": "PPO",
    "feedforward": "plain feedforward network",
}
LEVELS = ("#1d1147", "#51127c", "#832681", "#b73779", "#e0557e", "#f07fa0", "#f9b4c6")
"""For one method at several levels (horizon, noise, samples), from low to high; no level looks like a method."""


def sheet(rows: int = 1, columns: int = 2, size: tuple[float, float] = (9.0, 4.0)) -> tuple[Sheet, np.ndarray]:
    """An empty drawing and its axes (rows, columns)."""
    drawing = Sheet(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        tidy(one)
    return drawing, axes


def tidy(axes: Axes) -> None:
    """Pale grid, no box."""
    axes.grid(True, color=PALE, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def band(axes: Axes, x: np.ndarray, runs: np.ndarray, colour: str, label: str, marker: str = "o") -> None:
    """Mean over runs (seeds, n) with the range of all seeds behind it."""
    axes.plot(x, runs.mean(0), color=colour, lw=1.6, marker=marker, ms=4, label=label)
    axes.fill_between(x, runs.min(0), runs.max(0), color=colour, alpha=0.18, lw=0)


def save(drawing: Sheet, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        drawing.canvas.print_figure(part, format="png")
