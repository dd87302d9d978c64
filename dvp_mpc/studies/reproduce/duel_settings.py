"""Settings of the contest between DVP and PPO; loads neither torch nor stable-baselines3.

DVP has the settings of its system, with less data than where no rival waits. PPO's were chosen by ppo_search.py; it is given at
least as much processor time, and the figure says what each used.
"""

from dataclasses import dataclass, field, replace

from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.presets import SYSTEMS

UNICYCLE = SYSTEMS["unicycle"]


@dataclass(frozen=True)
class PpoSettings:
    """Settings of PPO; those that are not the library's own were found by `ppo_search.py`."""

    steps: int = 250_000
    """Environment steps."""
    envs: int = 16
    """Environments side by side."""
    rollout: int = 128
    """Steps of each between two updates."""
    batch: int = 256
    """States per gradient step."""
    epochs: int = 10
    """Passes over each rollout."""
    rate: float = 1e-3
    """Adam's learning rate, falling linearly to zero."""
    trace: float = 0.98
    """lambda of generalised advantage estimation."""
    clip: float = 0.2
    """Clipping of the probability ratio."""
    log_std: float = -1.5
    """Logarithm of the first exploration noise, in units of the action."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Tanh layers of actor and critic, each its own: as large as the paper's value network."""
    episode: int = 100
    """Steps after which an episode is cut."""
    control_scale: float = 2.0
    """Greatest control, in the control's units; no optimum from the start box asks for more than 1.8."""
    cost_scale: float = 30.0
    """Cost that makes a return of -1; about the mean of V."""


def _effort(settings: DvpSettings) -> DvpSettings:
    """A system's own settings, with less data than where there is no rival to wait for."""
    return replace(settings, iterations=4, validation=10, sampling=replace(settings.sampling, problems=100))


PAPER, OURS = _effort(UNICYCLE.paper), _effort(UNICYCLE.ours)


@dataclass(frozen=True)
class DuelSettings:
    """The problem, the efforts and what judges them."""

    discount: float = 0.99
    """stable-baselines3's own."""
    paper: DvpSettings = PAPER
    ours: DvpSettings = OURS
    ppo: PpoSettings = field(default_factory=PpoSettings)
    looks: int = 10
    """How often PPO is judged on its way."""
    states: int = 60
    """Unseen states of each seed at which values are compared."""
    starts: int = 12
    """Unseen starts of each seed from which trajectories are compared."""
    nodes: int = 10
    """Horizon of DVP's controller."""
    length: int = 400
    """Steps of a trajectory and nodes of an optimum; what comes after weighs less than 0.99^400 = 2 %, at the goal."""
    map_points: int = 11
    """Points of the value map along x and along y, for the first seed."""
    counted: int = 10
    """Problems whose evaluations of the dynamics are counted."""


def _hasty(settings: DvpSettings) -> DvpSettings:
    sampling, fit = replace(settings.sampling, problems=15), replace(settings.fit, steps=150)
    return replace(settings, iterations=2, sampling=sampling, fit=fit, validation=2)


QUICK = DuelSettings(
    paper=_hasty(UNICYCLE.paper),
    ours=_hasty(UNICYCLE.ours),
    ppo=PpoSettings(steps=8_192),
    looks=3,
    states=8,
    starts=2,
    length=150,
    map_points=3,
    counted=1,
)
