"""fit: labels -> Value. The only file that imports torch.

Sobolev regression (paper, eq. 7-8) with every error measured by what it costs. With w = V + floor and e the gradient error:

    policy loss    ((V_net - V) / w)^2 + min(||K^-1 e||^2 / w, 50) + a min(||C e||^2 / w, 20) + b bend^2
                   a, b: settings.policy and .curvature;  K K' = V_xx, C of labels.py
                   bend = clip((2 ||J d||^2 - d' V_xx d) / d' V_xx d, -3, 3), d random
    Sobolev loss   (V_net - V)^2 / var(V) + ||e||^2 / var(V_x)                   the paper's, scaled to be of order one
    classical      (V_net - V)^2 / var(V)

A small spread-normalised gradient loss does not make a controller: it overlooks the directions of low inertia, where a tiny
gradient error asks for a large torque. V_xx is small there, so ||K^-1 e||^2 sees them. The policy metric ||C e||^2 weighs
exactly those, and overlooks torques at their bounds, which no gradient error moves: where fast starts have many of these, V
then falls too little along the motion.
"""

from collections.abc import Callable

import numpy as np
import torch
from pytorch_optimizer import SOAP

from dvp_mpc.errors import BadSetting
from dvp_mpc.learning.inputs import inputs, inverse_root
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import Device, Fit, Loss, Optimiser
from dvp_mpc.value import Kind, Layout, Value

CPU = torch.device("cpu")

Report = Callable[[dict[str, float]], None]


def fresh_value(
    layout: Layout, labels: Labels, limits: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> Value:
    """An untrained value: inputs scaled by the labels' spread, last layer small, S = 0 (so V starts as the Riccati's)."""
    z = inputs(layout, labels, limits)
    at = layout.blocks
    scale, mean = z.std(0), np.zeros(layout.nz)
    scale[scale < 1e-3] = 1.0  # an input that never moves, such as the tool error's share of the last joint
    scale[at["b"]] = 0.1  # in the units of the excess; its own spread is that of a few outliers
    mean[at["context"]] = z[:, at["context"]].mean(0)
    # Rounded here, once, so that a value written to disk in float32 is the value that was trained.
    weights = {"scale": scale.astype(np.float32).astype(float), "mean": mean.astype(np.float32).astype(float)}
    for name, shape in layout.shapes.items():
        if name[0] == "W":
            weights[name] = rng.standard_normal(shape) / np.sqrt(shape[1])
        elif name not in weights:
            weights[name] = np.full(shape, 0.03) if name == "a" else np.zeros(shape)
    weights[f"W{len(layout.hidden)}"] *= 0.3
    return Value(layout, limits, weights)


def fit(
    value: Value,
    labels: Labels,
    held_out: Labels,
    settings: Fit,
    rng: np.random.Generator,
    report: Report = lambda row: None,
) -> tuple[Value, list[dict[str, float]]]:
    """Train a copy of `value` on the labels, watching the same loss on held-out ones.

    Returns the value and the history: rows with step, loss, validation (the loss on held_out) and the parts of the loss.
    Deterministic for one rng state, thread count and device. Raises BadSetting where the device is not there.
    """
    torch.set_num_threads(settings.threads)
    device = find_device(settings)
    network = _Network(value, device)
    data, unseen = _tensors(value, labels, device), _tensors(value, held_out, device)
    optimiser: torch.optim.Optimizer = (
        SOAP(
            network.weights.values(), lr=settings.rate, betas=(0.95, 0.95), weight_decay=0.0, precondition_frequency=10
        )
        if settings.optimiser is Optimiser.SOAP
        else torch.optim.Adam(network.weights.values(), lr=settings.rate)
    )
    warm = max(settings.steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda k: min(
            (k + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * min(max(k - warm, 0) / (settings.steps - warm + 1), 1))
        ),
    )
    curve: list[dict[str, float]] = []
    spread = (float(np.var(labels.V)), float(labels.Vx.var(0).sum()))
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for step, rows in enumerate(_batches(len(labels), settings, rng)):
        batch = {name: tensor[rows.to(device)] for name, tensor in data.items()}
        parts = _loss(network, batch, settings, spread, noise)
        loss = sum(parts.values(), torch.zeros((), device=device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == settings.steps - 1:
            with torch.no_grad():
                validation = _loss(network, unseen, settings, spread, torch.Generator().manual_seed(0))
            row = {
                "step": float(step),
                "loss": loss.item(),
                "validation": sum(part.item() for part in validation.values()),
            }
            row |= {name: part.item() for name, part in parts.items()}
            curve.append(row)
            report(row)
    return Value(value.layout, value.state_limits, network.arrays()), curve


def find_device(settings: Fit) -> torch.device:
    """The device to train on; raises BadSetting where it is not there."""
    if settings.device is Device.CUDA and not torch.cuda.is_available():
        raise BadSetting("fit.device", settings.device.value, "torch sees no such device here; valid choices: cpu")
    return torch.device(settings.device.value)


def _batches(n: int, settings: Fit, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    size, order, at = min(settings.batch, n), rng.permutation(n), 0
    for _ in range(settings.steps):
        if at + size > n:
            order, at = rng.permutation(n), 0
        yield torch.from_numpy(order[at : at + size])
        at += size


def _tensors(value: Value, labels: Labels, device: torch.device = CPU) -> dict[str, torch.Tensor]:
    layout, limits, g = value.layout, value.state_limits, labels.goal
    Vxx = labels.Vxx.astype(float)
    Vxx = (Vxx + Vxx.transpose(0, 2, 1)) / 2
    K_inv = inverse_root(Vxx)
    z = inputs(layout, labels, limits)
    z_goal = np.zeros_like(z)
    z_goal[:, layout.blocks["context"]] = z[:, layout.blocks["context"]]
    scale, mean = value.weights["scale"], value.weights["mean"]
    q = labels.x[:, : layout.angles]
    arrays = {
        "z": (z - mean) / scale,
        "z_goal": (z_goal - mean) / scale,
        "y": np.einsum("nij,ni->nj", labels.goal_root[g], labels.x - labels.goal_x[g]),
        "sign": (labels.x > limits[1]).astype(float) - (labels.x < limits[0]),
        "root": labels.goal_root[g],
        "K_inv": K_inv,
        "turn_slope": np.stack([np.cos(q), -np.sin(q)], 1),
        **{name: getattr(labels, name) for name in ("V", "Vx", "Vxx", "Jt", "C")},
    }
    return {name: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)).to(device) for name, a in arrays.items()}


class _Network:
    """The value of value.py on batches, float32, with hand-written first derivatives: V and V_x by one backward sweep,
    J d by one forward sweep. Autograd then only has to go through this once, instead of through itself."""

    def __init__(self, value: Value, device: torch.device = CPU):
        self.layout = value.layout
        frozen = {"scale", "mean"}
        tensors = {k: torch.from_numpy(np.array(w, dtype=np.float32)).to(device) for k, w in value.weights.items()}
        self.scale, self.fixed = tensors["scale"], {k: value.weights[k] for k in frozen}
        self.weights = {k: t.requires_grad_() for k, t in tensors.items() if k not in frozen}
        self.depth = len(value.layout.hidden)

    def arrays(self) -> dict[str, np.ndarray]:
        trained = {k: t.detach().cpu().numpy().astype(float) for k, t in self.weights.items()}
        return {**{k: np.array(v) for k, v in self.fixed.items()}, **trained}

    def _hidden(self, z: torch.Tensor) -> list[torch.Tensor]:
        hidden = []
        for k in range(self.depth):
            z = torch.tanh(torch.nn.functional.linear(z, self.weights[f"W{k}"], self.weights[f"c{k}"]))
            hidden.append(z)
        return hidden

    def __call__(self, batch: dict[str, torch.Tensor], d: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """V (n,), V_x (n, nx) and d' V_xx d (n,) in the Gauss-Newton sense, for directions d (n, nx)."""
        w, layout, at = self.weights, self.layout, self.layout.blocks
        nx, ns = layout.nx, layout.nx + layout.nt
        last = w[f"W{self.depth}"]
        hidden = self._hidden(batch["z"])
        out = torch.nn.functional.linear(hidden[-1], last, w[f"c{self.depth}"])
        if layout.anchor:
            at_goal = self._hidden(batch["z_goal"])[-1]
            out = torch.nn.functional.linear(hidden[-1] - at_goal, last)
        residual = layout.kind is Kind.RESIDUAL
        if residual:
            r1 = out + torch.nn.functional.linear(batch["z"][:, :ns], w["S"])
            if layout.riccati:
                r1 = torch.cat([r1[:, :nx] + batch["y"], r1[:, nx:]], 1)
            V, g_out = (r1 * r1).sum(1), 2 * r1
        else:
            V, g_out = out[:, 0], torch.ones_like(out)
        g = g_out @ last
        for k in reversed(range(self.depth)):
            g = (g * (1 - hidden[k] ** 2)) @ w[f"W{k}"]
        if residual:
            g = torch.cat([g[:, :ns] + g_out @ w["S"], g[:, ns:]], 1)
        g = g / self.scale
        Vx = g[:, at["dx"]]
        if layout.nt:
            Vx = Vx + torch.einsum("nij,ni->nj", batch["Jt"], g[:, at["dt"]])
        turning = (g[:, at["turn"]].reshape(batch["turn_slope"].shape) * batch["turn_slope"]).sum(1)
        Vx = Vx + torch.nn.functional.pad(turning, (0, nx - layout.angles))
        if layout.riccati:
            down = g[:, at["y"]] + (g_out[:, :nx] if residual else 0)
            Vx = Vx + torch.einsum("nij,nj->ni", batch["root"], down)
        if layout.barrier:
            Vx = Vx + batch["sign"] * g[:, at["b"]]
            if residual:
                r2 = w["a"] * batch["z"][:, at["b"]]
                V = V + (r2 * r2).sum(1)
                Vx = Vx + 2 * w["a"] / self.scale[at["b"]] * r2 * batch["sign"]
        return V, Vx, self._curvature(batch, hidden, d) if residual else torch.zeros_like(V)

    def _curvature(self, batch: dict[str, torch.Tensor], hidden: list[torch.Tensor], d: torch.Tensor) -> torch.Tensor:
        w, layout, at = self.weights, self.layout, self.layout.blocks
        nx, ns = layout.nx, layout.nx + layout.nt
        blocks = [d, torch.einsum("nij,nj->ni", batch["Jt"], d), d.new_zeros(len(d), layout.nc)]
        blocks.append((batch["turn_slope"] * d[:, None, : layout.angles]).flatten(1))
        if layout.riccati:
            y = torch.einsum("nij,ni->nj", batch["root"], d)
            blocks.append(y)
        if layout.barrier:
            blocks.append(batch["sign"] * d)
        z = torch.cat(blocks, 1) / self.scale
        h = z
        for k in range(self.depth):
            h = (1 - hidden[k] ** 2) * (h @ w[f"W{k}"].T)
        r1 = h @ w[f"W{self.depth}"].T + z[:, :ns] @ w["S"].T
        if layout.riccati:
            r1 = torch.cat([r1[:, :nx] + y, r1[:, nx:]], 1)
        square = (r1 * r1).sum(1)
        if layout.barrier:
            square = square + ((w["a"] * z[:, at["b"]]) ** 2).sum(1)
        return 2 * square


def _loss(
    network: _Network,
    batch: dict[str, torch.Tensor],
    settings: Fit,
    spread: tuple[float, float],
    noise: torch.Generator,
) -> dict[str, torch.Tensor]:
    d = _probes(batch, noise)
    V, Vx, curvature = network(batch, d)
    dV, e = V - batch["V"], Vx - batch["Vx"]
    if settings.loss is Loss.CLASSICAL:
        return {"value": (dV**2).mean() / spread[0]}
    if settings.loss is Loss.SOBOLEV:
        return {"value": (dV**2).mean() / spread[0], "gradient": (e**2).sum(1).mean() / spread[1]}
    w = batch["V"] + settings.floor
    gradient = torch.einsum("nij,nj->ni", batch["K_inv"], e).square().sum(1) / w
    policy = torch.einsum("nij,nj->ni", batch["C"], e).square().sum(1) / w
    parts = {
        "value": ((dV / w) ** 2).mean(),
        "gradient": gradient.clamp(max=50).mean(),
        "policy": settings.policy * policy.clamp(max=20).mean(),
    }
    if network.layout.kind is Kind.RESIDUAL:
        truth = torch.einsum("ni,nij,nj->n", d, batch["Vxx"], d)
        parts["curvature"] = settings.curvature * ((curvature - truth) / (truth + 1e-6)).clamp(-3, 3).square().mean()
    return parts


def _probes(batch: dict[str, torch.Tensor], noise: torch.Generator) -> torch.Tensor:
    """Directions d (n, nx): half along a few coordinates, half K^-T xi, in which V_xx looks the same all round."""
    (n, nx), device = batch["Vx"].shape, batch["Vx"].device
    xi = torch.randn(n, nx, generator=noise)  # drawn on the processor, so that every device sees the same ones
    sparse = xi * (torch.rand(n, nx, generator=noise) < 2 / nx)
    sparse[torch.arange(n), torch.randint(nx, (n,), generator=noise)] += 1
    white = torch.einsum("nij,ni->nj", batch["K_inv"], xi.to(device))
    return torch.where(torch.rand(n, 1, generator=noise).to(device) < 0.5, sparse.to(device), white)
