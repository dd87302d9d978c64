"""Every tuned number of the project, in one table."""

from dataclasses import dataclass, field, replace

from dvp_mpc.errors import UnknownChoice
from dvp_mpc.learning.settings import DvpSettings, First, Fit, Loss, Net, Optimiser, Sampling, Starts
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.classic import Cartpole, Pendulum
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.reach_settings import ReachBox, ReachWeights
from dvp_mpc.problem.systems import OriginTask, Unicycle


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


# A value of the whole workspace must be shown many states. So few long problems make a first one from nothing, and many
# short ones the next: backed up over a quarter of a second, its errors shrink by a factor of thirty, at a tenth of a long
# problem's time.
WORKSPACE_DVP = DvpSettings(
    first_problems=1500,
    first_horizon=200,
    window=2,
    sampling=Sampling(
        problems=12_000,
        horizon=28,
        nodes=(0, 1, 3, 6, 10, 15),
        starts=Starts(near=0.05, wide=0.05, kicked=0.05, loop=0.35),
        tolerance=1e-3,
        per_goal=7,
    ),
    fit=Fit(steps=3000, policy=5.0),
    last_fit=4.0,
    net=Net(hidden=(192, 192, 192), riccati=False),
)


def _workspace(arm: str, side: float, low: float, high: float, dvp: DvpSettings = WORKSPACE_DVP) -> Preset:
    """All that an arm reaches above its base plane, from any posture, at any speed from which it can stop.

    side, low, high: a box about the reach [m]; what of it the arm cannot reach is no goal. The weights of posture and velocity
    are higher than the small box's: where whole postures are far away, a weak pull towards them takes many seconds. So is that
    of torque, or the wrist would be at its bounds a third of the time.
    """
    return Preset(
        arm,
        weights=ReachWeights(posture=4.0, velocity=1.0, torque=0.01),
        box=ReachBox(
            goal_lower=(-side, -side, low),
            goal_upper=(side, side, high),
            posture=(6.3,) * 7,
            speed=10.0,
            column=0.15,
            braking=10.0,  # what the slower joints of such arms are rated for, and do against gravity
            postures=3,
        ),
        dvp=dvp,
    )


# Labels limit it: with half of them and half as many steps again, one node loses 1.1 % instead of 0.7 (p95).
PANDA_WORKSPACE = _workspace(
    "panda",
    side=0.85,
    low=0.0,
    high=1.2,
    dvp=replace(WORKSPACE_DVP, sampling=replace(WORKSPACE_DVP.sampling, problems=28_000), last_fit=3.5),
)

# Four of its joints turn twice around, and from bare angles a network learns each turn anew. And a first value that is off is
# passed on: labels end in the value before. So it is shown more of what its long problems pass through. Its fast starts have
# many torques at their bounds, where the policy metric does not look: V falls as it should from 98.7 % of the states with it,
# and from 99.3 % without. The Panda keeps it: without, on fewer labels, one node lost half as
# much again.
XARM7_WORKSPACE = _workspace(
    "xarm7",
    side=0.7,
    low=0.0,
    high=1.0,
    dvp=replace(
        WORKSPACE_DVP,
        iterations=4,
        window=3,
        first_nodes=(0, 1, 3, 6, 10, 15, 22, 30, 40, 52, 66, 82, 100),
        sampling=replace(
            WORKSPACE_DVP.sampling, problems=14_000, starts=replace(WORKSPACE_DVP.sampling.starts, loop=0.15)
        ),
        fit=replace(WORKSPACE_DVP.fit, policy=0.0),
        net=replace(WORKSPACE_DVP.net, angles=True),
    ),
)

PRESETS: dict[str, Preset] = {
    # The shipped value: three iterations of 1500 problems; 2500, 2500 and 5000 training steps.
    "panda_reach": PANDA_REACH,
    "panda_workspace": PANDA_WORKSPACE,
    "xarm7_workspace": XARM7_WORKSPACE,
    "iiwa_workspace": _workspace("iiwa", side=0.8, low=0.0, high=1.2),
    # The small box at the speed that the arm is capable of: within 1 cm in less than a second, and no more than that beyond.
    "panda_brisk": replace(
        PANDA_REACH,
        weights=ReachWeights(tool=60.0, posture=4.0, velocity=0.6),
        dvp=DvpSettings(sampling=Sampling(per_goal=1)),  # as the shipped value was made
    ),
    # Two or three minutes: two tenths of a percent lost, where the shipped value loses three hundredths.
    "panda_reach_quick": replace(
        PANDA_REACH,
        dvp=DvpSettings(
            iterations=2,
            first_problems=300,
            first_horizon=150,
            sampling=Sampling(problems=3000, horizon=24, nodes=(0, 1, 3, 6, 10, 15), tolerance=1e-5),
            fit=Fit(steps=900),
            last_fit=2.5,
            validation=60,
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


@dataclass(frozen=True)
class System:
    """One of the paper's three systems, with the paper's way to its value and ours."""

    task: OriginTask
    paper: DvpSettings
    """As far as the paper states: zero first terminal cost, labels at the starts, the newest data only, 3 residuals over
    three layers of 64, Sobolev loss. It names no optimiser and no amounts; Adam, and as much data and training as ours."""
    ours: DvpSettings
    """Labels along the solutions, Riccati first where there is one, V(goal) = 0 by construction, the policy metric, SOAP."""


PAPER_NET = Net((64, 64, 64), residuals=3, riccati=False, barrier=False, anchor=False)
BOX_ONLY = Starts(near=0, wide=0, kicked=0, loop=0)


def _paper(horizon: int, iterations: int, problems: int, steps: int) -> DvpSettings:
    return DvpSettings(
        iterations=iterations,
        tolerance=0.0,  # iterations are what is to be seen
        first=First.ZERO,
        sampling=Sampling(problems, horizon, nodes=(0,), starts=BOX_ONLY, iterations=200, per_goal=1),
        fit=Fit(steps, batch=128, rate=2e-3, loss=Loss.SOBOLEV, optimiser=Optimiser.ADAM, threads=1),
        window=1,
        last_fit=1.0,
        net=PAPER_NET,
        jobs=1,
    )


def _system(
    task: OriginTask, horizon: int, iterations: int, problems: int, steps: tuple[int, int], riccati: bool
) -> System:
    """Data and training of both ways, for one system. steps: the paper's way, ours; a step of SOAP takes three of Adam's."""
    paper = _paper(horizon, iterations, problems, steps[0])
    ours = replace(
        paper,
        first=First.RICCATI if riccati else First.ZERO,
        sampling=replace(paper.sampling, nodes=(0, 1, 2, 4, 7, 11, 16), starts=Starts(loop=0)),
        fit=Fit(steps[1], batch=256, loss=Loss.POLICY, threads=1),
        net=Net((64, 64, 64), residuals=12, riccati=riccati, barrier=False),
    )
    return System(task, paper, ours)


# Arms the paper's way, for comparison only: four minutes of one core each. All horizons together see a whole motion, 4 s the
# Panda's and 4.5 s that of the authors' iiwa, which has one goal.
PANDA_PAPER = replace(_paper(horizon=100, iterations=4, problems=400, steps=4000), validation=40)
IIWA_PAPER = replace(_paper(horizon=50, iterations=3, problems=500, steps=4000), validation=20)

SYSTEMS: dict[str, System] = {
    # With w_u = 1 half of the cold starts from below end in worse optima that hang and hold; at 0.1 none does.
    "pendulum": _system(Pendulum(w_u=0.1), horizon=30, iterations=4, problems=300, steps=(1000, 300), riccati=True),
    "cartpole": _system(Cartpole(w_u=0.1), horizon=50, iterations=7, problems=500, steps=(1500, 300), riccati=True),
    "unicycle": _system(Unicycle(), horizon=40, iterations=11, problems=400, steps=(1000, 300), riccati=False),
}
