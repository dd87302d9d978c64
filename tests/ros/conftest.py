"""Real rclpy over real DDS; each test in a ROS domain of its own that no other process of this machine is in."""

import os
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="the extra `ros` is not installed", exc_type=ModuleNotFoundError)

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_next = os.getpid() % 100


def _free_domain() -> int:
    """A domain whose first participant's port is free: the port is 7410 + 250 domain."""
    global _next
    for _ in range(100):
        _next = _next % 100 + 1  # above 101 the ports reach those that Linux gives to anybody
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * _next))
            except OSError:
                continue
            return _next
    raise RuntimeError("all ROS domains of this machine are taken")


@pytest.fixture(autouse=True)
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain of this test's own."""
    number = _free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return number


@pytest.fixture
def peer() -> Iterator["Peer"]:
    """A node that talks to the one under test."""
    peer = Peer()
    yield peer
    peer.close()


class Peer:
    """A node with its executor, in the test's process."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node: Node = rclpy.create_node("peer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
