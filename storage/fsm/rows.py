"""One row: a state and its data, and what both were before the update that changed them last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class StateKey(NamedTuple):
    """Whose state it is; aiogram's ``StorageKey`` with '' and 0 for what a key does not have."""

    bot_id: int
    chat_id: int
    user_id: int
    thread_id: int = 0
    business_connection_id: str = ""
    destiny: str = "default"


class Run(NamedTuple):
    """One run of an update's handlers; a second run, after a crash, has another number."""

    update_id: int
    number: int


class Content(NamedTuple):
    """A state, and its data as JSON; None: there is none."""

    state: str | None = None
    data: bytes | None = None

    @property
    def is_empty(self) -> bool:
        return self == NOTHING


NOTHING = Content()


@dataclass(frozen=True, slots=True)
class StateRow:
    """One row of the table.

    Attributes:
        run: The run that changed it last; None: none did, or it was changed outside of any handler.
        before: What the update of ``run`` found.
    """

    key: StateKey
    content: Content = NOTHING
    run: Run | None = None
    before: Content = NOTHING

    @property
    def is_needed(self) -> bool:
        """A row without state and data is kept while its update may run again and needs what it found."""
        return not (self.content.is_empty and self.before.is_empty)

    def is_to_be_restored(self, run: Run | None) -> bool:
        """Tell whether an earlier run of the same update changed it."""
        if run is None or self.run is None:
            return False
        return run != self.run and run.update_id == self.run.update_id

    def opened_by(self, run: Run | None) -> StateRow:
        """Return the row as a run finds it: an update that is handled again finds what it found the first time.

        >>> asked = StateRow(StateKey(42, 7, 7), Content("asks name"))
        >>> once = asked.opened_by(Run(1, 100))
        >>> changed = StateRow(once.key, Content("asks age"), once.run, once.before)
        >>> changed.opened_by(Run(1, 200)).content.state, changed.opened_by(Run(2, 300)).content.state
        ('asks name', 'asks age')
        """
        if run == self.run:
            return self
        if run is None:
            return StateRow(self.key, self.content)
        found = self.before if self.is_to_be_restored(run) else self.content
        return StateRow(self.key, found, run, found)
