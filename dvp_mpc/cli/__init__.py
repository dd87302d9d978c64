"""The `dvp-mpc` command: settings dataclasses are its flags."""

from dvp_mpc.cli.main import main

__all__ = ["main"]
