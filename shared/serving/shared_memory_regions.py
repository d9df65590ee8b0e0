"""Memory that we share with a Triton on the same host, so that pixels need not travel through gRPC.

A region is a POSIX shared memory object (a file in /dev/shm) that Triton maps when it is registered. Its name is
removed as soon as both sides have it mapped, so no end of ours, kill -9 included, leaves anything in /dev/shm.
Registrations in Triton that a killed process left are found by their name and undone by the next that starts here.
"""

import contextlib
import hashlib
import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from shared.serving.models import Array

FOLDER = Path("/dev/shm")
TENSORS = "io"
"""The kind of shared memory that regions are, in their names."""
SMALLEST = 1 << 20
OWED = 100
"""Names remembered of regions that Triton would not let go of yet."""
KEPT_IDLE = 4
"""Idle regions kept for the next request: making one costs two calls to Triton and fresh memory pages."""


class NoSharedMemory(Exception):
    """No region can be had; send the tensors through gRPC."""


def is_this_host(url: str) -> bool:
    """Whether the address is one of this machine, by its looks: a loopback address or our own name."""
    host = url.rpartition(":")[0].strip("[]")
    return url.startswith("unix:") or host in ("localhost", "::1", socket.gethostname()) or host.startswith("127.")


def supported() -> bool:
    """Whether this system has POSIX shared memory where Linux keeps it."""
    return FOLDER.is_dir() and os.access(FOLDER, os.W_OK)


class Region:
    """A mapped piece of memory under a name that Triton knows."""

    def __init__(self, name: str, byte_size: int) -> None:
        """Raises NoSharedMemory where the system gives none."""
        self.name = name
        self.byte_size = byte_size
        try:
            descriptor = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except OSError as error:
            raise NoSharedMemory(str(error)) from error
        try:
            # Reserved now: a write into a full /dev/shm (64 MB in a container) would be a SIGBUS.
            os.posix_fallocate(descriptor, 0, byte_size)
            self._map = mmap.mmap(descriptor, byte_size)
        except OSError as error:
            self.remove_name()
            raise NoSharedMemory(str(error)) from error
        finally:
            os.close(descriptor)

    def write(self, offset: int, array: Array) -> None:
        """Copy the array into the region, in C order."""
        np.copyto(self.view(offset, array.shape, array.dtype), array)

    def view(self, offset: int, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
        """The bytes at `offset` as an array; valid until the region is closed."""
        return np.ndarray(shape, dtype, buffer=self._map, offset=offset)

    def remove_name(self) -> None:
        """Take the name out of /dev/shm; the memory lives on where it is mapped."""
        with contextlib.suppress(FileNotFoundError):
            (FOLDER / self.name).unlink()

    def close(self) -> None:
        """Let go of the memory."""
        self.remove_name()
        with contextlib.suppress(BufferError):
            self._map.close()


class RegionPool:
    """Regions registered with one Triton, handed to one request at a time. Thread-safe."""

    def __init__(self, register: Callable[[str, int], None], unregister: Callable[[str], None]) -> None:
        """`register(name, byte_size)` and `unregister(name)` speak to Triton; both may raise."""
        remove_left_behind(TENSORS)
        self._register = register
        self._unregister = unregister
        self._lock = threading.Lock()
        self._idle: list[Region] = []
        self._owed: list[str] = []
        self._counter = 0

    def take(self, byte_size: int) -> Region:
        """A region of at least this size. Raises NoSharedMemory, or what `register` raises."""
        with self._lock:
            fitting = [region for region in self._idle if region.byte_size >= byte_size]
            if fitting:
                region = min(fitting, key=lambda found: found.byte_size)
                self._idle.remove(region)
                return region
            self._counter += 1
            name = f"{own_prefix(TENSORS)}{id(self):x}-{self._counter}"
        region = Region(name, max(SMALLEST, 1 << (byte_size - 1).bit_length()))
        try:
            self._register(region.name, region.byte_size)
        except BaseException:
            region.close()
            raise
        region.remove_name()
        return region

    def give_back(self, region: Region) -> None:
        """The request is answered: keep the region for another, or let go of the smallest."""
        with self._lock:
            self._idle.append(region)
            self._idle.sort(key=lambda kept: kept.byte_size)
            surplus = [self._idle.pop(0)] if len(self._idle) > KEPT_IDLE else []
        if surplus or self._owed:
            self._release(surplus)

    def abandon(self, region: Region) -> None:
        """The request failed and Triton may still be at work in the region: never hand it out again."""
        self._release([region])

    def clear(self) -> None:
        """Let go of every idle region."""
        with self._lock:
            regions, self._idle = self._idle, []
        self._release(regions)

    def _release(self, regions: Iterable[Region]) -> None:
        names: list[str] = []
        for region in regions:
            names.append(region.name)
            region.close()
        with self._lock:
            names, self._owed = [*self._owed, *names], []
        # Triton keeps a region in which a request is still at work: it is told again the next time.
        owed = [name for name in names if not self._forgotten(name)]
        with self._lock:
            self._owed = [*self._owed, *owed][-OWED:]

    def _forgotten(self, name: str) -> bool:
        try:
            self._unregister(name)
        except Exception:
            return False
        return True


def own_prefix(kind: str) -> str:
    """What the names of this process's shared memory of one kind begin with."""
    pid = os.getpid()
    return f"{host_prefix(kind)}{pid}-{start_time(pid)}-"


def host_prefix(kind: str) -> str:
    """The same for processes that see one another: one boot of one host, one PID namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.readlink("/proc/self/ns/pid")
    return f"isocenter-{kind}-{hashlib.sha256(f'{boot} {namespace}'.encode()).hexdigest()[:8]}-"


def start_time(pid: int) -> str:
    """Tells a process from a later one with the same number; empty where there is none (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def left_behind(names: Iterable[str], kind: str) -> list[str]:
    """Those names that a process of this host made which has ended since."""
    prefix = host_prefix(kind)
    ended: list[str] = []
    for name in names:
        if not name.startswith(prefix):
            continue
        pid, _, rest = name.removeprefix(prefix).partition("-")
        if pid.isdigit() and start_time(int(pid)) != rest.partition("-")[0]:
            ended.append(name)
    return ended


def remove_left_behind(kind: str) -> None:
    """Free the shared memory of processes that were killed before they could."""
    for name in left_behind((path.name for path in FOLDER.iterdir()), kind):
        with contextlib.suppress(OSError):
            (FOLDER / name).unlink()
