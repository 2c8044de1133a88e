from __future__ import annotations

import pytest

from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tests.engine.alerts.store_contract import AlertStoreContract


class TestInMemory(AlertStoreContract):
    @pytest.fixture
    def store(self) -> MemoryAlertStore:
        return MemoryAlertStore()
