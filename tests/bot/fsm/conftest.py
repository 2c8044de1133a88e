"""The databases of the storage tests."""

from tests.storage.conftest import database, empty_postgres, postgres

__all__ = ["database", "empty_postgres", "postgres"]
