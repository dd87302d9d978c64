"""write_page: the outcomes of a study as one page of Markdown, with the plots beside it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from dvp_mpc.files import whole_file
from dvp_mpc.studies.reproduce.figure import Json
from dvp_mpc.studies.reproduce.study import Outcome

ABOUT = """\
Parag, Kleff, Saci, Mansard, Stasse, ICRA 2022, [hal-03356261](https://hal.science/hal-03356261v2). This page is generated;
every number comes from the command beside it. A number is the mean over seeds, ± its standard deviation, [smallest, largest].
Times are those of one process; what a run that was stopped had done before is not in them."""


def write_page(outcomes: Sequence[Outcome], folder: Path, meta: dict[str, str]) -> Path:
    """reproduction.md in the folder and its plots in reproduction/; meta: facts such as command, date, machine."""
    plots = folder / "reproduction"
    plots.mkdir(parents=True, exist_ok=True)
    lines = ["# The paper's figures, reproduced", ""]
    lines += [ABOUT, ""]
    lines += [f"{name}: {text}  " for name, text in meta.items()]
    lines += ["", "| Figure | Claim | Verdict | Seeds | Time, all seeds [s] |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        figure = outcome.figure
        link = f"[{figure.number}](#figure-{figure.number})"
        verdict = outcome.summary.verdict.value
        lines.append(f"| {link} | {figure.title} | **{verdict}** | {outcome.seeds} | {outcome.seconds:.0f} |")
    for outcome in outcomes:
        lines += _section(outcome, plots)
    path = folder / "reproduction.md"
    with whole_file(path) as part:
        part.write_text("\n".join(line.rstrip() if not line.endswith("  ") else line for line in lines) + "\n")
    return path


def _section(outcome: Outcome, plots: Path) -> list[str]:
    figure, summary = outcome.figure, outcome.summary
    target = plots / f"{figure.name}.png"
    if outcome.plot.resolve() != target.resolve():
        shutil.copyfile(outcome.plot, target)
    lines = ["", f"## Figure {figure.number}", "", f"**{figure.title}: {summary.verdict.value}.**", ""]
    lines += [f"*The paper:* {figure.claim}", "", f"*Bars:* {figure.bars}", ""]
    lines += [line for remark in summary.remarks for line in (remark, "")]
    lines += [f"![Figure {figure.number}](reproduction/{target.name})", "", "| Number | Ours |", "|---|---|"]
    lines += [f"| {name} | {show(value)} |" for name, value in summary.numbers.items()]
    return [
        *lines,
        "",
        f"`dvp-mpc reproduce {figure.number} --seeds {outcome.seeds}`, {outcome.seconds:.0f} s of one core.",
    ]


def show(value: Json) -> str:
    """A number or a spread for people."""
    if isinstance(value, dict) and set(value) == {"mean", "std", "min", "max"}:
        return f"{value['mean']:.3g} ± {value['std']:.2g} [{value['min']:.3g}, {value['max']:.3g}]"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {show(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(show(one) for one in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
