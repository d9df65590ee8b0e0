"""Bytes go in once, whole, durable, and never over others."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.collect.store import folder as folder_module
from services.collect.store.folder import Kept, StoreFolder, data_set_digest

PLACE = "1.2/1.3/1.4.dcm"
META = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00\x06\x00\x00\x00" + b"meta.."


@pytest.fixture
def store(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path / "store")


def received(store: StoreFolder, data: bytes, name: str = "in.dcm", meta: bytes = META) -> tuple[Path, str]:
    path = store.incoming / name
    path.write_bytes(meta + data)
    return path, data_set_digest(path)


def test_new_known_and_beside(store: StoreFolder) -> None:
    assert store.keep(*_args(store, b"first")) == (Kept.NEW, PLACE)
    assert store.keep(*_args(store, b"first")) == (Kept.KNOWN, PLACE)
    kept, beside = store.keep(*_args(store, b"other"))
    assert (kept, beside.rpartition("/")[0]) == (Kept.BESIDE, "1.2/1.3")
    assert store.keep(*_args(store, b"other")) == (Kept.BESIDE, beside)
    assert (store.root / PLACE).read_bytes() == META + b"first"
    assert (store.root / beside).read_bytes() == META + b"other"
    assert list(store.incoming.iterdir()) == []


def _args(store: StoreFolder, data: bytes) -> tuple[Path, str, str]:
    path, digest = received(store, data)
    return path, PLACE, digest


def test_the_digest_is_of_the_data_set_alone(store: StoreFolder) -> None:
    """Another version of the library writes another File Meta Information: a repeated image stays the same image."""
    other_meta = META.replace(b"\x06\x00\x00\x00", b"\x09\x00\x00\x00") + b"new"
    assert received(store, b"x" * 99)[1] == received(store, b"x" * 99, meta=other_meta)[1]
    assert received(store, b"x" * 99)[1] != received(store, b"x" * 98)[1]


def test_many_writers_of_one_uid_lose_nothing(store: StoreFolder) -> None:
    inputs = [received(store, f"bytes {n % 4}".encode() * 1000, f"{n}.dcm") for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda one: store.keep(one[0], PLACE, one[1]), inputs))
    assert [kept for kept, _ in outcomes].count(Kept.NEW) == 1
    digests = {data_set_digest(path) for path in (store.root / "1.2/1.3").iterdir()}
    assert digests == {digest for _, digest in inputs}


def test_bytes_are_on_the_disk_before_they_have_a_name(store: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the order file, name, folder, a power cut leaves an acknowledged image empty or without its name."""
    steps: list[str] = []
    real = {"fsync": os.fsync, "link": os.link}
    monkeypatch.setattr(folder_module.os, "fsync", lambda fd: steps.append(_name(fd)) or real["fsync"](fd))
    monkeypatch.setattr(folder_module.os, "link", lambda a, b: real["link"](a, b) or steps.append("link"))
    store.keep(*_args(store, b"first"))
    assert steps == ["in.dcm", "link", "1.3", "1.2", "store"]


def _name(descriptor: int) -> str:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name


def test_without_durability_nothing_is_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, steps = StoreFolder(tmp_path / "store", durable=False), []
    monkeypatch.setattr(folder_module.os, "fsync", lambda fd: steps.append(_name(fd)))
    store.keep(*_args(store, b"first"))
    assert steps == []
    store.sync([PLACE])
    assert sorted(steps) == ["1.2", "1.3", "1.4.dcm", "store"]


def test_only_what_nobody_writes_any_more_is_removed(store: StoreFolder) -> None:
    old, _ = received(store, b"half", "old.dcm")
    fresh, _ = received(store, b"half", "fresh.dcm")
    os.utime(old, (time.time() - 500, time.time() - 500))
    assert store.remove_stale(120) == 1
    assert (old.exists(), fresh.exists()) == (False, True)


def test_known_bytes_that_came_without_durability_are_forced_to_the_disk(tmp_path: Path, monkeypatch) -> None:
    relaxed = StoreFolder(tmp_path / "store", durable=False)
    relaxed.keep(*_args(relaxed, b"first"))
    synced: list[Path] = []
    monkeypatch.setattr(folder_module, "sync_file", synced.append)
    strict = StoreFolder(tmp_path / "store")
    assert strict.keep(*_args(strict, b"first"))[0] is Kept.KNOWN
    assert strict.root / PLACE in synced


def test_half_a_file_beside_does_not_stand_for_the_whole(store: StoreFolder) -> None:
    """What was acknowledged was thrown away for it."""
    store.keep(*_args(store, b"first"))
    _, beside = store.keep(*_args(store, b"other"))
    os.truncate(store.root / beside, len(META) + 2)
    kept, again = store.keep(*_args(store, b"other"))
    assert (kept, again != beside) == (Kept.BESIDE, True)
    assert (store.root / again).read_bytes() == META + b"other"
    assert store.keep(*_args(store, b"other")) == (Kept.BESIDE, again)
