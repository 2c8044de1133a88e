"""The engine, tested."""

import pytest

pytest.register_assert_rewrite("tests.engine.brokers.contract")
