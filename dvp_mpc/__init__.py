"""Real-time model predictive control of torque-controlled arms with a learned infinite-horizon terminal cost."""

import os

# Before anything loads the OpenMP runtime, which reads this once: Pinocchio does, and torch shares it. Threads that wait
# otherwise spin, and beside one other busy process on two cores a training step takes three to fifteen times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
