"""Numbers that many commands and studies take, refused in one voice."""

from dvp_mpc.errors import BadSetting


def require_seed(seed: int) -> None:
    """Raises BadSetting for a seed that NumPy would not take."""
    if seed < 0:
        raise BadSetting("seed", seed, "must not be negative")


def require_jobs(jobs: int) -> None:
    """Raises BadSetting for a number of worker processes that joblib would not take."""
    if jobs == 0:
        raise BadSetting("jobs", jobs, "must be a number of processes, or -1 for one per core")
