"""Memory shared with Triton: reused, never left behind, given up where there is none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.serving import shared_memory_regions
from shared.serving.shared_memory_regions import (
    KEPT_IDLE,
    TENSORS,
    NoSharedMemory,
    Region,
    RegionPool,
    host_prefix,
    left_behind,
    own_prefix,
    remove_left_behind,
    supported,
)

pytestmark = pytest.mark.skipif(not supported(), reason="no POSIX shared memory in /dev/shm")


class Registry:
    """What a server remembers; refuses to let go of the regions in `busy`."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.busy: set[str] = set()

    def register(self, name: str, byte_size: int) -> None:
        assert (shared_memory_regions.FOLDER / name).stat().st_size == byte_size
        self.names.append(name)

    def unregister(self, name: str) -> None:
        if name in self.busy:
            raise RuntimeError("in use")
        self.names.remove(name)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def pool(registry: Registry) -> RegionPool:
    return RegionPool(registry.register, registry.unregister)


def test_what_is_written_is_read_whatever_the_memory_order(pool: RegionPool) -> None:
    region = pool.take(1000)
    array = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    region.write(64, array)
    np.testing.assert_array_equal(region.view(64, (2, 3, 4), np.dtype(np.float32)), array)
    pool.give_back(region)
    pool.clear()


def test_a_region_is_reused_and_its_name_is_gone_once_it_is_registered(pool: RegionPool, registry: Registry) -> None:
    first = pool.take(1000)
    assert not (shared_memory_regions.FOLDER / first.name).exists()
    pool.give_back(first)
    assert pool.take(5000) is first
    assert registry.names == [first.name]
    pool.give_back(first)
    pool.clear()
    assert registry.names == []


def test_only_a_few_idle_regions_are_kept(pool: RegionPool, registry: Registry) -> None:
    regions = [pool.take(1000) for _ in range(KEPT_IDLE + 3)]
    for region in regions:
        pool.give_back(region)
    assert len(registry.names) == KEPT_IDLE
    pool.clear()
    assert registry.names == []


def test_an_abandoned_region_is_never_handed_out_and_let_go_of_when_the_server_is_done(
    pool: RegionPool, registry: Registry
) -> None:
    region = pool.take(1000)
    registry.busy.add(region.name)
    pool.abandon(region)
    assert registry.names == [region.name]
    other = pool.take(1000)
    assert other is not region
    registry.busy.clear()
    pool.give_back(other)
    assert registry.names == [other.name]
    pool.clear()
    assert registry.names == []


def test_a_refused_registration_leaves_no_memory(registry: Registry) -> None:
    def refuse(name: str, byte_size: int) -> None:
        raise NoSharedMemory("refused")

    with pytest.raises(NoSharedMemory, match="refused"):
        RegionPool(refuse, registry.unregister).take(1000)
    assert not list(shared_memory_regions.FOLDER.glob(f"{own_prefix(TENSORS)}*"))


def test_more_memory_than_there_is_is_an_error_not_a_crash() -> None:
    name = f"{own_prefix(TENSORS)}huge"
    with pytest.raises(NoSharedMemory):
        Region(name, 1 << 50)
    assert not (shared_memory_regions.FOLDER / name).exists()


def test_memory_of_a_killed_process_is_found_and_freed() -> None:
    script = (
        "import os, signal\n"
        "from shared.serving.shared_memory_regions import Region, own_prefix\n"
        "name = own_prefix('test') + 'x'\n"
        "Region(name, 4096)\n"
        "print(name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    checkout = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=False)
    name = killed.stdout.strip()
    assert (shared_memory_regions.FOLDER / name).exists(), killed.stderr
    ours, foreign = own_prefix("test") + "1", "isocenter-test-another-host-1-2-3"
    assert left_behind([name, ours, foreign, f"{host_prefix('test')}nonsense"], "test") == [name]
    remove_left_behind("test")
    assert not (shared_memory_regions.FOLDER / name).exists()
