from __future__ import annotations

import json
import subprocess
import sys
from urllib.request import urlopen

import pytest

from tempogram.simulator.services.fake_service import FakeService
from tempogram.simulator.services.process import main
from tests import ROOT


def test_the_service_runs_by_itself_for_any_language() -> None:
    command = [sys.executable, "-m", "tempogram.simulator.services.process", "--count", "1", "--window-ms", "60000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        service = FakeService(json.loads(process.stdout.readline())["url"])
        with urlopen(service.url) as response:  # noqa: S310
            response.read()
        seen = service.report()
        process.terminate()

    assert (seen.calls, process.returncode) == (1, 0)


def test_an_option_that_makes_no_sense_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "-1"]) == 2
    assert capsys.readouterr().err == "service: count must be at least 0, not -1\n"


def test_a_form_that_there_is_not_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--form", "twitter"]) == 2
    assert capsys.readouterr().err.startswith("service: form is 'twitter'; it must be one of none, retry-after, ")
