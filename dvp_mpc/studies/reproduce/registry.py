"""Every figure of the paper that is reproduced, by its number."""

from dvp_mpc.errors import UnknownChoice
from dvp_mpc.studies.reproduce import fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11
from dvp_mpc.studies.reproduce.figure import Figure

MODULES = (fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11)

FIGURES: dict[str, Figure] = {str(module.FIGURE.number): module.FIGURE for module in MODULES}


def find_figures(name: str) -> list[Figure]:
    """The figure of that number, or all of them for "all"; raises UnknownChoice."""
    if name == "all":
        return list(FIGURES.values())
    if name not in FIGURES:
        raise UnknownChoice("figure", name, [*FIGURES, "all"])
    return [FIGURES[name]]
