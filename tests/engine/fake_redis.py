"""A Redis in this process, by fakeredis, for a run of the contract where no server is to be had.

fakeredis runs scripts by Lua 5.1, but without the two libraries that Redis gives them, ``struct`` and ``cmsgpack``;
they are written here in Python, as far as our scripts use them. It has no INFO, which says that Redis was started
anew, so one is answered here. Real Redis stays the judge.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import fakeredis
import msgspec
from fakeredis.aioredis import FakeRedis
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE

CANNOT = "INFO, CONFIG GET, CONFIG RESETSTAT and a memory that can be full"
"""What fakeredis cannot do of what our tests of one Redis ask for."""

_SIZES = {"B": "B", "d": "d", "I2": "H", "I4": "I", "i8": "q"}
_ITEM = re.compile(r"B|d|I2|I4|i8|c(\d+)")


class RedisInProcess(FakeRedis):
    """A client of a server of its own that scripts find as they find Redis."""

    def __init__(self) -> None:
        server = fakeredis.FakeServer()
        super().__init__(server=server)
        self._server = server

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] == "INFO":
            return {"run_id": "0" * 40}
        if words[0] in {"EVAL", "EVALSHA"} and not hasattr(self._server, "_lua_runtime"):
            await super().execute_command("EVAL", "return 1", 0)  # type: ignore[no-untyped-call]
            _add_libraries(self._server)
        return await super().execute_command(*words, **options)  # type: ignore[no-untyped-call]


def _add_libraries(server: Any) -> None:
    lua = server._lua_runtime
    found = lua.globals()
    found[b"struct"] = lua.table_from({b"pack": _pack, b"unpack": _unpack})
    found[b"cmsgpack"] = lua.table_from(
        {b"pack": lambda value: msgspec.msgpack.encode(_value(value)), b"unpack": lambda raw: _table(lua, raw)}
    )
    server._lua_expected_globals |= {b"struct", b"cmsgpack"}


def _pack(form: bytes, *values: Any) -> bytes:
    """Pack numbers and words in the order of a form; ``c0`` is a whole word."""
    packed, left = [], iter(values)
    for item in _ITEM.finditer(form.decode()):
        value = next(left)
        if item[1] is not None:
            packed.append(value if item[1] == "0" else value[: int(item[1])])
        else:
            kind = _SIZES[item[0]]
            packed.append(struct.pack(f"<{kind}", value if kind == "d" else int(value)))
    return b"".join(packed)


def _unpack(form: bytes, raw: bytes, first: float = 1) -> tuple[Any, ...]:
    """Return what stands in a form, and where what follows begins; ``c0`` is as long as the number before it says."""
    values: list[Any] = []
    at = int(first) - 1
    for item in _ITEM.finditer(form.decode()):
        if item[1] is not None:
            size = int(item[1]) or int(values.pop())
            values.append(raw[at : at + size])
        else:
            kind = _SIZES[item[0]]
            size = struct.calcsize(f"<{kind}")
            values.append(struct.unpack_from(f"<{kind}", raw, at)[0])
        at += size
    return (*values, at + 1)


def _value(value: Any) -> Any:
    """Return a value of Lua as msgpack takes it: a table is a list, or a map if it has other keys."""
    match value:
        case bytes():
            return _word(value)
        case float() if value.is_integer():
            return int(value)
        case _ if LUA_MODULE.lua_type(value) == "table":
            keys = list(value.keys())
            if keys == list(range(1, len(keys) + 1)):
                return [_value(each) for each in value.values()]
            return {_value(key): _value(each) for key, each in value.items()}
        case _:
            return value


def _word(word: bytes) -> str | bytes:
    try:
        return word.decode()
    except UnicodeDecodeError:  # a record in a record
        return word


def _table(lua: Any, raw: bytes) -> Any:
    return _to_lua(lua, msgspec.msgpack.decode(raw))


def _to_lua(lua: Any, value: Any) -> Any:
    match value:
        case str():
            return value.encode()
        case list():
            return lua.table_from([_to_lua(lua, each) for each in value])
        case dict():
            return lua.table_from({_to_lua(lua, key): _to_lua(lua, each) for key, each in value.items()})
        case _:
            return value
