"""Every tuned number of the project, in one table."""

from dataclasses import dataclass, field, replace

from dvp_mpc.errors import UnknownChoice
from dvp_mpc.learning.settings import DvpSettings, Net
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.reach import ReachBox, ReachTask, ReachWeights


@dataclass(frozen=True)
class Preset:
    """A task and how its value is made."""

    arm: str
    """Name of the arm, or the path of a URDF."""
    tool_frame: str | None = None
    """Frame whose origin is the tool; unset: the arm's own. A URDF by path needs one."""
    locked: dict[str, float] | None = None
    """Joints to hold at a position [rad or m] and take out of the model; unset: the arm's own."""
    home: tuple[float, ...] | None = None
    """Posture from which goal postures are sought [rad]; unset: the arm's own, zeros for a URDF by path."""
    armature: tuple[float, ...] | None = None
    """Rotor inertia seen at each joint [kg m^2]; unset: the arm's own, 0.1 for a URDF by path."""
    weights: ReachWeights = field(default_factory=ReachWeights)
    """Running cost."""
    box: ReachBox = field(default_factory=ReachBox)
    """Where the value is trained and trusted."""
    dt: float = 0.01
    """Time step of a node [s]."""
    dvp: DvpSettings = field(default_factory=DvpSettings)
    """How the value is made."""

    def task(self) -> ReachTask:
        """The task, with its arm loaded."""
        arm = load_arm(self.arm, tool_frame=self.tool_frame, locked=self.locked, home=self.home, armature=self.armature)
        return ReachTask(arm, self.weights, self.box, self.dt)


PANDA_REACH = Preset("panda")

PRESETS: dict[str, Preset] = {
    # The shipped value: three iterations of 1500 problems; 2500, 2500 and 5000 training steps.
    "panda_reach": PANDA_REACH,
    # A minute, and a value good enough to see the arm reach.
    "panda_reach_quick": replace(
        PANDA_REACH,
        dvp=DvpSettings(
            iterations=1,
            sampling=replace(PANDA_REACH.dvp.sampling, problems=600),
            fit=replace(PANDA_REACH.dvp.fit, steps=1200),
            last_fit=1.0,
            validation=40,
        ),
    ),
    # The whole path in seconds, for tests; its value is poor.
    "panda_reach_tiny": replace(
        PANDA_REACH,
        dvp=DvpSettings(
            iterations=2,
            sampling=replace(PANDA_REACH.dvp.sampling, problems=40, horizon=60),
            fit=replace(PANDA_REACH.dvp.fit, steps=100, batch=256, threads=1),
            last_fit=1.0,
            net=Net(hidden=(32, 32)),
            validation=8,
        ),
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of that name; raises UnknownChoice."""
    if name not in PRESETS:
        raise UnknownChoice("preset", name, PRESETS)
    return PRESETS[name]
