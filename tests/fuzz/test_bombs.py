"""Small files that claim much: each reader ends in time and within a gibibyte, whatever it makes of them."""

from pathlib import Path

import pytest

from tests.fuzz.bombs import made
from tests.fuzz.driver import Prey


@pytest.mark.parametrize("target", ["header", "imaging", "picture", "report"])
def test_a_claim_costs_nothing(target, tmp_path: Path):
    prey, faults = Prey(target, tmp_path), list[str]()
    path = tmp_path / "input.bin"
    for name, content in made().items():
        path.write_bytes(content)
        if what := prey.take(path):
            faults.append(f"{name}: {what}")
        print(target, name, path.stat().st_size, prey.last)
    prey.stop()
    assert not faults, "\n".join(faults)
