from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.storage.database.driver_errors import is_unavailable


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (PoolTimeoutError("all connections are in use"), True),
        (OperationalError("", {}, Exception("cannot connect")), True),
        (ConnectionResetError(), True),
        (IntegrityError("", {}, Exception("not null")), False),
    ],
)
def test_an_error_of_every_entry_means_an_unavailable_database(error: Exception, is_away: bool) -> None:  # noqa: FBT001
    """If it is, a group of writes is not tried one by one: each would wait as long again."""
    assert is_unavailable(error) is is_away
