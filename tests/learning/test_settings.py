"""Settings of a training run that cannot work are refused by field."""

from dataclasses import replace

import pytest

from dvp_mpc.errors import BadSetting
from dvp_mpc.learning.settings import DvpSettings, Fit, Sampling, Starts


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"iterations": 0}, "iterations"),
        ({"validation": 0}, "validation"),
        ({"seed": -1}, "seed"),
        ({"sampling": Sampling(problems=0)}, "sampling.problems"),
        ({"sampling": Sampling(horizon=0)}, "sampling.horizon"),
        ({"sampling": Sampling(horizon=10, nodes=(0, 11))}, "sampling.nodes"),
        ({"sampling": Sampling(nodes=())}, "sampling.nodes"),
        ({"sampling": Sampling(nodes=(-1, 3))}, "sampling.nodes"),
        ({"jobs": 0}, "jobs"),
        ({"last_fit": 0.0}, "last_fit"),
        ({"window": 0}, "window"),
        ({"first_problems": 0}, "first_problems"),
        ({"first_horizon": 40}, "first_horizon"),
        ({"first_nodes": ()}, "first_nodes"),
        ({"first_nodes": (0, 120)}, "first_nodes"),
        ({"first_nodes": (0, 120), "first_horizon": 110}, "first_nodes"),
        ({"sampling": Sampling(per_goal=0)}, "sampling.per_goal"),
        ({"sampling": Sampling(follow=-1)}, "sampling.follow"),
        ({"sampling": Sampling(tolerance=0.0)}, "sampling.tolerance"),
    ],
)
def test_settings_that_cannot_work(change: dict[str, object], field: str) -> None:
    with pytest.raises(BadSetting) as error:
        replace(DvpSettings(), **change)  # type: ignore[arg-type]
    assert error.value.field == field


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (Fit, {"steps": 0}, "fit.steps"),
        (Fit, {"batch": 0}, "fit.batch"),
        (Fit, {"threads": 0}, "fit.threads"),
        (Fit, {"rate": float("nan")}, "fit.rate"),
        (Fit, {"floor": -1.0}, "fit.floor"),
        (Fit, {"policy": -1.0}, "fit.policy"),
        (Fit, {"curvature": float("inf")}, "fit.curvature"),
        (Starts, {"near": 5.0}, "starts.near"),
        (Starts, {"near": 0.6, "wide": 0.6}, "starts.kicked"),
    ],
)
def test_numbers_out_of_range(kind: type, change: dict[str, float], field: str) -> None:
    with pytest.raises(BadSetting) as error:
        kind(**change)
    assert error.value.field == field
