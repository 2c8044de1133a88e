"""Changes services while they run: stored, taken here, and announced to the other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import replace

import structlog

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.ports.changes import Changes, ServiceChanged
from tempogram.engine.ports.stored_services import StoredService, StoredServices, Words
from tempogram.engine.services.catalogue import Service, declaration_of, in_our_words, service_of
from tempogram.engine.services.services import Services

log = structlog.get_logger()


class ChangedServices:
    """What holds is what is declared, with what is stored above it; a newer version replaces an older one.

    Args:
        declared: What is shipped, in ``services.toml`` and in the environment, by name.
        window_ms: Of a count that is given without a window.
    """

    def __init__(
        self,
        services: Services,
        declared: Mapping[str, Service],
        stored: StoredServices,
        changes: Changes,
        *,
        window_ms: int = 0,
    ) -> None:
        self._services = services
        self._declared = declared
        self._declarations = {name: declaration_of(service) for name, service in declared.items()}
        self._stored = stored
        self._changes = changes
        self._window_ms = window_ms

    async def begin(self) -> None:
        """Take the stored changes; limits that this process declares anew replace those that others still use."""
        await self._stored.declare(self._declarations)
        await self.load()

    async def load(self) -> None:
        """Take what other processes stored. Changes that make no sense are left out, and the others are taken."""
        for name, stored in (await self._stored.all()).items():
            if name in self._declared and self._version(name, stored) > self._services.service(name).version:
                self._services.replace(self._as_stored(name, stored))

    async def update_limits(self, name: str, changes: Words) -> Service:
        """Change what is allowed of a service, in the words of ``services.toml``, for all processes and for good.

        What they leave out stays, and what is used stays used.

        Raises:
            UnknownService: There is no such service, or operation.
            SettingsError: The changes make no sense. Nothing was changed, as for the others.
            LedgerError: The database cannot be reached.
        """
        return await self._change(name, changes)

    async def reset(self, name: str) -> Service:
        """Return to what is declared of a service. Raises as ``update_limits``."""
        self._services.service(name)
        return await self._take(name, self._stored.reset(name))

    async def open_breakers(self, name: str, operations: Collection[str]) -> None:
        """Open breakers by hand until they are closed by hand. Raises as ``update_limits``."""
        await self._change(name, {"operations": {each: {"breaker": "open"} for each in operations}})

    async def close_breakers(self, name: str, operations: Collection[str]) -> None:
        """Close breakers, whatever opened them. Raises as ``update_limits``."""
        changes = {"operations": {each: {"breaker": "closed"} for each in operations}}
        await self._change(name, changes, closed=tuple(operations))
        self.closed(name, operations)

    def closed(self, name: str, operations: Collection[str]) -> None:
        """Close breakers of this process, as another one was asked to."""
        for operation in operations:
            if name in self._declared and operation in self._declared[name].operations:
                self._services.close_breaker(name, operation)

    async def changes(self, name: str) -> Words:
        """Return what is changed of a service, in the words of ``services.toml``."""
        stored = (await self._stored.all()).get(name)
        return {} if stored is None else stored.changes

    def _check(self, name: str, changes: Words) -> None:
        """Refuse changes that make no sense by themselves."""
        service = self._services.service(name)
        if isinstance(operations := changes.get("operations"), Mapping):
            for operation in operations:
                self._services.operation(name, operation)
        service_of(name, changes, service, window_ms=self._window_ms)

    async def _change(self, name: str, changes: Words, *, closed: tuple[str, ...] = ()) -> Service:
        self._check(name, changes)
        changing = self._stored.change(name, in_our_words(changes), lambda both: self._made(name, both))
        return await self._take(name, changing, closed=closed)

    async def _take(self, name: str, changing: Awaitable[StoredService], *, closed: tuple[str, ...] = ()) -> Service:
        try:
            self._services.replace(self._as_stored(name, await changing))
        except LedgerError:  # perhaps it was stored
            await self._changes.announce(ServiceChanged(name, closed))
            raise
        await self._changes.announce(ServiceChanged(name, closed))
        return self._services.service(name)

    def _as_stored(self, name: str, stored: StoredService) -> Service:
        """Return a service as stored; as declared, if what is stored makes no sense above that."""
        try:
            service = self._made(name, stored.changes)
        except SettingsError as error:
            log.warning("service_changes_refused", service=name, reason=str(error))
            service = self._declared[name]
        return replace(service, version=self._version(name, stored))

    def _made(self, name: str, changes: Words) -> Service:
        declared = self._declared[name]
        service = service_of(name, changes, declared, window_ms=self._window_ms)
        if gone := service.operations.keys() - declared.operations.keys():
            raise SettingsError(
                f"{name} was changed while it ran, and has no operation {min(gone)!r} any more; reset its changes"
            )
        return service

    def _version(self, name: str, stored: StoredService) -> int:
        """Return the version of limits here: below those of processes that were started later with other ones."""
        return stored.version - (stored.declared != self._declarations[name])
