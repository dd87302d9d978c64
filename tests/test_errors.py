"""Errors come home from worker processes whole."""

import pickle

import pytest

from dvp_mpc.errors import (
    ArmError,
    BadSetting,
    DvpError,
    GoalError,
    ModelFileError,
    RunFailed,
    UnknownChoice,
    ValueMismatch,
)


@pytest.mark.parametrize(
    "error",
    [
        UnknownChoice("arm", "x", ["panda"]),
        BadSetting("nodes", 0, "must be positive"),
        ArmError("no"),
        GoalError("far", 0.5),
        ModelFileError("a.safetensors", "card", "missing"),
        ValueMismatch("a.safetensors", "dt", 0.1, 0.2),
        RunFailed("died"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error: DvpError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
