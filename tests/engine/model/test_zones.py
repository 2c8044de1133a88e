from __future__ import annotations

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.zones import zone_of


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", "", "/etc/localtime", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="there is no time zone"):
        zone_of(name)
