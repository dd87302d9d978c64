"""Who on the network can command the arm. Security itself is ROS 2's (SROS2); here is what must not be left open by mistake."""

import os

from dvp_mpc.errors import NotReady

OPEN = "anybody on the network can command this arm: set ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST or use ROS security"


def check_discovery(required: bool) -> str:
    """A warning, or "" when only this machine or holders of keys can reach the node.

    Raises NotReady when `required` and anybody can, and whenever security is enabled but not enforced: a node without keys
    would then start all the same, unprotected.
    """
    closed = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET").upper() in ("LOCALHOST", "OFF")
    # Letter by letter, as rcl compares them: to it TRUE is off, and enforce is not Enforce.
    secure = os.environ.get("ROS_SECURITY_ENABLE", "") == "true"
    if secure and os.environ.get("ROS_SECURITY_STRATEGY", "") != "Enforce":
        raise NotReady("ROS_SECURITY_ENABLE is true but ROS_SECURITY_STRATEGY is not Enforce: it would fail open")
    if closed or secure:
        return ""
    if required:
        raise NotReady(f"require_closed_discovery: {OPEN}")
    return OPEN
