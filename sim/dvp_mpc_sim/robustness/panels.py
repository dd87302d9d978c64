"""What the figures of a robustness study share: looks, a grid of panels, one legend, and lines that do not hide each other."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dvp_mpc.files import whole_file
from dvp_mpc.studies.plots import INK, PALE
from dvp_mpc_sim.robustness.findings import ROUNDING, Row


class Look(NamedTuple):
    """How a controller is drawn: colour for the screen, marker for grey print and for eyes that see other colours."""

    colour: str
    marker: str


KNOWN = {
    "value N=1": Look("#7cc3ea", "v"),
    "value N=2": Look("#2f9c95", "^"),
    "value N=5": Look("#4a7fd4", "D"),
    "value N=10": Look("#1c3577", "o"),
    "value N=10 + observer": Look("#8d5a97", "P"),
    "riccati N=10": Look("#a3b859", "s"),
    "zero N=10": Look("#f6ae2d", "<"),
    "zero N=100": Look("#c8333a", "X"),
    "zero N=200": Look("#7b1e3a", "*"),
    "computed torque": Look("#7a828c", "h"),
}
OTHERS = (Look("#d16ba5", "p"), Look("#8c5a2b", ">"), Look("#3d7a3f", "8"), Look("#b39ddb", "d"), Look("#00a2b8", "H"))
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""One for each engine, in order of appearance."""
COLUMNS = 3
LANE = 1.5
"""Distance of lines that would lie on each other [% of success]."""
WIDTH = 0.12
"""What the marks of one level take of a panel [-]."""

HEAD: dict[str, Any] = {"loc": "left", "color": INK, "fontsize": 10, "fontweight": "bold", "parse_math": False}
"""Of a panel's title. Names are free text everywhere: a $ in one is no mathematics."""


def looks(names: Iterable[str]) -> dict[str, Look]:
    """How each controller is drawn, in the order of legends and tables: known ones first, others as they appear."""
    distinct = dict.fromkeys(names)
    others = [name for name in distinct if name not in KNOWN]
    known = {name: look for name, look in KNOWN.items() if name in distinct}
    return known | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}


def title(text: str) -> str:
    """A title broken to the width of a panel."""
    return textwrap.fill(text, 40)


def stroke(look: Look, hollow: bool = False, marker: bool = True) -> dict[str, Any]:
    """Line and marker of a controller; hollow ones belong to the engines after the first."""
    face = "white" if hollow else look.colour
    shape = {"marker": look.marker, "ms": 5, "mfc": face, "mec": look.colour, "mew": 1} if marker else {}
    return {"color": look.colour, "lw": 1.6, **shape}


def cases(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each case, in order of appearance."""
    return [[row for row in rows if row["case"] == case] for case in dict.fromkeys(row["case"] for row in rows)]


def dashes_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The line style of each engine, in order of appearance."""
    engines = dict.fromkeys(row["engine"] for row in rows)
    return {engine: DASHES[i % len(DASHES)] for i, engine in enumerate(engines)}


def place_levels(axes: Axes, rows: Sequence[Row]) -> list[float]:
    """The levels of a case, which label the places 0, 1, 2, ... of its axis."""
    levels = sorted({row["level"] for row in rows})
    axes.set_title(title(rows[0]["title"]), **HEAD)
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.set_xlabel(f"level [{rows[0]['unit'] or '-'}]", parse_math=False)
    return levels


def lines(
    rows: Sequence[Row], levels: Sequence[float], styles: Mapping[str, Look], dashes: Mapping[str, Any]
) -> Iterable[tuple[str, str, list[Row], list[float]]]:
    """(controller, engine, rows by level, their places); each line stands a little aside, so that no mark covers another."""
    slots = [(name, engine) for name in styles for engine in dashes]
    for i, (name, engine) in enumerate(slots):
        line = [row for row in rows if (row["controller"], row["engine"]) == (name, engine)]
        line.sort(key=lambda row: row["level"])
        aside = WIDTH * len(levels) * ((i + 0.5) / len(slots) - 0.5)
        yield name, engine, line, [levels.index(row["level"]) + aside for row in line]


def lanes(rows: Sequence[Row], order: Sequence[str]) -> dict[tuple[str, float, str], float]:
    """[% of success] How far (engine, level, controller) is moved so that equal successes stand beside each other.

    In the order of the legend. Ties at 100 % go up and ties at 0 % go down, where no true success can be, so that nothing
    is misread; the others are spread about their value. A lone value is not moved.
    """
    ties: dict[tuple[str, float, float], list[str]] = {}
    for row in sorted(rows, key=lambda row: order.index(row["controller"])):
        ties.setdefault((row["engine"], row["level"], row["success"]), []).append(row["controller"])
    moved: dict[tuple[str, float, str], float] = {}
    for (engine, level, success), names in ties.items():
        last = len(names) - 1
        above = last if success > 1 - ROUNDING else 0 if success < ROUNDING else last / 2
        moved |= {(engine, level, name): LANE * (above - i) for i, name in enumerate(names)}
    return moved


def panels(count: int) -> tuple[Figure, list[Axes], Axes | None]:
    """A figure with `count` panels of one common y axis, and the panel left over for the legend, if any."""
    columns = COLUMNS if count >= COLUMNS else count + 1
    lines = -(-count // columns)
    figure = Figure(figsize=(3.6 * columns, 2.75 * lines), dpi=130, layout="constrained")
    grid = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
    for axes in grid[count:]:
        axes.axis("off")
    for axes in grid[:count]:
        axes.grid(True, color=PALE, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, labelleft=True)
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
    return figure, grid[:count], grid[count] if count < len(grid) else None


def legend(figure: Figure, spare: Axes | None, entries: Sequence[Artist]) -> None:
    """The figure's one legend: in the panel left over, or below when none is."""
    if spare is None:
        made = figure.legend(handles=entries, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    else:
        made = spare.legend(handles=entries, loc="center left", fontsize=9, frameon=False)
    for text in made.get_texts():
        text.set_parse_math(False)


def entries(styles: Mapping[str, Look], dashes: Mapping[str, Any], markers: bool = True) -> list[Line2D]:
    """Legend entries of the controllers, and of the engines where there are several."""
    lines = [Line2D([], [], label=name, **stroke(look, False, markers)) for name, look in styles.items()]
    if len(dashes) > 1:
        dark = Look("#555555", "o")
        lines += [Line2D([], [], label=e, ls=d, **stroke(dark, d != "-", markers)) for e, d in dashes.items()]
    return lines


def write(figure: Figure, path: str | Path) -> None:
    """The ending of `path` chooses the format. The file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = FigureCanvasAgg(figure)
    with whole_file(path) as part:
        canvas.print_figure(part, format=path.suffix[1:] or "png")
