"""The picture of a training run: losses over all steps, and the two figures that judge an iteration."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dvp_mpc.files import whole_file


def plot_training(run_folder: Path, path: Path) -> None:
    """Draw iteration*/training.csv and table.csv of a run."""
    figure = Figure(figsize=(12, 4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    losses, figures, loops = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    offset = 0.0
    for n, file in enumerate(sorted(run_folder.glob("iteration*/training.csv"))):
        columns = read_columns(file)
        steps = offset + columns["step"]
        first = n == 0
        losses.semilogy(steps, columns["loss"], color="#33658a", lw=1.0, label="training" if first else None)
        losses.semilogy(steps, columns["validation"], color="#f26419", lw=1.4, label="held out" if first else None)
        if offset:
            losses.axvline(offset, color="#d5dbe1", lw=1, zorder=0)
        offset = float(steps[-1]) + 1
    losses.set(xlabel="step, all iterations [-]", ylabel="loss [-]", title="loss of the fits")
    losses.legend(frameon=False)
    table = read_columns(run_folder / "table.csv")
    figures.semilogy(table["iteration"], table["policy_gradient_error"], "o-", color="#2b3440", label="policy error")
    figures.semilogy(table["iteration"], table["bellman_residual"], "s-", color="#2f9c95", label="Bellman residual")
    figures.set(xlabel="iteration [-]", title="on ground truth [-]", xticks=table["iteration"])
    figures.legend(frameon=False)
    probe = read_columns(run_folder / "probe.csv")
    for nodes, colour in ((1, "#33658a"), (2, "#f26419")):
        for what, style in (("median", "o-"), ("worst", "^--")):
            label = f"N = {nodes}, {what}"
            loops.semilogy(probe["iteration"], 100 * probe[f"loss_{nodes}_{what}"], style, color=colour, label=label)
    loops.set(xlabel="iteration [-]", title="closed loops:\ncost above optimum [%]", xticks=table["iteration"])
    loops.legend(frameon=False)
    for axes in (losses, figures, loops):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eef1f4")
    with whole_file(path) as part:
        canvas.print_figure(part, format=path.suffix[1:])


def read_columns(file: Path) -> dict[str, np.ndarray]:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def plot_comparison(runs: dict[str, Path], path: Path) -> None:
    """Draw held-out loss, policy error and closed loops of several runs, one colour a run."""
    figure = Figure(figsize=(12, 4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    losses, errors, loops = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    for k, (name, folder) in enumerate(runs.items()):
        colour, offset = f"C{k}", 0.0
        for n, file in enumerate(sorted(folder.glob("iteration*/training.csv"))):
            columns = read_columns(file)
            steps = offset + columns["step"]
            losses.semilogy(steps, columns["validation"], color=colour, lw=1.4, label=name if n == 0 else None)
            offset = float(steps[-1]) + 1
        table, probe = read_columns(folder / "table.csv"), read_columns(folder / "probe.csv")
        errors.semilogy(table["iteration"], table["policy_gradient_error"], "o-", color=colour)
        loops.semilogy(probe["iteration"], 100 * probe["loss_1_median"], "o-", color=colour)
        loops.semilogy(probe["iteration"], 100 * probe["loss_1_worst"], "^--", color=colour)
    losses.set(xlabel="step, all iterations [-]", ylabel="loss [-]", title="held-out loss")
    losses.legend(frameon=False)
    errors.set(xlabel="iteration [-]", title="policy error [-]")
    loops.set(xlabel="iteration [-]", title="N = 1: cost above optimum [%]\nmedian and worst")
    for axes in (losses, errors, loops):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eef1f4")
    with whole_file(path) as part:
        canvas.print_figure(part, format=path.suffix[1:])
