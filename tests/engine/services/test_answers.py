from __future__ import annotations

import warnings

from tempogram.engine.services.answers import Verdict, of_error


class Deprecating(Exception):
    """As aiohttp's error of a response: it has a status, and warns when its code is read."""

    status = 500

    @property
    def code(self) -> int:
        warnings.warn("use status instead", DeprecationWarning, stacklevel=2)
        return self.status


def test_the_code_of_an_error_is_read_only_where_codes_are_declared() -> None:
    assert of_error(Deprecating(), 0).verdict is Verdict.FAILED
