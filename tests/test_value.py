"""Value: derivatives of every layout, and what holds for any weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import Kind, Layout, RiccatiValue, Value

SWITCHES = [dict(zip(("riccati", "barrier", "anchor"), on, strict=True)) for on in product((True, False), repeat=3)]
RESIDUAL = [{"kind": Kind.RESIDUAL, **switches, "angles": n} for n in (0, 7) for switches in SWITCHES]
FEEDFORWARD = [{"kind": Kind.FEEDFORWARD, **switches} for switches in SWITCHES]


def label(layout: Mapping[str, object]) -> str:
    return "-".join([str(layout["kind"].value), *(name for name, on in layout.items() if name != "kind" and on)])  # type: ignore[attr-defined]


every_layout = pytest.mark.parametrize("layout", RESIDUAL + FEEDFORWARD, ids=label)
residual_layouts = pytest.mark.parametrize("layout", RESIDUAL, ids=label)
feedforward_layouts = pytest.mark.parametrize("layout", FEEDFORWARD, ids=label)


@pytest.fixture(scope="module")
def states(task: ReachTask) -> np.ndarray:
    """Three states inside the soft limits and three beyond some of them, above and below."""
    x = sample_starts(task, np.random.default_rng(21), 6)
    lower, upper = task.state_limits
    for k, row in enumerate(x[3:]):
        row[[k, 8]] = upper[[k, 8]] + 0.1 * (k + 1)
        row[[6, 9 + k]] = lower[[6, 9 + k]] - 0.2
    return x


@every_layout
def test_gradient(
    task: ReachTask,
    goals: list[Goal],
    make_value: Callable[..., Value],
    layout: dict[str, object],
    states: np.ndarray,
    slope: Callable[..., np.ndarray],
) -> None:
    for goal, x in zip([*goals, *goals], states, strict=True):
        bound = make_value(**layout).at(goal.frame)
        Vx, _ = bound.derivatives(x, *task.tool_jacobian(x))
        numeric = slope(lambda x, bound=bound: bound.cost(x, task.tool(x)), x)
        # Central differences with step 1e-6 lose 1e-10 of V, which is at most 100 times V_x's largest entry here.
        assert numeric == pytest.approx(Vx, abs=1e-7 * np.abs(Vx).max())


@residual_layouts
def test_gauss_newton_hessian(
    task: ReachTask,
    goal: Goal,
    make_value: Callable[..., Value],
    layout: dict[str, object],
    states: np.ndarray,
    slope: Callable[..., np.ndarray],
) -> None:
    bound = make_value(**layout).at(goal.frame)
    for x in states:
        r = bound.residual(x, task.tool(x))  # type: ignore[attr-defined]
        J = slope(lambda x: bound.residual(x, task.tool(x)), x)  # type: ignore[attr-defined]
        Vx, Vxx = bound.derivatives(x, *task.tool_jacobian(x))
        assert bound.cost(x, task.tool(x)) == pytest.approx(r @ r, rel=1e-12)
        assert Vx == pytest.approx(2 * r @ J, abs=1e-7 * np.abs(Vx).max())
        assert Vxx == pytest.approx(2 * J.T @ J, abs=1e-7 * np.abs(Vxx).max())
        assert r.shape == (18 + task.nx,)


@feedforward_layouts
def test_feedforward_hessian(
    task: ReachTask,
    goal: Goal,
    make_value: Callable[..., Value],
    layout: dict[str, object],
    states: np.ndarray,
    slope: Callable[..., np.ndarray],
) -> None:
    """Exact for the network; the tool map enters by its Jacobian alone, so here it is replaced by its tangent."""
    bound = make_value(**layout).at(goal.frame)
    for x0 in states:
        t0, Jt = task.tool_jacobian(x0)
        _, Vxx = bound.derivatives(x0, t0, Jt)
        numeric = slope(lambda x, x0=x0, t0=t0, Jt=Jt: bound.derivatives(x, t0 + Jt @ (x - x0), Jt)[0], x0)
        assert numeric == pytest.approx(Vxx, abs=1e-7 * np.abs(Vxx).max())
        assert pytest.approx(Vxx.T, rel=1e-12, abs=1e-12) == Vxx


@every_layout
def test_vanishes_at_the_goal(
    task: ReachTask, goals: list[Goal], make_value: Callable[..., Value], layout: dict[str, object]
) -> None:
    for goal in goals:
        bound = make_value(**layout).at(goal.frame)
        V, (Vx, _) = bound.cost(goal.x, goal.tool), bound.derivatives(goal.x, *task.tool_jacobian(goal.x))
        if layout["anchor"]:
            # r is a difference of two equal numbers: zero but for the order in which they were summed.
            assert abs(V) < (1e-14 if layout["kind"] is Kind.FEEDFORWARD else 1e-28)
            if layout["kind"] is Kind.RESIDUAL:
                assert np.abs(Vx).max() < 1e-12
        else:
            assert abs(V) > 1e-3  # random weights do not vanish there by themselves


numbers = st.floats(-1, 1)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(x=st.lists(numbers, min_size=14, max_size=14), seed=st.integers(0, 3), layout=st.sampled_from(RESIDUAL))
def test_residual_kind_is_positive_everywhere(
    task: ReachTask,
    goal: Goal,
    make_value: Callable[..., Value],
    x: list[float],
    seed: int,
    layout: dict[str, object],
) -> None:
    lower, upper = task.state_limits
    state = (lower + upper) / 2 + 0.7 * (upper - lower) * np.array(x)  # up to 40 % beyond the limits
    bound = make_value(seed, **layout).at(goal.frame)
    V, (_, Vxx) = bound.cost(state, task.tool(state)), bound.derivatives(state, *task.tool_jacobian(state))
    assert V >= 0
    assert np.array_equal(Vxx, Vxx.T)
    eigenvalues = np.linalg.eigvalsh(Vxx)
    assert eigenvalues[0] >= -1e-13 * eigenvalues[-1]  # rounding of 14 eigenvalues


def test_feedforward_kind_may_be_indefinite(task: ReachTask, goal: Goal, make_value: Callable[..., Value]) -> None:
    """The reason for the residual kind: nothing keeps a plain network's Hessian positive."""
    x = sample_starts(task, np.random.default_rng(22), 1)[0]
    _, Vxx = make_value(kind=Kind.FEEDFORWARD).at(goal.frame).derivatives(x, *task.tool_jacobian(x))
    assert np.linalg.eigvalsh(Vxx)[0] < 0


def test_silent_network_leaves_the_riccati_value(task: ReachTask, goal: Goal, value: Value, states: np.ndarray) -> None:
    weights = dict(value.weights)
    weights |= {name: np.zeros_like(weights[name]) for name in ("S", "a", "W2")}
    silent, riccati = Value(value.layout, value.state_limits, weights).at(goal.frame), RiccatiValue().at(goal.frame)
    for x in states:
        assert silent.cost(x, task.tool(x)) == pytest.approx(riccati.cost(x, task.tool(x)), rel=1e-12)
        for mine, other in zip(
            silent.derivatives(x, *task.tool_jacobian(x)), riccati.derivatives(x, *task.tool_jacobian(x)), strict=True
        ):
            assert mine == pytest.approx(other, rel=1e-9, abs=1e-9)


def test_riccati_gradient(task: ReachTask, goal: Goal, states: np.ndarray, slope: Callable[..., np.ndarray]) -> None:
    bound = RiccatiValue().at(goal.frame)
    for x in states:
        Vx, Vxx = bound.derivatives(x, *task.tool_jacobian(x))
        assert slope(lambda x: bound.cost(x, goal.tool), x) == pytest.approx(Vx, abs=1e-7 * np.abs(Vx).max())
        assert Vxx @ (x - goal.x) == pytest.approx(Vx, rel=1e-9, abs=1e-9)  # a quadratic: V_x = V_xx dx


def test_barrier_acts_beyond_the_limits_only(task: ReachTask, goal: Goal, value: Value, states: np.ndarray) -> None:
    stronger = Value(value.layout, value.state_limits, {**value.weights, "a": 3 * value.weights["a"]}).at(goal.frame)
    bound = value.at(goal.frame)
    costs = np.array([[b.cost(x, task.tool(x)) for x in states] for b in (bound, stronger)])
    assert np.array_equal(*costs[:, :3])
    assert (costs[0, 3:] < costs[1, 3:]).all()


@pytest.mark.parametrize("name", ["scale", "mean", "W0", "c1", "W2", "S", "a"])
def test_wrong_shape_is_refused_by_name(value: Value, name: str) -> None:
    weights = {**value.weights, name: value.weights[name][:-1]}
    with pytest.raises(ValueError, match=f"weight {name} has shape"):
        replace(value, weights=weights)


def test_angles_need_the_residual_kind() -> None:
    with pytest.raises(BadSetting) as error:
        Layout(14, 3, 7, kind=Kind.FEEDFORWARD, angles=7)
    assert error.value.field == "angles"


@pytest.mark.parametrize(
    ("hidden", "nr", "field"), [((16,), 13, "residuals"), ((), 24, "hidden"), ((16, 0), 24, "hidden")]
)
def test_layout_that_cannot_work(hidden: tuple[int, ...], nr: int, field: str) -> None:
    with pytest.raises(BadSetting) as error:
        Layout(14, 3, 7, hidden, nr)
    assert error.value.field == field


def test_small_residual_without_the_riccati_core() -> None:
    """The paper's networks have three residuals; only the Riccati core needs one for each state."""
    assert Layout(14, 3, 7, (16,), 3, riccati=False).shapes["W1"] == (3, 16)
    assert Layout(14, 3, 7, (16,), 1, Kind.FEEDFORWARD).shapes["W1"] == (1, 16)
