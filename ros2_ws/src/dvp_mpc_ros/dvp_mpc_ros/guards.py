"""What stands between an exception and rclpy: one in a callback ends the executor, one in a transition is swallowed."""

import functools
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from dvp_mpc.errors import DvpError

Callback = Callable[..., Any]


class Guarded(Protocol):
    """Who has callbacks and transitions."""

    def fail(self, reason: str) -> None:
        """Latch a fault, if there is an arm to be held, and say it in any case."""

    def refuse(self, reason: str) -> None:
        """Say why a transition does not take place."""


def guarded(callback: Callback) -> Callback:
    """A callback that latches a fault instead of ending the node."""

    @functools.wraps(callback)
    def safe(self: Guarded, *args: Any) -> Any:
        try:
            return callback(self, *args)
        except Exception as error:
            self.fail(f"{type(error).__name__} in {callback.__name__.strip('_')}: {error}")
            return args[-1] if len(args) == 2 else None  # a service must return its response

    return safe


def transition(callback: Callback) -> Callback:
    """A transition that refuses with the reason instead of raising."""

    @functools.wraps(callback)
    def safe(self: Guarded, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            callback(self, state)
            return TransitionCallbackReturn.SUCCESS
        except DvpError as error:
            self.refuse(f"{callback.__name__.removeprefix('on_')} refused: {error}")
        except Exception as error:
            self.refuse(f"{callback.__name__.removeprefix('on_')} failed: {type(error).__name__}: {error}")
        return TransitionCallbackReturn.FAILURE

    return safe
