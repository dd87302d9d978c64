"""From the command line to the end of a controller: start, serve, and come to rest when somebody says so."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.signals import SignalHandlerOptions


class BrakingNode(LifecycleNode):
    """What is asked of the node."""

    def fail(self, reason: str) -> None:
        """Latch a fault and say it."""
        raise NotImplementedError

    def brake(self) -> None:
        """Begin to come to rest; called from another thread."""
        raise NotImplementedError

    def come_to_rest(self) -> None:
        """Return with the arm at rest and the commands ended."""
        raise NotImplementedError


def leave(code: int) -> NoReturn:
    """End the process of a node that could not start or go on.

    Not by way of the interpreter's own end or rclpy's: taking a half made node apart is a segmentation fault now and then, and
    the exit code says what was wrong.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(make: Callable[[], BrakingNode]) -> int:
    """Serve the node until SIGINT or SIGTERM, then bring the arm to rest. 0: ended as asked, 2: ROS could not start."""
    sys.setswitchinterval(2e-4)  # the command loop must not wait 5 ms for a callback to let go of Python's lock
    arrival, departure = socket.socketpair()
    departure.setblocking(False)
    signal.set_wakeup_fd(departure.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        # rclpy's own handlers would close the publishers at once, with the arm in motion.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make()
    except RuntimeError as error:  # no keys where security is enforced, arguments that rcl cannot parse
        print(f"controller_node: {' '.join(str(error).split())}", file=sys.stderr)
        leave(2)
    ending = threading.Event()

    def wait_for_signal() -> None:
        arrival.recv(1)  # a handler would have to wait until the executor lets go of the main thread
        ending.set()
        node.brake()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        try:
            executor.spin_once(timeout_sec=0.05)
        except Exception as error:  # a message that cannot be read is raised here, outside of any callback
            node.fail(f"{type(error).__name__} in the executor: {error}")
    node.come_to_rest()
    node.trigger_shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0
