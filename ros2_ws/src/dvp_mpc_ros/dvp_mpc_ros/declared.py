"""Parameters as dataclass fields: declared on a node with type, range and description, read back as one frozen object."""

from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar("T")

KINDS = {
    str: Parameter.Type.STRING,
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    list[float]: Parameter.Type.DOUBLE_ARRAY,
    list[str]: Parameter.Type.STRING_ARRAY,
    list[int]: Parameter.Type.INTEGER_ARRAY,
}


def parameter(default: Any, description: str, least: float | None = None, most: float | None = None) -> Any:
    """A dataclass field that is a parameter; least and most bound a number, both or neither."""
    given = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return field(**given, metadata={"description": description, "range": (least, most)})


def declare(node: Node, parameters: type, *, read_only: bool, objections: dict[str, str] | None = None) -> None:
    """Declare every field of a dataclass. Raises what rclpy raises for a value of another type or outside its range.

    With objections nothing is raised: what is wrong is put there by name, and that parameter has its default.
    """
    for entry in fields(parameters):
        kind: Parameter.Type = KINDS[entry.type]  # type: ignore[index]
        description = ParameterDescriptor(description=entry.metadata["description"], read_only=read_only)
        least, most = entry.metadata["range"]
        if least is not None and kind is Parameter.Type.INTEGER:
            description.integer_range = [IntegerRange(from_value=least, to_value=most, step=0)]
        elif least is not None:
            description.floating_point_range = [FloatingPointRange(from_value=least, to_value=most, step=0.0)]
        # rclpy takes the type from the default, and [] for an array of bytes: an empty list is declared as unset.
        default = _default(entry)
        start = kind if default == [] else default
        try:
            node.declare_parameter(entry.name, start, description)
        except ParameterException as error:
            if objections is None:
                raise
            objections[entry.name] = f"parameter {entry.name}: {' '.join(str(error).split())}"
            if node.has_parameter(entry.name):
                node.undeclare_parameter(entry.name)
            node.declare_parameter(entry.name, start, description, ignore_override=True)


def read(node: Node, parameters: type[T]) -> T:
    """What the parameters are now."""
    values = {}
    for entry in fields(parameters):  # type: ignore[arg-type]
        value = node.get_parameter_or(entry.name).value
        if value is None:
            value = _default(entry)
        values[entry.name] = value if isinstance(value, (str, bool, int, float)) else list(value)
    return parameters(**values)


def _default(entry: Field) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()
