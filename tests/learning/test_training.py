"""Training: the torch twin of a value computes what the value computes, and fitting makes it better."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from dvp_mpc.errors import BadSetting
from dvp_mpc.learning.dataset import solve_chunk
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import Device, Fit, Loss, Optimiser, Sampling, Starts
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import Kind, Layout, RiccatiValue, Value

torch = pytest.importorskip("torch")
from dvp_mpc.learning import training  # noqa: E402
from dvp_mpc.learning.training import fit, fresh_value  # noqa: E402

LAYOUTS = [
    {"kind": kind, "riccati": riccati, "barrier": barrier, "anchor": anchor}
    for kind, riccati, barrier, anchor in product(Kind, (True, False), (True, False), (True, False))
]
LAYOUTS += [{**layout, "angles": 7} for layout in LAYOUTS if layout["kind"] is Kind.RESIDUAL]


@pytest.fixture(scope="module")
def labels(task: ReachTask) -> Labels:
    """A small data set: 20 problems of 0.2 s, 80 labels."""
    sampling = Sampling(problems=20, horizon=20, nodes=(0, 1, 3, 6), starts=Starts(wide=0.0, kicked=0.0))
    arrays, _ = solve_chunk(task, RiccatiValue(), False, sampling, [51], 20)
    return Labels(**arrays)


@pytest.fixture(scope="module")
def anywhere(task: ReachTask, goals: list[Goal]) -> Labels:
    """Twelve states, half of them beyond limits, with answers that do not matter."""
    rng, (lower, upper) = np.random.default_rng(52), task.state_limits
    x = sample_starts(task, rng, 12).astype(np.float32)
    for k, row in enumerate(x[6:]):
        row[[k, 8]] = upper[[k, 8]] + 0.1 * (k + 1)
        row[[6, 9 + k % 4]] = lower[[6, 9 + k % 4]] - 0.2
    t, Jt = (np.array(part) for part in zip(*(task.tool_jacobian(row.astype(float)) for row in x), strict=True))
    tables = {
        f"goal_{name}": np.stack([getattr(goal, name) for goal in goals]) for name in ("x", "tool", "context", "root")
    }
    Vxx = np.broadcast_to(np.eye(task.nx), (12, task.nx, task.nx))
    C, Vx = np.zeros((12, task.nu, task.nx)), np.ones((12, task.nx))
    columns = {"t": t, "Jt": Jt, "V": np.ones(12), "Vx": Vx, "Vxx": Vxx, "C": C, **tables}
    return Labels(x=x, goal=np.arange(12) % 3, **{name: array.astype(np.float32) for name, array in columns.items()})


@pytest.mark.parametrize(
    "layout", LAYOUTS, ids=lambda o: "-".join(v.value if k == "kind" else k for k, v in o.items() if v)
)
def test_twin(make_value: Callable[..., Value], anywhere: Labels, layout: dict[str, object]) -> None:
    value = make_value(5, **layout)
    d = np.random.default_rng(53).standard_normal(anywhere.x.shape).astype(np.float32)
    with torch.no_grad():
        batch = training._tensors(value, anywhere)
        found = [part.numpy() for part in training._Network(value)(batch, torch.from_numpy(d))]
    wanted = []
    for i, (x, t, Jt) in enumerate(zip(anywhere.x, anywhere.t, anywhere.Jt, strict=True)):
        at = [a.astype(float) for a in (x, t, Jt)]
        bound = value.at(anywhere.frame(i))
        Vx, Vxx = bound.derivatives(*at)
        wanted.append((bound.cost(*at[:2]), Vx, d[i] @ Vxx @ d[i]))
    for name, mine, other in zip(("V", "Vx", "curvature"), found, zip(*wanted, strict=True), strict=True):
        if name == "curvature" and layout["kind"] is Kind.FEEDFORWARD:
            assert not mine.any()  # that loss has no curvature term
            continue
        # Float32 has 7 digits; sums of some 50 terms of either sign cost one or two of them.
        assert mine == pytest.approx(np.array(other), abs=2e-5 * float(np.abs(other).max())), name


@pytest.mark.parametrize("optimiser", Optimiser)
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("kind", Kind)
def test_fitting_lowers_the_loss(task: ReachTask, labels: Labels, kind: Kind, loss: Loss, optimiser: Optimiser) -> None:
    # Without the Riccati core there is everything to learn.
    layout = Layout(task.nx, task.nt, task.nc, (16, 16), 16, kind, riccati=False)
    value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(54))
    settings = Fit(steps=60, batch=40, loss=loss, optimiser=optimiser, rate=1e-2, threads=1)
    reports: list[dict[str, float]] = []
    fitted, curve = fit(value, labels, labels, settings, np.random.default_rng(55), reports.append)
    assert reports == curve
    assert [row["step"] for row in curve] == [0, 50, 59]
    # On the same labels and the same random directions; 60 steps leave 0.3 to 26 %.
    assert curve[-1]["validation"] < 0.5 * curve[0]["validation"]
    assert all(np.isfinite(w).all() for w in fitted.weights.values())
    assert fitted.layout == layout
    parts = {"policy": {"value", "gradient", "policy"}, "sobolev": {"value", "gradient"}, "classical": {"value"}}[
        loss.value
    ]
    curvature = {"curvature"} if loss is Loss.POLICY and kind is Kind.RESIDUAL else set()
    assert curve[0].keys() == {"step", "loss", "validation"} | parts | curvature


def test_loss_is_the_sum_of_its_parts(task: ReachTask, labels: Labels) -> None:
    value = fresh_value(
        Layout(task.nx, task.nt, task.nc, (16,), 16), labels, task.state_limits, np.random.default_rng(56)
    )
    _, curve = fit(value, labels, labels, Fit(steps=1, batch=8, threads=1), np.random.default_rng(57))
    parts = [v for name, v in curve[0].items() if name not in ("step", "loss", "validation")]
    assert sum(parts) == pytest.approx(curve[0]["loss"], rel=1e-5)  # float32 sums


def test_policy_loss_against_a_numpy_twin(task: ReachTask, labels: Labels) -> None:
    """Every term, through the very code that the controller runs."""
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16)
    value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(58))
    with torch.no_grad():
        batch, noise = training._tensors(value, labels), torch.Generator()
        parts = training._loss(training._Network(value), batch, Fit(), (1.0, 1.0), noise.manual_seed(0))
        probes = training._probes(batch, noise.manual_seed(0)).numpy().astype(float)
    terms = []
    for i, d in enumerate(probes):
        names = ("x", "t", "Jt", "V", "Vx", "Vxx", "C")
        x, t, Jt, V, Vx, Vxx, C = (getattr(labels, name)[i].astype(float) for name in names)
        bound = value.at(labels.frame(i))
        mine, H = bound.derivatives(x, t, Jt)
        w, e = V + 0.01, mine - Vx
        whitened = e @ np.linalg.solve((Vxx + Vxx.T) / 2 + 1e-5 * np.diag(np.diag(Vxx)), e) / w
        bend = np.clip((d @ H @ d - d @ Vxx @ d) / (d @ Vxx @ d), -3, 3)
        off = ((bound.cost(x, t) - V) / w) ** 2
        terms.append([off, min(whitened, 50), 20 * min(np.sum((C @ e) ** 2) / w, 20), 0.3 * bend**2])
    for name, wanted in zip(("value", "gradient", "policy", "curvature"), np.mean(terms, axis=0), strict=True):
        # Differences of float32 labels and float32 answers, which are of one size at first.
        assert parts[name].item() == pytest.approx(wanted, rel=1e-3), name


def test_curvature_term_vanishes_for_the_true_curvature(task: ReachTask, labels: Labels) -> None:
    """A fresh value with a silent last layer is the Riccati one: labels that say the same leave nothing to correct."""
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16, barrier=False)
    value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(59))
    value = Value(layout, value.state_limits, {**value.weights, "W1": 0 * value.weights["W1"]})
    root = labels.goal_root[labels.goal]
    dx = labels.x - labels.goal_x[labels.goal]
    y = np.einsum("nij,ni->nj", root, dx)
    exact = replace(
        labels,
        V=(y * y).sum(1),
        Vx=2 * np.einsum("nij,nj->ni", root, y),
        Vxx=2 * np.einsum("nij,nkj->nik", root, root),
    )
    with torch.no_grad():
        batch = training._tensors(value, exact)
        noise = torch.Generator().manual_seed(0)
        parts = training._loss(training._Network(value), batch, Fit(), (1.0, 1.0), noise)
    # Squares of relative float32 errors; K^-1 and 1/w amplify those of the gradient.
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(dict.fromkeys(parts, 0.0), abs=1e-6)


@pytest.mark.parametrize("optimiser", Optimiser)
def test_one_seed_one_result(task: ReachTask, labels: Labels, optimiser: Optimiser) -> None:
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16)
    weights = []
    for seed in (60, 60, 61):
        value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(62))
        settings = Fit(steps=15, batch=32, optimiser=optimiser, threads=1)
        weights.append(fit(value, labels, labels, settings, np.random.default_rng(seed))[0].weights)
    first, again, other = weights
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_fitting_leaves_the_value_it_starts_from(task: ReachTask, labels: Labels) -> None:
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16)
    value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(63))
    before = {name: w.copy() for name, w in value.weights.items()}
    fitted, _ = fit(value, labels, labels, Fit(steps=5, batch=32, threads=1), np.random.default_rng(64))
    assert all(np.array_equal(value.weights[name], before[name]) for name in before)
    for name in ("scale", "mean"):  # what normalises the inputs is not trained
        assert np.array_equal(fitted.weights[name], before[name])
    for name in ("W0", "c0", "W1", "S"):
        assert not np.array_equal(fitted.weights[name], before[name])


def test_fitted_weights_are_what_a_file_keeps(task: ReachTask, labels: Labels) -> None:
    value = fresh_value(
        Layout(task.nx, task.nt, task.nc, (16,), 16), labels, task.state_limits, np.random.default_rng(65)
    )
    fitted, _ = fit(value, labels, labels, Fit(steps=3, batch=32, threads=1), np.random.default_rng(66))
    for name, w in fitted.weights.items():
        assert np.array_equal(w, w.astype(np.float32)), name


def test_fresh_value_starts_from_the_riccati_one(task: ReachTask, labels: Labels) -> None:
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16, barrier=False)
    value = fresh_value(layout, labels, task.state_limits, np.random.default_rng(67))
    silent = Value(layout, task.state_limits, {**value.weights, "W1": 0 * value.weights["W1"]})
    for i in range(4):
        frame, x, t = labels.frame(i), labels.x[i].astype(float), labels.t[i].astype(float)
        assert silent.at(frame).cost(x, t) == pytest.approx(RiccatiValue().at(frame).cost(x, t), rel=1e-12)


def test_input_that_never_moves_is_not_blown_up(task: ReachTask, labels: Labels) -> None:
    context = labels.goal_context.copy()
    context[:, 6] = 0.7  # a joint that no goal moves
    still = replace(labels, goal_context=context)
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16)
    scale = fresh_value(layout, still, task.state_limits, np.random.default_rng(70)).weights["scale"]
    assert scale[layout.blocks["context"]][6] == 1
    assert scale.min() > 1e-3


def test_every_label_is_used_once_before_any_is_used_twice() -> None:
    batches = list(training._batches(10, Fit(steps=7, batch=3), np.random.default_rng(68)))
    assert [len(rows) for rows in batches] == [3] * 7
    for start in (0, 3):  # three batches of three to a pass, one label left over
        assert len(set(torch.cat(batches[start : start + 3]).tolist())) == 9
    assert [len(rows) for rows in training._batches(2, Fit(steps=2, batch=1024), np.random.default_rng(69))] == [2, 2]


def test_a_device_that_is_not_there_is_refused(
    task: ReachTask, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    layout = Layout(task.nx, task.nt, task.nc, (16,), 16)
    rng = np.random.default_rng(60)
    value = fresh_value(layout, labels, task.state_limits, rng)
    with pytest.raises(BadSetting, match=r"fit\.device = 'cuda'.*valid choices: cpu"):
        fit(value, labels, labels, Fit(steps=1, device=Device.CUDA), rng)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
def test_a_gpu_trains_the_same_value(task: ReachTask, labels: Labels) -> None:
    """The same random numbers; what differs is how sums are rounded, which few steps cannot blow up."""
    layout = Layout(task.nx, task.nt, task.nc, (32, 32), 16)
    losses = {}
    for device in Device:
        rng = np.random.default_rng(61)
        value = fresh_value(layout, labels, task.state_limits, rng)
        _, curve = fit(value, labels, labels, Fit(steps=60, batch=256, threads=1, device=device), rng)
        losses[device] = [row["validation"] for row in curve]
    np.testing.assert_allclose(losses[Device.CUDA], losses[Device.CPU], rtol=0.02)


@pytest.mark.parametrize("policy", [None, "ACTIVE"])
def test_threads_that_wait_do_not_spin(policy: str | None) -> None:
    """Unless the user says so. The OpenMP runtime tells, as it is loaded, how often it looks before it sleeps."""
    environment = {name: text for name, text in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | ({"OMP_WAIT_POLICY": policy} if policy else {})
    command = [sys.executable, "-c", "import dvp_mpc.learning.dvp"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    looks = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", said)  # of every runtime that is loaded
    assert looks, said
    assert all((int(count) == 0) is (policy is None) for count in looks)
