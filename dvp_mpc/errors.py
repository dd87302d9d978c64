"""Errors that carry their evidence: the field, the value that was found and the choices that would have worked."""

from collections.abc import Iterable


class DvpError(Exception):
    """Base of every error that this package raises on purpose; its text is one line for a person."""

    def __reduce__(
        self,
    ) -> tuple[object, ...]:  # by hand, since workers send errors home and __init__ takes other arguments
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[DvpError], args: tuple[object, ...], evidence: dict[str, object]) -> DvpError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(evidence)
    return error


class UsageError(DvpError):
    """The caller asked for something that cannot be done as asked; the command line exits with 2."""


class UnknownChoice(UsageError):
    """A name that is none of the valid ones."""

    def __init__(self, field: str, value: object, choices: Iterable[object]):
        self.field, self.value, self.choices = field, value, tuple(choices)
        super().__init__(f"unknown {field} {value!r}; valid choices: {', '.join(map(str, self.choices))}")


class BadSetting(UsageError):
    """A setting outside its valid range."""

    def __init__(self, field: str, value: object, requirement: str):
        self.field, self.value, self.requirement = field, value, requirement
        super().__init__(f"{field} = {value!r}: {requirement}")


class ArmError(UsageError):
    """A robot description that cannot be used: nq != nv, not 7 joints, a missing limit or frame."""


class GoalError(UsageError):
    """A goal that the task cannot take; `distance` [m] says how far off it is (NaN when that has no meaning)."""

    def __init__(self, message: str, distance: float):
        self.distance = distance
        super().__init__(message)


class ModelFileError(UsageError):
    """A value file that is missing, damaged, foreign or made for another problem; `field` names the culprit."""

    def __init__(self, path: object, field: str, reason: str):
        self.path, self.field = path, field
        super().__init__(f"{path}: {field}: {reason}")


class ValueMismatch(ModelFileError):
    """A sound value file that was made for another arm, task or time step."""

    def __init__(self, path: object, field: str, in_file: object, wanted: object):
        self.in_file, self.wanted = in_file, wanted
        super().__init__(path, field, f"value was made for {in_file}, this problem has {wanted}")


class RunFailed(DvpError):
    """Work that began properly and could not be finished; the command line exits with 1."""


class NotReady(DvpError):
    """The arm or the controller is not in a condition to move; the text says which and why."""
