"""Types of another library as parameters and results: pydantic's models.

pydantic is never imported here. Whoever has a model has imported it; so where it is not among the loaded
modules, nothing can be one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Protocol, TypeGuard

_MAX_MISTAKES = 3


class Model(Protocol):
    """What is used of ``pydantic.BaseModel``."""

    @classmethod
    def model_json_schema(cls, *, ref_template: str) -> dict[str, object]:
        """Its JSON Schema."""
        ...

    @classmethod
    def model_validate(cls, obj: object) -> object:
        """An instance with these values."""
        ...

    def model_dump(self, *, mode: str) -> Mapping[str, object]:
        """Its values."""
        ...


def is_model(hint: object) -> TypeGuard[type[Model]]:
    """Whether a type is a pydantic model."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(hint, type) and issubclass(hint, pydantic.BaseModel)


def decode(wanted: type, value: object) -> object:
    """``value``, of JSON, as a type that msgspec does not know.

    Raises:
        ValueError: It does not fit; says where and why, and does not repeat it.
        TypeError: The type is nobody's.
    """
    if not is_model(wanted):
        raise TypeError(f"no values of {wanted.__name__} can be made")
    try:
        return wanted.model_validate(value)
    except ValueError as error:
        raise ValueError(_mistakes(error)) from error


def encode(value: object) -> object:
    """A value that msgspec does not know, in values that it does.

    Raises:
        TypeError: Nobody knows it.
    """
    if not _is_instance(value):
        raise TypeError(f"values of {type(value).__name__} cannot be put in JSON")
    return value.model_dump(mode="json")


def _is_instance(value: object) -> TypeGuard[Model]:
    return is_model(type(value))


def _mistakes(error: ValueError) -> str:
    """The first mistakes that pydantic found, without the values; a plain ValueError in its own words."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    found = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" if each["loc"] else str(each["msg"])
        for each in found[:_MAX_MISTAKES]
    )
