"""Figure 8: the trajectories of DVP's controller and of PPO's policy on the discounted problem.

Two measures of smoothness, both over the first 10 s and relative to the optimum's: the total variation of the controls, which
actuators feel, and the mean square of the second difference of the states, which the paper's plots show.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dvp_mpc.studies.reproduce.duel import DVP_KINDS, dvp, ppo, problem, truth
from dvp_mpc.studies.reproduce.duel_settings import QUICK, DuelSettings
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, METHOD, save, sheet

METHODS = (*DVP_KINDS, "ppo")
SPAN = 100  # steps over which smoothness is measured; then all are near the goal
SHOWN = 2  # starts whose trajectories are kept for the plot


def variation(us: np.ndarray) -> np.ndarray:
    """Total variation sum_k ||u_{k+1} - u_k|| of controls (n, T, nu): (n,)."""
    return np.linalg.norm(np.diff(us[:, :SPAN], axis=1), axis=2).sum(1)


def roughness(xs: np.ndarray) -> np.ndarray:
    """Mean over k of ||x_{k+1} - 2 x_k + x_{k-1}||^2 of states (n, T, nx): (n,)."""
    return (np.diff(xs[:, :SPAN], n=2, axis=1) ** 2).sum(2).mean(1)


def compute(settings: DuelSettings, work: Work) -> Json:
    """Costs and smoothness of every method relative to the optimum, medians over the starts, and some trajectories."""
    judged = truth(settings, work)
    found = {**{kind: dvp(settings, work, kind) for kind in DVP_KINDS}, "ppo": ppo(settings, work)}
    best = {key: np.array(judged[key]) for key in ("xs", "us", "costs")}
    rows = {}
    for name, one in found.items():
        xs, us = np.array(one["xs"]), np.array(one["us"])
        rows[name] = {
            "loss": (np.array(one["costs"]) / best["costs"] - 1).tolist(),
            "variation": (variation(us) / variation(best["us"])).tolist(),
            "roughness": (roughness(xs) / roughness(best["xs"])).tolist(),
        }
    noisy = {
        "loss": (np.array(found["ppo"]["noisy"]["costs"]) / best["costs"] - 1).tolist(),
        "variation": (variation(np.array(found["ppo"]["noisy"]["us"])) / variation(best["us"])).tolist(),
    }
    paths = {"truth": judged["xs"][:SHOWN], **{name: one["xs"][:SHOWN] for name, one in found.items()}}
    controls = {"truth": judged["us"][:SHOWN], **{name: one["us"][:SHOWN] for name, one in found.items()}}
    progress = [
        {"steps": look["steps"], "loss": float(np.median(np.array(look["costs"]) / best["costs"] - 1))}
        for look in found["ppo"]["curve"]
    ]
    return {
        "rows": rows,
        "exploring": noisy,
        "paths": paths,
        "controls": controls,
        "progress": progress,
        "dt": problem(settings)[0].dt,
    }


def _medians(results: Sequence[Json], method: str, what: str) -> list[float]:
    return [float(np.median(result["rows"][method][what])) for result in results]


def summarise(settings: DuelSettings, results: Sequence[Json]) -> Summary:
    """Kept when DVP with the paper's settings is smoother by both measures, and cheaper, in every seed."""
    numbers: dict[str, Json] = {}
    what = {
        "loss": "discounted cost above the optimum, share, median over starts",
        "variation": "variation of the controls over the optimum's, median",
        "roughness": "mean square second difference of the states over the optimum's, median",
    }
    for name in METHODS:
        for key, text in what.items():
            numbers[f"{LABEL[name]}: {text}"] = spread(_medians(results, name, key))
    for key in ("loss", "variation"):
        numbers[f"PPO as it explores: {what[key]}"] = spread([float(np.median(r["exploring"][key])) for r in results])
    bars = [
        all(
            ours < theirs
            for ours, theirs in zip(_medians(results, "paper", key), _medians(results, "ppo", key), strict=True)
        )
        for key in what
    ]
    missed = [text for key, text, kept in zip(what, what.values(), bars, strict=True) if not kept]
    remarks = tuple(f"Not in every seed: {text} smaller than PPO's." for text in missed)
    slack = float(np.mean(_medians(results, "ppo", "variation")))
    if slack < 1:
        restless = float(np.mean([np.median(result["exploring"]["variation"]) for result in results]))
        ours, theirs = (float(np.mean(_medians(results, name, "loss"))) for name in ("ours", "ppo"))
        remarks += (
            f"PPO's policy without exploration is smoother than the optimum ({slack:.2f} of its variation): it is slack, "
            f"and costs {100 * theirs:.1f} % too much, DVP with our settings {100 * ours:.2f} %. As it explores, its controls "
            f"vary {restless:.1f} times as much as the optimum's.",
        )
    return Summary(judge(bars), numbers, remarks)


def plot(settings: DuelSettings, results: Sequence[Json], path: Path) -> None:
    """States and controls over time from one start of the first seed, and both measures over all starts."""
    drawing, axes = sheet(2, 3, (12.5, 6.4))
    one, dt = results[0], results[0]["dt"]
    names = ("truth", "paper", "ours", "ppo")
    for name in names:
        xs, us = np.array(one["paths"][name])[0, : SPAN + 1], np.array(one["controls"][name])[0, :SPAN]
        style = {
            "color": METHOD[name],
            "lw": 3.5 if name == "truth" else 1.3,
            "alpha": 0.35 if name == "truth" else 1.0,
        }
        for i in range(3):
            axes[0, i].plot(np.arange(len(xs)) * dt, xs[:, i], **style, label=LABEL[name])
        for i in range(2):
            axes[1, i].step(np.arange(len(us)) * dt, us[:, i], where="post", **style)
    for i, quantity in enumerate(("x [m]", "y [m]", "heading [rad]")):
        axes[0, i].set(xlabel="time [s]", ylabel=quantity)
    for i, quantity in enumerate(("speed [m/s]", "turning rate [rad/s]")):
        axes[1, i].set(xlabel="time [s]", ylabel=quantity)
    axes[0, 0].legend(frameon=False, fontsize=7)
    drawing.suptitle("One start of the first seed; all starts of all seeds at the lower right", fontsize=11)
    loss = axes[1, 2]
    for name in METHODS:
        x = np.concatenate([result["rows"][name]["variation"] for result in results])
        y = np.concatenate([result["rows"][name]["loss"] for result in results])
        loss.loglog(x, np.maximum(1e2 * y, 1e-3), ".", ms=4, color=METHOD[name], label=LABEL[name])
    loss.xaxis.set_minor_formatter("")  # within one decade Matplotlib would write over itself
    ticks = [share for share in (0.2, 0.5, 1.0, 2.0) if loss.get_xlim()[0] <= share <= loss.get_xlim()[1]]
    loss.set_xticks(ticks, [f"{share:g}" for share in ticks])
    loss.axvline(1.0, color=METHOD["truth"], lw=0.8, ls=":")
    loss.set(
        xlabel="variation of the controls / optimum's [-]", ylabel="cost above the optimum [%]", title="all starts"
    )
    save(drawing, path)


FIGURE = Figure(
    8,
    "Discounted unicycle: DVP's trajectories are smoother than PPO's",
    "On a discounted problem the state trajectories computed with DVP are smoother than those of PPO.",
    "In every seed the median over unseen starts of DVP with the paper's settings, N = 10, is below PPO's without exploration, "
    "in the variation of the controls, in the mean square second difference of the states and in discounted cost.",
    DuelSettings(),
    QUICK,
    compute,
    summarise,
    plot,
)
