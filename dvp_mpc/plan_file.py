"""Plans in YAML: read once, and refused by the name of the file and the field, with what would have been right."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError

LARGEST_PLAN = 2**18  # [bytes]
Plan = TypeVar("Plan")


class Parameter(NamedTuple):
    """One field of an entry: its default (None: not given) and what it may be: a number in [low, high], a choice or a text."""

    default: Any
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    whole: bool = False
    text: bool = False

    def read(self, field: str, value: Any) -> Any:
        """The value, if it is one that this field may have; raises BadSetting or UnknownChoice."""
        if self.choices:
            if value not in self.choices:
                raise UnknownChoice(field, value, self.choices)
            return value
        if self.text:
            if not isinstance(value, str) or not value:
                raise BadSetting(field, value, "must be a text")
            return value
        kind = "a whole number" if self.whole else "a number"
        numeric = isinstance(value, int) if self.whole else isinstance(value, int | float)
        if isinstance(value, bool) or not numeric or not self.low <= value <= self.high:
            raise BadSetting(field, value, f"must be {kind} in [{self.low:g}, {self.high:g}]")
        return value if self.whole else float(value)


Kinds = Mapping[str, Mapping[str, Parameter]]
"""Parameters of each kind of entry, by name."""


def seconds(default: float) -> Parameter:
    """A time or duration [s]."""
    return Parameter(default, 0.0, 1e6)


def read_entry(where: str, entry: Any, kinds: Kinds, common: Mapping[str, Parameter]) -> tuple[str, dict[str, Any]]:
    """Kind and parameters of a mapping {kind: ..., parameter: value}; every kind has the `common` ones too."""
    if not isinstance(entry, dict):
        raise BadSetting(where, entry, "must be a mapping with a kind")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise UnknownChoice(f"{where}.kind", kind, kinds)
    known = {**common, **kinds[kind]}
    given = read_fields(f"{where} ({kind})", entry, ("kind", *known))
    return kind, {
        name: parameter.read(f"{where}.{name}", given[name]) if name in given else parameter.default
        for name, parameter in known.items()
    }


def read_fields(where: str, raw: Any, known: Sequence[str]) -> dict[str, Any]:
    """A mapping that has no other fields than these."""
    if not isinstance(raw, dict):
        raise BadSetting(where, raw, f"must be a mapping with {', '.join(known)}")
    for name in raw:
        if name not in known:
            raise UnknownChoice(f"field of {where}", name, known)
    return raw


def load_plan(what: str, path: str | Path, read: Callable[[Any], Plan]) -> Plan:
    """What `read` makes of a YAML file. Raises UsageError, which names the file, the field and what would be right."""
    path = Path(path)
    if not path.is_file():
        raise BadSetting(what, str(path), "no such file")
    if path.stat().st_size > LARGEST_PLAN:
        raise BadSetting(what, str(path), f"larger than {LARGEST_PLAN >> 10} KiB: no plan of this package")
    try:
        raw = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: bytes that are no text, 2001-99-99
        raise BadSetting(what, str(path), f"not YAML ({' '.join(str(error).split())})") from error
    try:
        return read(raw)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
