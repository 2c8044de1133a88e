"""What is stored of services, and what is announced of them, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.changes import Change, Listener
from tempogram.engine.ports.stored_services import StoredService, Words


class Store:
    """See ``StoredServices``. While ``loses_answers`` it stores a change and says that it may not have."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredService] = {}
        self.loses_answers = False

    async def declare(self, declared: Mapping[str, str]) -> None:
        for name, declaration in declared.items():
            row = self._row(name)
            if row.declared != declaration:
                self.rows[name] = StoredService(row.version + 1, row.changes, declaration)

    async def all(self) -> Mapping[str, StoredService]:
        return dict(self.rows)

    async def change(self, name: str, changes: Words, check: Callable[[Words], object]) -> StoredService:
        both = {**self._row(name).changes, **changes}
        check(both)
        return self._put(name, both)

    async def reset(self, name: str) -> StoredService:
        return self._put(name, {})

    def _row(self, name: str) -> StoredService:
        return self.rows.get(name, StoredService(1, {}, ""))

    def _put(self, name: str, changes: Words) -> StoredService:
        row = self._row(name)
        self.rows[name] = StoredService(row.version + 1, changes, row.declared)
        if self.loses_answers:
            raise LedgerError("the answer was lost")
        return self.rows[name]


@dataclass
class Wire:
    """See ``Changes``; it notes what is announced."""

    announced: list[Change] = field(default_factory=list)

    async def announce(self, item: Change) -> None:
        self.announced.append(item)

    async def run(self, listener: Listener) -> None:
        raise NotImplementedError
