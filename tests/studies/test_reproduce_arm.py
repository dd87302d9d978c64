"""Figures 9 to 11: the quick path and verdicts on results that are made up."""

from pathlib import Path

import pytest

from dvp_mpc.studies.reproduce import fig9, fig10, fig11
from dvp_mpc.studies.reproduce.figure import Figure, Json, Verdict, Work


@pytest.mark.parametrize("figure", [fig9.FIGURE, fig10.FIGURE], ids=lambda f: f.name)
def test_quick_figure_runs(figure: Figure, tmp_path: Path) -> None:
    result = figure.compute(figure.quick, Work(0, True, tmp_path))
    summary = figure.summarise(figure.quick, [result])
    assert summary.verdict is Verdict.HOLDS
    assert summary.numbers
    figure.plot(figure.quick, [result], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def nine(mm: float, cost: float) -> Json:
    names, settings = ("ours", "riccati", "zero"), fig9.FIGURE.full
    return {
        "rows": [
            {"nodes": nodes, "terminal": name, "mm": mm, "cost": cost}
            for nodes in settings.horizons
            for name in names
            for _ in range(settings.cases)
        ]
    }


@pytest.mark.parametrize(
    ("mm", "cost", "verdict"),
    [(0.2, 1e-4, Verdict.HOLDS), (1.5, 1e-4, Verdict.PARTLY), (0.2, -0.01, Verdict.PARTLY), (3, 0.1, Verdict.NOT)],
)
def test_figure_9_is_judged_by_its_worst_case(mm: float, cost: float, verdict: Verdict) -> None:
    assert fig9.summarise(fig9.FIGURE.full, [nine(0.1, 1e-5), nine(mm, cost)]).verdict is verdict


def ten(finals: dict[int, float | None]) -> Json:
    """Final distance [m] with V by horizon; Riccati and zero never arrive."""
    rows = []
    for nodes, final in finals.items():
        for name in fig10.METHODS:
            far = final if name == "ours" else 0.5
            rows += [{"nodes": nodes, "terminal": name, "final": far, "loss": far, "rejected": 0}] * 3
    return {"rows": rows}


@pytest.mark.parametrize(
    ("finals", "verdict"),
    [
        ({1: 1e-4, 2: 1e-4, 10: 1e-4}, Verdict.HOLDS),
        ({1: 0.02, 2: 1e-4, 10: 1e-4}, Verdict.PARTLY),
        ({1: None, 2: 0.02, 10: 0.02}, Verdict.NOT),  # None: it diverged
    ],
)
def test_figure_10_is_judged_at_every_horizon(finals: dict[int, float | None], verdict: Verdict) -> None:
    found = fig10.summarise(fig10.FIGURE.full, [ten(finals), ten(finals)])
    assert found.verdict is verdict
    assert not found.remarks  # Riccati did not arrive, so nothing is to be said of it


def eleven(ours: float | None, zero: float) -> Json:
    row = {"case": "push", "level": 20, "success": True, "error": [0.1, 0.1]}
    away = {"ours": [ours, ours], "zero": [zero, zero], "truth": [0.0, 0.0]}
    return {"rows": [row | {"controller": name, "away": path} for name, path in away.items()], "dt": 0.02}


@pytest.mark.parametrize(
    ("ours", "zero", "verdict"),
    [
        (0.002, 0.1, Verdict.HOLDS),
        (0.002, 0.004, Verdict.PARTLY),  # near, but not thanks to V
        (0.05, 0.1, Verdict.NOT),
        (None, 0.1, Verdict.NOT),
    ],
)
def test_figure_11_is_judged_against_the_same_horizon_without_v(
    ours: float | None, zero: float, verdict: Verdict, tmp_path: Path
) -> None:
    settings = fig11.FIGURE.full
    assert fig11.summarise(settings, [eleven(ours, zero)] * 2).verdict is verdict
    fig11.plot(settings, [eleven(ours, zero)] * 2, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").exists()


def test_figure_11_runs_the_shipped_plan() -> None:
    plans = pytest.importorskip("dvp_mpc_sim.robustness.plan")
    shipped = plans.StudyPlan.load(fig11.PLAN)
    full = plans.StudyPlan.read(fig11.PLAN, fig11._raw(fig11.FIGURE.full, shipped.raw))
    assert full.digest == shipped.digest
    quick = plans.StudyPlan.read(fig11.PLAN, fig11._raw(fig11.FIGURE.quick, shipped.raw))
    assert [(case.name, len(case.levels)) for case in quick.cases] == [("impulse", 1)]
    assert set(fig11.STYLE.values()) < {spec.name for spec in quick.controllers}
