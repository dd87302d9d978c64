"""Labels: what a solved problem teaches about the value at the nodes of its trajectory.

The backward pass of DDP gives V_x and the Gauss-Newton V_xx of the cost-to-go at every node (paper, sec. II-C), so one solve
makes many labels. C tells which gradient errors matter: with Q_uu and F_u of the step that leads to the node, a gradient
error e costs a one-step policy  1/2 ||C e||^2,  C = chol(Q_uu)^-1 F_u'  over the controls not at their bound.

Of a discounted problem the solver knows gamma^k V at node k, and gamma^(k-1) Q_uu of the step that leads there; labels are
freed of those weights, and  C = gamma chol(Q_uu)^-1 F_u',  since Q = l + gamma V.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import crocoddyl
import numpy as np

from dvp_mpc.problem.discount import discount_of
from dvp_mpc.problem.solver import last_step
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import GoalFrame


@dataclass(frozen=True, eq=False)
class Labels:
    """n labels on m goals. float32 on purpose: the solver's tolerance is coarser, and a run's data halve."""

    x: np.ndarray  # (n, nx)
    t: np.ndarray  # (n, nt) tool map at x
    Jt: np.ndarray  # (n, nt, nx)
    V: np.ndarray  # (n,)
    Vx: np.ndarray  # (n, nx)
    Vxx: np.ndarray  # (n, nx, nx)
    C: np.ndarray  # (n, nu, nx)
    goal: np.ndarray  # (n,) int, row of the goal tables
    goal_x: np.ndarray  # (m, nx)
    goal_tool: np.ndarray  # (m, nt)
    goal_context: np.ndarray  # (m, nc)
    goal_root: np.ndarray  # (m, nx, nx)

    def __len__(self) -> int:
        return len(self.V)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def rows(self, picks: np.ndarray) -> "Labels":
        """The labels at these rows, with all goals."""
        return replace(self, **{k: v[picks] for k, v in self.arrays().items() if not k.startswith("goal_")})

    def frame(self, i: int) -> GoalFrame:
        """Goal of label i, in float64."""
        g = self.goal[i]
        tables = (self.goal_x, self.goal_tool, self.goal_context, self.goal_root)
        return GoalFrame(*(table[g].astype(float) for table in tables))


class Solved(NamedTuple):
    """Labels of one trajectory."""

    goal: Goal
    columns: dict[str, np.ndarray]


def concatenate(parts: list[Labels]) -> Labels:
    """One set of labels from several, goals renumbered."""
    columns = {name: np.concatenate([p.arrays()[name] for p in parts]) for name in parts[0].arrays()}
    offsets = np.cumsum([0] + [len(p.goal_x) for p in parts])
    columns["goal"] = np.concatenate([p.goal + o for p, o in zip(parts, offsets, strict=False)])
    return Labels(**columns)


def from_solved(solved: list[Solved]) -> Labels:
    """Labels of several trajectories, each with a goal of its own."""
    columns = {name: np.concatenate([s.columns[name] for s in solved]).astype(np.float32) for name in solved[0].columns}
    counts = [len(s.columns["V"]) for s in solved]
    tables = {
        f"goal_{table}": np.stack([getattr(s.goal, table) for s in solved]).astype(np.float32)
        for table in ("x", "tool", "context", "root")
    }
    return Labels(**columns, goal=np.repeat(np.arange(len(solved)), counts), **tables)


def read_labels(task: Task, goal: Goal, solver: crocoddyl.SolverAbstract, nodes: np.ndarray) -> Solved:
    """Labels at the given nodes of a converged solver.

    Its backward pass belongs to where its last step began. That step was small, so its quadratic model gives the gradient where
    it ended, V_x + V_xx dx; where the step is not known, another backward pass does.
    """
    problem, gamma = solver.problem, discount_of(task)
    dx = last_step(solver) if nodes.max() < problem.T else None
    if dx is None:
        problem.calc(solver.xs, solver.us)
        solver.computeDirection(True)
        dx = np.zeros((problem.T + 1, task.nx))
    running = [data.cost for data in problem.runningDatas]
    cost_to_go = np.cumsum([problem.terminalData.cost, *reversed(running)])[::-1]
    # .tolist() once: indexing solver.Vx[k] in a loop copies the whole list each time.
    xs, Vx, Vxx = (np.array(values.tolist()) for values in (solver.xs, solver.Vx, solver.Vxx))
    us, Quu = np.array(solver.us.tolist()), np.array(solver.Quu.tolist())
    model, datas = problem.runningModels[0], problem.runningDatas
    before = np.maximum(nodes - 1, 0)
    free = (us[before] > model.u_lb + 1e-6) & (us[before] < model.u_ub - 1e-6)
    # A bounded control's row and column become the identity's: the factor of the free ones is then that of their block alone.
    chol = np.linalg.cholesky(np.where(free[:, :, None] & free[:, None, :], Quu[before], np.eye(task.nu)))
    Fu = np.array([np.reshape(datas[int(k)].Fu, (task.nx, task.nu)) for k in before])  # flat when there is one control
    C = np.linalg.solve(chol, np.where(free[:, :, None], Fu.transpose(0, 2, 1), 0.0))
    t, Jt = zip(*(task.tool_jacobian(xs[k]) for k in nodes), strict=True)
    weight = gamma ** np.asarray(nodes, dtype=float)
    columns = {
        "x": xs[nodes],
        "t": np.array(t),
        "Jt": np.array(Jt),
        "V": cost_to_go[nodes] / weight,
        "Vx": (Vx[nodes] + np.einsum("nij,nj->ni", Vxx[nodes], dx[nodes])) / weight[:, None],
        "Vxx": Vxx[nodes] / weight[:, None, None],
        "C": gamma ** (1 + before / 2)[:, None, None] * C,
    }
    return Solved(goal, columns)
