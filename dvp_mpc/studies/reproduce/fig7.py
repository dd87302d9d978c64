"""Figure 7: the values of DVP and of PPO's critic against the ground truth of the discounted problem."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from dvp_mpc.studies.reproduce.duel import DVP_KINDS, dvp, ppo, truth
from dvp_mpc.studies.reproduce.duel_settings import QUICK, DuelSettings
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, METHOD, save, sheet

METHODS = (*DVP_KINDS, "ppo")
SHAPE = 0.9  # correlation with the ground truth from which on a value has its shape


def compute(settings: DuelSettings, work: Work) -> Json:
    """Values at unseen states over the efforts of each method, and for the first seed on a map."""
    judged = truth(settings, work)
    found = {**{kind: dvp(settings, work, kind) for kind in DVP_KINDS}, "ppo": ppo(settings, work)}
    keep = ("steps", "seconds", "values")
    return {
        "truth": judged["values"],
        "curves": {name: [{key: look[key] for key in keep} for look in one["curve"]] for name, one in found.items()},
        "maps": {"grid": judged["grid"], "truth": judged["map"], **{name: one["map"] for name, one in found.items()}},
        # Of the policy itself: how much of what the critic says too much is what the policy costs too much.
        "policy": float(np.mean(found["ppo"]["costs"]) / np.mean(judged["costs"]) - 1),
        "exploring": float(np.mean(found["ppo"]["noisy"]["costs"]) / np.mean(judged["costs"]) - 1),
    }


def errors(result: Json, method: str) -> list[float]:
    """mean |V - V*| / mean V* at each look."""
    V = np.array(result["truth"])
    return [float(np.abs(np.array(look["values"]) - V).mean() / V.mean()) for look in result["curves"][method]]


def _bias(result: Json, method: str) -> float:
    V = np.array(result["truth"])
    return float((np.array(result["curves"][method][-1]["values"]) - V).mean() / V.mean())


def _shape(result: Json, method: str) -> float:
    return float(np.corrcoef(result["curves"][method][-1]["values"], result["truth"])[0, 1])


def summarise(settings: DuelSettings, results: Sequence[Json]) -> Summary:
    """Kept when, in every seed, DVP is nearer and PPO has the shape and is too high."""
    numbers: dict[str, Json] = {}
    for name in METHODS:
        numbers[f"{LABEL[name]}: value error, share of the mean value"] = spread([errors(r, name)[-1] for r in results])
        numbers[f"{LABEL[name]}: value too high (+) or low (-), share"] = spread([_bias(r, name) for r in results])
        numbers[f"{LABEL[name]}: correlation with the ground truth"] = spread([_shape(r, name) for r in results])
        last = [r["curves"][name][-1] for r in results]
        numbers[f"{LABEL[name]}: evaluations of the dynamics"] = spread([look["steps"] for look in last])
        numbers[f"{LABEL[name]}: processor time in s"] = spread([look["seconds"] for look in last])
    numbers["PPO: cost of its policy above the optimum, share"] = spread([r["policy"] for r in results])
    numbers["PPO: the same as it explores"] = spread([r["exploring"] for r in results])
    nearer = all(errors(r, "paper")[-1] < errors(r, "ppo")[-1] for r in results)
    shaped = all(_shape(r, "ppo") >= SHAPE for r in results)
    high = all(_bias(r, "ppo") > 0 for r in results)
    remark = (
        "PPO's critic is the value of the policy that explores, not of the best one; the last two numbers say how much of its "
        "excess is that policy's own."
    )
    return Summary(judge([nearer, shaped, high]), numbers, (remark,))


def plot(settings: DuelSettings, results: Sequence[Json], path: Path) -> None:
    """Above the map of the ground truth and the differences from it, below the error over evaluations and over time."""
    drawing, axes = sheet(2, 3, (12.5, 7.6))
    maps = next(result["maps"] for result in results if result["maps"]["grid"])
    V, grid = np.array(maps["truth"]), np.array(maps["grid"])
    n = settings.map_points
    _map(axes[0, 0], grid, V, n, "V*, ground truth, heading 0", "viridis", (0.0, V.max()))
    most = max(
        1e-9, *(float(np.abs(np.array(maps[name]) - V).max()) for name in ("paper", "ppo"))
    )  # one scale for both
    for panel, name in zip(axes[0, 1:], ("paper", "ppo"), strict=True):
        _map(panel, grid, np.array(maps[name]) - V, n, f"{LABEL[name]}: V - V*", "RdBu_r", (-most, most))
    for panel, effort in zip(axes[1, :2], ("steps", "seconds"), strict=True):
        for name in METHODS:
            for k, result in enumerate(results):
                x = [look[effort] for look in result["curves"][name]]
                label = LABEL[name] if k == 0 else None
                panel.loglog(x, errors(result, name), "o-", ms=3, lw=1, color=METHOD[name], label=label)
        panel.set_ylabel("value error, share of mean V* [-]")
    axes[1, 0].set_xlabel("evaluations of the dynamics [-]\n(a derivative counts as 6)")
    axes[1, 1].set_xlabel("processor time [s]")
    axes[1, 1].xaxis.set_minor_formatter("")  # within one decade Matplotlib would write over itself
    axes[1, 0].legend(frameon=False, fontsize=8)
    axes[1, 0].set_title("every seed")
    axes[1, 1].set_title("every seed")
    scatter = axes[1, 2]
    for name in reversed(METHODS):
        for k, result in enumerate(results):
            values, label = result["curves"][name][-1]["values"], LABEL[name] if k == 0 else None
            scatter.plot(result["truth"], values, ".", ms=3, color=METHOD[name], label=label)
    top = max(max(result["truth"]) for result in results)
    scatter.plot([0, top], [0, top], color=METHOD["truth"], lw=0.8)
    scatter.set(xlabel="V*, ground truth [-]", ylabel="V [-]", title="unseen states of all seeds")
    save(drawing, path)


def _map(
    panel: Axes, grid: np.ndarray, values: np.ndarray, n: int, title: str, colours: str, limits: tuple[float, float]
) -> None:
    x, y, z = (column.reshape(n, n) for column in (grid[:, 0], grid[:, 1], values))
    drawn = panel.pcolormesh(x, y, z, cmap=colours, vmin=limits[0], vmax=limits[1], shading="gouraud")
    panel.set(xlabel="x [m]", ylabel="y [m]", title=title, aspect="equal")
    panel.grid(False)
    panel.figure.colorbar(drawn, ax=panel, shrink=0.8)


FIGURE = Figure(
    7,
    "Discounted unicycle: DVP's value is nearer to the truth than PPO's",
    "On a discounted problem PPO's critic has the shape of the value function but overestimates it; DVP's value is nearer to "
    "the ground truth.",
    f"In every seed DVP with the paper's settings has the smaller value error on unseen states, PPO's critic correlates with "
    f"the ground truth by at least {SHAPE:g}, and is too high on average.",
    DuelSettings(),
    QUICK,
    compute,
    summarise,
    plot,
)
