"""Figures 9 to 11: the quick path, the authors' own arm, and verdicts on results that are made up."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.models import load_model
from dvp_mpc.studies.reproduce import arm_paper, authors_motion, fig9, fig10, fig11
from dvp_mpc.studies.reproduce.authors_arm import GOAL, START, THEIRS, AuthorsArm
from dvp_mpc.studies.reproduce.figure import Figure, Json, Verdict, Work


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the figures share is made once."""
    pytest.importorskip("torch")
    return tmp_path_factory.mktemp("parts")


@pytest.mark.parametrize("figure", [fig9.FIGURE, fig10.FIGURE], ids=lambda f: f.name)
def test_quick_figure_runs(figure: Figure, parts: Path, tmp_path: Path) -> None:
    if figure is fig9.FIGURE:
        pytest.importorskip("pybullet_data")
    result = figure.compute(figure.quick, Work(0, True, parts))
    summary = figure.summarise(figure.quick, [result])
    assert summary.verdict is Verdict.PARTLY, "ours is good, and a net that has learnt for a second is not"
    assert summary.numbers
    figure.plot(figure.quick, [result], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_a_value_made_the_papers_way_is_made_once_and_is_the_papers(parts: Path) -> None:
    work = Work(0, True, parts)
    path = arm_paper.paper_model(arm_paper.QUICK, work)
    made = path.stat().st_mtime_ns
    assert arm_paper.paper_model(arm_paper.QUICK, work).stat().st_mtime_ns == made
    layout = load_model(path)[1].layout
    assert (layout.hidden, layout.nr) == ((64, 64, 64), 3)
    assert not any((layout.riccati, layout.barrier, layout.anchor))
    other = arm_paper.paper_model(replace(arm_paper.QUICK, fit=replace(arm_paper.QUICK.fit, steps=1)), work)
    assert other != path


def test_the_authors_cost_is_as_they_state_it() -> None:
    pytest.importorskip("pybullet_data")
    task = pickle.loads(pickle.dumps(AuthorsArm()))
    goal = task.sample_goal(np.random.default_rng(0))
    node = task.running_model(goal)
    data = node.createData()
    x = np.concatenate([START, [0.3, -0.4, 0.5, 1.2, -1.5, 0.1, 0.2]])
    q, v, u = x[:7], x[7:], np.arange(7.0)
    g = np.array(node.quasiStatic(data, np.concatenate([q, np.zeros(7)]), 100, 1e-9))
    w = np.array([1, 2, 1, 1, 1, 1, 1])
    excess = np.maximum(np.abs(v) - 1, 0)  # of speed; the posture is inside its limits
    node.calc(data, x, u)
    tool = np.sum((task.tools(x[None])[0] - GOAL) ** 2)
    stated = tool + 0.1 * np.sum((w * v) ** 2) + 0.005 * np.sum((u - g) ** 2) + 0.05 * np.sum(excess**2)
    assert data.cost == pytest.approx(0.03 * stated, rel=1e-6)
    found = authors_motion.reference(task, goal, np.concatenate([START, np.zeros(7)]), 50, 500).cost
    assert found == pytest.approx(THEIRS[50], rel=0.005)
    assert np.linalg.norm(task.tools(goal.x[None])[0] - GOAL) < 0.01, "the motion ends at the goal"


def nine(mm: float, cost: float, theirs: float = 0.1) -> Json:
    settings = fig9.FIGURE.full
    authors = [
        {"nodes": nodes, "terminal": name, "mm": theirs, "cost": 0.0}
        for nodes in authors_motion.HORIZONS
        for name in ("paper", "zero")
    ]
    return {
        "rows": [
            {"nodes": nodes, "terminal": name, "mm": mm, "cost": cost, "converged": True}
            for nodes in settings.horizons
            for name in fig9.METHODS
            for _ in range(settings.cases)
        ],
        "values": [{"terminal": name, "error": 0.0, "at_goal": 0.0} for name in ("ours", "paper")],
        "authors": {"rows": authors, "costs": {}, "errors": {}},
    }


@pytest.mark.parametrize(
    ("mm", "cost", "verdict"),
    [(0.2, 1e-4, Verdict.HOLDS), (1.5, 1e-4, Verdict.PARTLY), (0.2, -0.01, Verdict.PARTLY)],
)
def test_figure_9_is_judged_by_its_worst_case(mm: float, cost: float, verdict: Verdict) -> None:
    assert fig9.summarise(fig9.FIGURE.full, [nine(0.1, 1e-5), nine(mm, cost)]).verdict is verdict
    assert fig9.summarise(fig9.FIGURE.full, [nine(0.1, 1e-5), nine(0.1, 1e-5, theirs=3)]).verdict is Verdict.PARTLY


def ten(finals: dict[int, float | None], paper: float | None = 1e-4) -> Json:
    """Final distance [m] with ours by horizon, and with the paper's; Riccati and zero never arrive."""
    rows = []
    for nodes, final in finals.items():
        for name in fig10.METHODS:
            far = {"ours": final, "paper": paper}.get(name, 0.5)
            rows += [{"nodes": nodes, "terminal": name, "final": far, "loss": far, "rejected": 0}] * 3
    return {"rows": rows}


@pytest.mark.parametrize(
    ("finals", "paper", "verdict"),
    [
        ({1: 1e-4, 2: 1e-4, 10: 1e-4}, 1e-4, Verdict.HOLDS),
        ({1: 0.02, 2: 1e-4, 10: 1e-4}, 1e-4, Verdict.PARTLY),
        ({1: 1e-4, 2: 1e-4, 10: 1e-4}, None, Verdict.PARTLY),
        ({1: None, 2: 0.02, 10: 0.02}, None, Verdict.NOT),  # None: it diverged
    ],
)
def test_figure_10_is_judged_at_every_horizon(
    finals: dict[int, float | None], paper: float | None, verdict: Verdict
) -> None:
    found = fig10.summarise(fig10.FIGURE.full, [ten(finals, paper), ten(finals, paper)])
    assert found.verdict is verdict
    assert bool(found.remarks) == (verdict is not Verdict.HOLDS)
    assert not any("Riccati" in remark for remark in found.remarks)  # it did not arrive, so nothing is to be said of it


def eleven(ours: float | None, zero: float) -> Json:
    row = {"case": "push", "level": 20, "success": True, "error": [0.1, 0.1]}
    away = {"ours": [ours, ours], "paper": [ours, ours], "zero": [zero, zero], "truth": [0.0, 0.0]}
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
