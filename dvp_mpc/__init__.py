"""Real-time model predictive control of torque-controlled arms with a learned infinite-horizon terminal cost."""

__version__ = "0.1.0"
