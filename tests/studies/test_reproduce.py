"""The reproduction of the paper: its frame with figures of straw, its ground truth, and one real figure in its quick form."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice
from dvp_mpc.problem.classic import Pendulum
from dvp_mpc.problem.systems import Unicycle
from dvp_mpc.studies.reproduce import fig1, fig4, truth
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Verdict, Work, judge, spread
from dvp_mpc.studies.reproduce.page import show, write_page
from dvp_mpc.studies.reproduce.palette import save, sheet
from dvp_mpc.studies.reproduce.registry import FIGURES, find_figures
from dvp_mpc.studies.reproduce.study import run_figures
from dvp_mpc.value import RiccatiValue


@dataclass(frozen=True)
class Straw:
    factor: float = 2.0


def compute(settings: Straw, work: Work) -> Json:
    """Leaves a mark for each seed, and stops where it is told to."""
    mark = work.folder / f"computed-{work.seed}"
    mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
    if (work.folder / f"stop-{work.seed}").exists():
        raise KeyboardInterrupt
    return {"error": settings.factor * work.seed}


def summarise(settings: Straw, results: Sequence[Json]) -> Summary:
    errors = [result["error"] for result in results]
    bars = [max(errors) <= 2, min(errors) <= 0]
    return Summary(judge(bars), {"error [m]": spread(errors), "factor": settings.factor}, ("A remark.",))


def plot(settings: Straw, results: Sequence[Json], path: Path) -> None:
    drawing, axes = sheet(1, 1)
    axes[0, 0].plot([result["error"] for result in results])
    save(drawing, path)


FIGURE = Figure(12, "Straw", "it is straw", "error at most 2", Straw(), Straw(1.0), compute, summarise, plot)


def marks(folder: Path) -> dict[int, int]:
    return {
        seed: len(path.read_text()) for seed in range(5) if (path := folder / "parts" / f"computed-{seed}").exists()
    }


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (stop := tmp_path / "parts" / "stop-1").touch()
    with pytest.raises(KeyboardInterrupt):
        run_figures([FIGURE], 3, False, tmp_path)
    assert marks(tmp_path) == {0: 1, 1: 1}
    stop.unlink()
    (outcome,) = run_figures([FIGURE], 3, False, tmp_path)
    assert marks(tmp_path) == {0: 1, 1: 2, 2: 1}, "seed 0 must not be computed again"
    assert outcome.summary.numbers["error [m]"] == spread([0, 2, 4])
    again = run_figures([FIGURE], 2, False, tmp_path)[0]
    assert marks(tmp_path) == {0: 1, 1: 2, 2: 1}
    assert again.seeds == 2


def test_other_settings_and_damaged_files_are_computed_again(tmp_path: Path) -> None:
    run_figures([FIGURE], 1, False, tmp_path)
    run_figures([FIGURE], 1, True, tmp_path)
    assert marks(tmp_path) == {0: 2}
    (tmp_path / "figure12" / "seed0.json").write_text('{"identity": ')
    run_figures([FIGURE], 1, True, tmp_path)
    assert marks(tmp_path) == {0: 3}


def test_parts_are_kept_by_name_and_identity(tmp_path: Path) -> None:
    work, calls = Work(0, True, tmp_path), []

    def make() -> Json:
        calls.append(1)
        return (1, 2.5)

    assert work.kept("part", "a", make) == work.kept("part", "a", make) == [1, 2.5]
    assert len(calls) == 1
    work.kept("part", "b", make)
    assert len(calls) == 2
    with pytest.raises(RunFailed, match="not finite"):
        work.kept("endless", "a", lambda: float("inf"))


@pytest.mark.parametrize(
    ("bars", "verdict"),
    [
        ([True, True], Verdict.HOLDS),
        ([True, False], Verdict.PARTLY),
        ([False], Verdict.NOT),
        ([False, False], Verdict.NOT),
    ],
)
def test_verdicts(bars: list[bool], verdict: Verdict) -> None:
    assert judge(bars) is verdict


def test_no_bar_no_verdict() -> None:
    with pytest.raises(ValueError, match="bar"):
        judge([])


@pytest.mark.parametrize(("factor", "verdict"), [(0.005, Verdict.HOLDS), (0.5, Verdict.NOT)])
def test_convergence_is_denied_where_it_is_not(factor: float, verdict: Verdict) -> None:
    """Figure 1 with every error the same at all iterations."""
    curves = {"error": [factor] * 11, "error_p90": [factor] * 11, "bellman": [0.1] * 11}
    one = {system: {"paper": curves, "ours": curves, "truth": {"error": 0.0, "missed": 0.0}} for system in fig1.BARS}
    found = fig1.summarise(fig1.FIGURE.full, [one, one])
    assert found.verdict is verdict
    assert bool(found.remarks) == (verdict is Verdict.NOT)


def test_recovery_is_denied_where_one_seed_fails() -> None:
    good, bad = ({"error": [0.5, 0, 0, 0, 0, last], "at_goal": [0.0] * 6} for last in (0.01, 0.5))
    settings = replace(fig4.FIGURE.full, cases=((2.0, 0.0),))
    case = fig4.name_of(2.0, 0.0)
    seeds = [{m: {"unbiased": good, case: bad if bad_one else good} for m in ("paper", "ours")} for bad_one in (0, 1)]
    assert fig4.summarise(settings, seeds[:1]).verdict is Verdict.HOLDS
    assert fig4.summarise(settings, seeds).verdict is Verdict.NOT


def test_a_biased_cost_is_as_large_as_it_says() -> None:
    task = Unicycle()
    x = np.random.default_rng(0).uniform(*task.start_box, (4000, 3))
    for off_centre in (0.0, 0.5):
        wrong = fig4.draw(task, 3.0, off_centre, 20.0, seed=5)
        bound = wrong.at(task.origin.frame)
        V = np.array([bound.cost(row, np.zeros(0)) for row in x + np.array(wrong.centre)])
        assert V.mean() == pytest.approx(60, rel=0.05)
        assert (bound.cost(np.zeros(3), np.zeros(0)) > 0) == bool(off_centre)


def test_ground_truth_of_a_pendulum_near_upright_is_riccatis(tmp_path: Path) -> None:
    task = Pendulum(half_widths=(0.02, 0.02))
    found = truth.ground_truth(Work(0, True, tmp_path), "small", task, truth.TruthSettings(5, (60, 120, 240), False, 2))
    bound = RiccatiValue().at(task.origin.frame)
    V = [bound.cost(x, np.zeros(0)) for x in found.labels.x.astype(float)]
    np.testing.assert_allclose(found.labels.V, V, rtol=1e-3)
    assert found.error.max() < 1e-3
    assert found.missed == 0


def test_ground_truth_of_the_unicycle_lies_above_every_horizon(tmp_path: Path) -> None:
    task = Unicycle()
    found = truth.ground_truth(Work(0, True, tmp_path), "uni", task, truth.TruthSettings(4, (200, 400, 800), True, 3))
    V_800, V_1600 = (
        np.array([truth.best_of(task, x.astype(float), T, 3).cost for x in found.labels.x]) for T in (800, 1600)
    )
    assert (found.labels.V > V_1600).all()
    longer = 2 * V_1600 - V_800
    assert (np.abs(found.labels.V / longer - 1) < found.error).all(), "the error that it claims covers a longer horizon"
    again = truth.ground_truth(Work(7, True, tmp_path), "uni", task, truth.TruthSettings(4, (200, 400, 800), True, 3))
    np.testing.assert_array_equal(again.labels.V, found.labels.V)
    assert again.labels.Jt.shape == (4, 0, 3)


def test_the_page_names_what_it_shows(tmp_path: Path) -> None:
    outcomes = run_figures([FIGURE], 2, False, tmp_path / "out")
    page = write_page(outcomes, tmp_path / "docs", {"Date": "today"})
    text = page.read_text()
    for words in ("Straw", "**holds**", "it is straw", "A remark.", "today"):
        assert words in text
    assert (tmp_path / "docs" / "reproduction" / "figure12.png").stat().st_size > 1000
    assert show({"mean": 1.0, "std": 0.5, "min": 0.5, "max": 1.5}) == "1 ± 0.5 [0.5, 1.5]"


def test_names_of_figures() -> None:
    assert [figure.number for figure in find_figures("all")] == sorted(int(name) for name in FIGURES)
    with pytest.raises(UnknownChoice, match="12"):
        find_figures("12")
    with pytest.raises(BadSetting):
        run_figures([FIGURE], 0, False, Path())
    with pytest.raises(BadSetting):
        run_figures([FIGURE], 1, False, Path(), jobs=0)


def test_a_real_figure_from_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    command = ["reproduce", "6", "--quick", "--seeds", "1", "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    (report,) = json.loads(capfd.readouterr().out)["figures"]
    assert {"figure", "claim", "verdict", "numbers", "seeds", "seconds", "plot"} <= report.keys()
    assert report["figure"] == 6
    assert report["verdict"] in {"holds", "partly", "not"}
    assert Path(report["plot"]).stat().st_size > 10_000
    assert (tmp_path / "reproduction.md").exists()
    assert main(["reproduce", "99", "--out", str(tmp_path)]) == 2
