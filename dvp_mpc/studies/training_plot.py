"""The picture of a training run: losses over all steps, and the two figures that judge an iteration."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dvp_mpc.files import whole_file


def plot_training(run_folder: Path, path: Path) -> None:
    """Draw iteration*/training.csv and table.csv of a run."""
    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    losses, figures = figure.subplots(1, 2, width_ratios=(2, 1))
    offset = 0.0
    for n, file in enumerate(sorted(run_folder.glob("iteration*/training.csv"))):
        columns = _columns(file)
        steps = offset + columns["step"]
        first = n == 0
        losses.semilogy(steps, columns["loss"], color="#33658a", lw=1.0, label="training" if first else None)
        losses.semilogy(steps, columns["validation"], color="#f26419", lw=1.4, label="held out" if first else None)
        if offset:
            losses.axvline(offset, color="#d5dbe1", lw=1, zorder=0)
        offset = float(steps[-1]) + 1
    losses.set(xlabel="step, all iterations [-]", ylabel="loss [-]", title="Sobolev loss")
    losses.legend(frameon=False)
    table = _columns(run_folder / "table.csv")
    figures.semilogy(table["iteration"], table["policy_gradient_error"], "o-", color="#2b3440", label="policy error")
    figures.semilogy(table["iteration"], table["bellman_residual"], "s-", color="#2f9c95", label="Bellman residual")
    figures.set(xlabel="iteration [-]", title="on ground truth [-]", xticks=table["iteration"])
    figures.legend(frameon=False)
    for axes in (losses, figures):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eef1f4")
    with whole_file(path) as part:
        canvas.print_figure(part, format=path.suffix[1:])


def _columns(file: Path) -> dict[str, np.ndarray]:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
