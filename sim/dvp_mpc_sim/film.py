"""A film of a log, drawn after the run: drawing between two steps would disturb the controller's timing."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dvp_mpc.disturbance import ExternalWrench, acting
from dvp_mpc.errors import BadSetting
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.loop import Log
from dvp_mpc_sim.render import caption


def film_pictures(
    plant: BulletPlant,
    log: Log,
    disturbances: Sequence[ExternalWrench] = (),
    *,
    rate_hz: float = 20.0,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8 of a log, each with its time and tool error, on a plant made with visual=True.

    disturbances are those of the run, for their arrows. on_picture is called with the number done and the total.
    """
    if not 0 < rate_hz <= 1 / log.dt:
        raise BadSetting("rate_hz", rate_hz, f"must lie in (0, {1 / log.dt:g}] Hz")
    rows = np.round(np.arange(0, log.t[-1], 1 / rate_hz) / log.dt).astype(int)
    error, pictures = 1e3 * log.tool_error(), []
    for k in rows:
        plant.reset(log.q[k], log.v[k])
        plant.show_goal(log.goal_in_world[k])
        rotation = partial(plant.arm.rotation_in_world, log.q[k])
        plant.show_pushes(acting(disturbances, log.t[k] + log.dt / 2, rotation))
        text = f"{log.t[k]:4.2f} s    tool error {error[k]:.1f} mm"
        pictures.append(caption(plant.render(), text))
        on_picture(len(pictures), len(rows))
    return pictures
