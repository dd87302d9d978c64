"""Differential Value Programming where the value is known, and what happens to a run that is stopped."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.errors import UsageError
from dvp_mpc.learning.accuracy import assess
from dvp_mpc.learning.dataset import collect, ground_truth_sampling
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.run_folder import Row
from dvp_mpc.learning.settings import DvpSettings, First, Fit, Net, Sampling
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.value import BoundValue, GoalFrame, RiccatiValue, Value

pytest.importorskip("torch")
from dvp_mpc.learning import dvp
from dvp_mpc.learning.dvp import Run, bellman_residual, run

PLAIN = Net(hidden=(8,), residuals=3, riccati=False, barrier=False)  # nothing that knows the answer


class Quiet:
    """A watch that remembers the rows, and may lose patience at a given call of a given method."""

    def __init__(self, stop: Callable[[str, int], bool] = lambda what, iteration: False):
        self.stop, self.rows, self.steps = stop, [], 0

    def labels(self, what: str, done: int, total: int, rejected: int) -> None:
        if what.startswith("iteration") and done and self.stop("labels", int(what.split()[1].rstrip(":"))):
            raise KeyboardInterrupt

    def step(self, iteration: int, steps: int, row: dict[str, float]) -> None:
        self.steps += 1
        if self.stop("step", iteration):
            raise KeyboardInterrupt

    def died(self, workers: int) -> None: ...

    def row(self, row: Row, value: Value) -> None:
        self.rows.append(row)
        if self.stop("row", row.iteration):
            raise KeyboardInterrupt


def settings(horizon: int, **changes: object) -> DvpSettings:
    sampling = Sampling(problems=60, horizon=horizon, nodes=(0, 1, 2, 3, 5))
    fit = Fit(steps=300, batch=256, threads=1)
    base = DvpSettings(4, 1e-9, First.ZERO, sampling, fit, net=PLAIN, validation=20, jobs=1)
    return replace(base, **changes)  # type: ignore[arg-type]


SHORT = settings(10, iterations=2, fit=Fit(steps=20, batch=64, threads=1))


def errors(task: LinearTask, found: Run) -> np.ndarray:
    """|V - V_true| / mean V_true on states of the unit box."""
    truth, mine = RiccatiValue().at(task.origin.frame), found.value.at(task.origin.frame)
    x, none = np.random.default_rng(71).uniform(-1, 1, (200, 2)), np.zeros(0)
    V = np.array([[b.cost(row, none) for row in x] for b in (truth, mine)])
    return np.abs(V[1] - V[0]) / V[0].mean()


def test_recovers_the_riccati_value_from_nothing(linear: LinearTask, tmp_path: Path) -> None:
    """Twenty steps see 99 % of the value; what the first iteration misses, the later ones learn from each other."""
    found = run(linear, settings(20), tmp_path, Quiet())
    assert errors(linear, found).mean() < 0.01  # 0.6 % measured; labels of the first iteration stay and are 1 % low
    residuals = [row.bellman_residual for row in found.rows]
    assert residuals[0] == 1  # against V = 0
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] < 0.01
    assert found.best == int(np.argmin([row.policy_gradient_error for row in found.rows]))
    assert found.accuracy.psd_share == 1
    assert found.accuracy.goal_value == 0


def test_sees_further_than_its_horizon(linear: LinearTask, tmp_path: Path) -> None:
    """Ten steps see only 80 % of the value; with each iteration the horizon reaches further."""
    found = run(linear, settings(10, sampling=Sampling(60, 10, (0,))), tmp_path, Quiet())
    median = [row.rel_error_median for row in found.rows]
    assert 0.15 < median[0] < 0.25
    assert median == sorted(median, reverse=True)
    assert median[-1] < median[0] / 2


def test_a_window_forgets_what_a_wrong_first_terminal_cost_taught(linear: LinearTask, tmp_path: Path) -> None:
    """From a terminal cost nine times too high, later iterations recover when the first labels are left behind."""
    steep = FirstValue(3.0)
    sampling = Sampling(60, 10, (0,))
    all_labels = run(linear, settings(10, sampling=sampling), tmp_path / "all", Quiet(), first=steep)
    windowed = run(linear, settings(10, sampling=sampling, window=1), tmp_path / "window", Quiet(), first=steep)
    assert windowed.rows[0] == all_labels.rows[0]._replace(
        seconds_labels=windowed.rows[0].seconds_labels, seconds_fit=windowed.rows[0].seconds_fit
    )
    assert windowed.rows[0].rel_error_median > 0.05
    last = [errors(linear, found).mean() for found in (windowed, all_labels)]
    assert last[0] < 0.5 * last[1]
    assert last[0] < 0.01
    assert len(windowed.values) == 4


class FirstValue(RiccatiValue):
    """The Riccati value of a root that is `factor` times too large."""

    def __init__(self, factor: float):
        object.__setattr__(self, "factor", factor)

    def at(self, goal: GoalFrame) -> BoundValue:
        return super().at(goal._replace(root=self.factor * goal.root))


def test_ground_truth_of_the_callers(linear: LinearTask, tmp_path: Path) -> None:
    """Where it is given, none is solved for."""
    sampling = replace(ground_truth_sampling(10), horizon=80)
    truth = collect(
        linear, RiccatiValue(), sampling, learned=False, seed=(1,), folder=tmp_path / "truth", jobs=1
    ).labels
    found = run(linear, SHORT, tmp_path / "run", Quiet(), truth=truth)
    assert not (tmp_path / "run" / "validation").exists()
    assert found.accuracy == assess(found.value, truth)


def test_good_first_value_is_confirmed_at_once(linear: LinearTask, tmp_path: Path) -> None:
    """The Riccati value is the truth here: the first iteration changes nothing, and the run stops."""
    net = Net(hidden=(8,), residuals=3, barrier=False)
    found = run(linear, settings(20, first=First.RICCATI, net=net, tolerance=0.02), tmp_path, Quiet())
    assert len(found.rows) == 1
    assert errors(linear, found).mean() < 0.02


def weights(found: Run) -> dict[str, np.ndarray]:
    return dict(found.value.weights)


@pytest.mark.parametrize("what", ["labels", "step", "row"])
@pytest.mark.parametrize("iteration", [0, 1])
def test_resumed_run_ends_where_an_uninterrupted_one_does(
    linear: LinearTask, tmp_path: Path, what: str, iteration: int
) -> None:
    whole = run(linear, SHORT, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        run(linear, SHORT, tmp_path / "stopped", Quiet(lambda *call: call == (what, iteration)))
    again = run(linear, SHORT, tmp_path / "stopped", Quiet())
    assert all(np.array_equal(w, weights(whole)[name]) for name, w in weights(again).items())
    assert again.best == whole.best
    for mine, other in zip(again.rows, whole.rows, strict=True):
        assert mine[:7] == other[:7]  # all but the seconds
    assert again.accuracy == whole.accuracy


def test_finished_run_is_read_not_repeated(linear: LinearTask, tmp_path: Path) -> None:
    first = run(linear, SHORT, tmp_path, Quiet())
    watch = Quiet()
    again = run(linear, SHORT, tmp_path, watch)
    assert watch.steps == 0
    assert watch.rows == again.rows == first.rows  # the seconds of the first time, too
    assert all(np.array_equal(w, weights(first)[name]) for name, w in weights(again).items())


def test_folder_of_another_run_is_refused(linear: LinearTask, tmp_path: Path) -> None:
    run(linear, SHORT, tmp_path, Quiet())
    softer = LinearTask(linear.A, linear.B, linear.Q, 2 * linear.R, linear.dt)
    for task, other in [
        (softer, SHORT),
        (linear, replace(SHORT, seed=1)),
        (linear, replace(SHORT, net=replace(PLAIN, hidden=(9,)))),
        (linear, replace(SHORT, sampling=replace(SHORT.sampling, horizon=11))),
    ]:
        with pytest.raises(UsageError, match="another task or other settings"):
            run(task, other, tmp_path, Quiet())
    run(linear, replace(SHORT, jobs=2), tmp_path, Quiet())  # the number of processes makes no other run


@pytest.mark.parametrize("content", [b"", b"\x80\xff no text", b"PK\x03\x04 half an archive"])
def test_damaged_files_of_a_run_are_refused_by_name(linear: LinearTask, tmp_path: Path, content: bytes) -> None:
    run(linear, SHORT, tmp_path, Quiet())
    fitted = tmp_path / "iteration0" / "fitted.npz"
    fitted.write_bytes(content)
    with pytest.raises(UsageError, match=r"iteration0/fitted\.npz is damaged"):
        run(linear, SHORT, tmp_path, Quiet())
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match="another task or other settings"):
        run(linear, SHORT, tmp_path, Quiet())


def test_folder_that_cannot_be_written(linear: LinearTask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="not writable"):
        run(linear, SHORT, tmp_path / "file" / "run", Quiet())


def test_tables_say_what_happened(linear: LinearTask, tmp_path: Path) -> None:
    found = run(linear, SHORT, tmp_path, Quiet())
    with (tmp_path / "table.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert tuple(head) == Row._fields
    assert [[float(cell) for cell in line] for line in lines] == [[float(v) for v in row] for row in found.rows]
    for n in range(2):
        with (tmp_path / f"iteration{n}" / "training.csv").open(newline="") as file:
            curve = list(csv.DictReader(file))
        assert float(curve[0]["step"]) == 0
        assert float(curve[-1]["step"]) == (20, 40)[n] - 1  # the last iteration trains twice as long
        assert {"loss", "validation", "value", "gradient", "policy", "curvature"} <= curve[0].keys()


def test_seed_makes_another_value(linear: LinearTask, tmp_path: Path) -> None:
    one = run(linear, SHORT, tmp_path / "one", Quiet())
    two = run(linear, replace(SHORT, seed=1), tmp_path / "two", Quiet())
    assert not np.array_equal(weights(one)["W0"], weights(two)["W0"])


def test_training_never_sees_the_validation_set(
    linear: LinearTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, np.ndarray] = {}
    real = dvp.collect

    def spy(*args: object, folder: Path, **options: object) -> object:
        found = real(*args, folder=folder, **options)  # type: ignore[arg-type]
        drawn[str(folder.relative_to(tmp_path))] = found.labels.x
        return found

    monkeypatch.setattr(dvp, "collect", spy)
    run(linear, SHORT, tmp_path, Quiet())
    assert len(drawn) == 3
    truth = drawn.pop("validation")
    for x in drawn.values():
        assert not np.isin(x, truth).any()


def test_what_each_iteration_sees(linear: LinearTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It solves with the value before, from states of that value's own loop, and trains on all labels so far."""
    solves: list[tuple[object, object]] = []
    horizons: list[int] = []
    fits: list[tuple[object, int]] = []
    real_collect, real_fit = dvp.collect, dvp.fit

    def spy_collect(task: object, value: object, sampling: Sampling, **options: object) -> object:
        solves.append((value, options["learned"]))
        horizons.append(sampling.horizon)
        return real_collect(task, value, sampling, **options)  # type: ignore[arg-type]

    def spy_fit(value: object, labels: Labels, *args: object) -> object:
        fits.append((value, len(labels)))
        return real_fit(value, labels, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(dvp, "collect", spy_collect)
    monkeypatch.setattr(dvp, "fit", spy_fit)
    run(linear, SHORT, tmp_path, Quiet())
    (truth, *_), first, second = solves
    assert isinstance(truth, RiccatiValue)
    assert first == (None, False)  # nothing at the end of the first horizon
    assert second == (fits[1][0], True)  # training goes on from the value that was solved with
    assert [n for _, n in fits] == [60 * 5, 2 * 60 * 5]
    fits.clear()
    horizons.clear()
    few = replace(SHORT, first_problems=20, first_horizon=90, first_nodes=(0, 30, 60), window=1)
    run(linear, few, tmp_path / "few at first", Quiet())
    assert [n for _, n in fits] == [20 * 3, 60 * 5]
    assert horizons[1:] == [90, SHORT.sampling.horizon]


def test_bellman_residual_of_known_values(linear: LinearTask, tmp_path: Path) -> None:
    from dvp_mpc.learning.dataset import collect, ground_truth_sampling

    truth = collect(
        linear, RiccatiValue(), ground_truth_sampling(5), learned=False, seed=(0,), folder=tmp_path, jobs=1
    ).labels
    assert bellman_residual(RiccatiValue(), RiccatiValue(), truth) == 0
    assert bellman_residual(RiccatiValue(), None, truth) == 1
