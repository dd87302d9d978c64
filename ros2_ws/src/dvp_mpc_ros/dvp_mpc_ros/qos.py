"""Qualities of service, each with its reason."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

NEWEST_STATE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""An old state is worth nothing; best effort is compatible with every publisher. No deadline: a publisher that offers none
would then be incompatible, with nothing but a warning."""
NEWEST_RELIABLE = QoSProfile(depth=1)
"""Commands: ros2_control's controllers subscribe reliably, to which a best-effort publisher would be incompatible."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Who comes later still learns the last value."""
