"""How many bytes each group of entries has, and which group is to give some back."""

from __future__ import annotations

from collections import defaultdict

NAME_BYTES = 100
"""Of an entry besides key and value. untuned: about what either backend takes for times and indexes."""


class Sizes:
    """The bytes of each group, of which all together may have so many."""

    __slots__ = ("_of", "bytes_max", "total")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.total = 0
        self._of: dict[str, int] = defaultdict(int)

    def add(self, group: str, size: int) -> None:
        self.total += size
        self._of[group] += size
        if not self._of[group]:
            del self._of[group]

    def over(self) -> str | None:
        """Return the group that has most, if all together have too many.

        >>> sizes = Sizes(10)
        >>> sizes.add("films", 8)
        >>> sizes.over()
        >>> sizes.add("pay", 3)
        >>> sizes.over()
        'films'
        """
        return max(self._of, key=self._of.__getitem__) if self.total > self.bytes_max else None
