from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.storage.database.driver_errors import is_unavailable


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (PoolTimeoutError("all connections are lent"), True),
        (OperationalError("", {}, Exception("cannot connect")), True),
        (ConnectionResetError(), True),
        (IntegrityError("", {}, Exception("not null")), False),
    ],
)
def test_a_database_is_away_when_no_entry_could_be_written(error: Exception, is_away: bool) -> None:  # noqa: FBT001
    """If it is, a group of writes is not tried one by one: each would wait as long again."""
    assert is_unavailable(error) is is_away
