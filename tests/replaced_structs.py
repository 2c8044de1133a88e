"""A part of the type check: no ``msgspec.Struct`` is given to ``dataclasses.replace``, which fails on one when it runs.

To mypy by itself a struct is as good as a dataclass. What takes it is ``msgspec.structs.replace``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mypy.plugin import FunctionContext, Plugin
from mypy.types import Instance, Type, TypeVarType, UnionType, get_proper_type


class ReplacedStructs(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return refuse_structs if fullname == "dataclasses.replace" else None


def refuse_structs(call: FunctionContext) -> Type:
    replaced = (kind for argument in call.arg_types[:1] for kind in argument)
    if any(is_struct(each) for kind in replaced for each in possible(kind)):
        call.api.fail("dataclasses.replace fails on a Struct; use msgspec.structs.replace", call.context)
    return call.default_return_type


def possible(kind: Type) -> Iterable[Type]:
    """Yield each type that a value of this type may have."""
    match get_proper_type(kind):
        case UnionType(items=items):
            for item in items:
                yield from possible(item)
        case TypeVarType(upper_bound=bound):
            yield from possible(bound)
        case single:
            yield single


def is_struct(kind: Type) -> bool:
    return isinstance(kind, Instance) and kind.type.has_base("msgspec.Struct")


def plugin(_version: str) -> type[Plugin]:
    return ReplacedStructs
