"""A data set on its way from the wire into a file."""

import contextlib
import logging
import os

from services.collect.handlers import OUT_OF_RESOURCES, Refusal
from services.collect.listening.c_store import StoreRequest, file_start
from shared.digest import new_hash, value_of

log = logging.getLogger(__name__)

_MOST_PIECES = 256  # of one writev; IOV_MAX is 1024
_HEAD_BYTES = 2**16


class Incoming:
    """A half-written file below the store's incoming folder. What can't be written is counted and thrown away, so that
    the sender gets its answer: `refusal` says which.

    The file stays open, as `descriptor`, until it is discarded. `start` is the length of what stands before the data
    set in the file, `size` that of the data set, `head` its first bytes (as many as came at once, at most 64 KiB).
    """

    def __init__(self, request: StoreRequest, transfer_syntax_uid: str, path: str, most_bytes: int) -> None:
        self.request, self.transfer_syntax_uid, self.path = request, transfer_syntax_uid, path
        self._before = file_start(request, transfer_syntax_uid)
        self.start = len(self._before)
        self.most_bytes, self.size = most_bytes, 0
        self.refusal: Refusal | None = None
        self.head = b""
        self._hash = new_hash()
        self._pieces: list[memoryview] = []
        self._waiting = 0
        self._is_ours = True
        self.descriptor = -1
        try:
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        except OSError as error:
            self.refuse(disk_refuses(error))

    def digest(self) -> str:
        """That of the data set, once it is whole."""
        return value_of(self._hash)

    @property
    def is_endless(self) -> bool:
        """Whether what was thrown away is more than any sender should be waited for."""
        return self.refusal is not None and self.size > 2 * self.most_bytes

    def add(self, piece: memoryview) -> None:
        """Takes a piece; it is written before `flush` returns, and the memory may not change until then."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        if len(self._pieces) >= _MOST_PIECES:
            self.flush()

    def flush(self) -> None:
        """Writes what was added."""
        if self.size + self._waiting > self.most_bytes:
            self.refuse(Refusal(OUT_OF_RESOURCES, "the instance is larger than is taken", "too_large", keep=False))
        self.size += self._waiting
        if self.refusal is None and self._waiting:
            try:
                self._write()
            except OSError as error:
                self.refuse(disk_refuses(error))
        self._pieces.clear()
        self._waiting = 0

    def _write(self) -> None:
        for piece in self._pieces:
            self._hash.update(piece)
        total = self._waiting
        if self._before:
            self.head = _first_bytes(self._pieces, _HEAD_BYTES)
            total += len(self._before)
            self._pieces.insert(0, memoryview(self._before))
            self._before = b""
        written = os.writev(self.descriptor, self._pieces)
        if written < total:  # a disk that fills up writes what fits, and says so the next time
            rest = memoryview(b"".join(self._pieces))[written:]
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]

    def refuse(self, refusal: Refusal) -> None:
        """Gives the file up; the first reason stays."""
        self.refusal = self.refusal or refusal
        self.discard()

    def taken(self) -> None:
        """The file lies elsewhere by now."""
        self._is_ours = False

    def discard(self) -> None:
        """Closes the file, and removes it where nobody has taken it; it was never acknowledged."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)
        if self._is_ours:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _first_bytes(pieces: list[memoryview], most: int) -> bytes:
    """A copy of what the pieces begin with; mostly the first of them is enough."""
    first = bytearray()
    for piece in pieces:
        first += piece[: most - len(first)]
        if len(first) == most:
            break
    return bytes(first)


def disk_refuses(error: OSError) -> Refusal:
    """What a sender is told of a disk that takes no bytes."""
    log.error("store refused by the disk cause=%s", error.strerror)
    return Refusal(OUT_OF_RESOURCES, "the storage can't be written", "disk", keep=False)


def no_room() -> Refusal:
    """What a sender is told below the watermark."""
    return Refusal(OUT_OF_RESOURCES, "no room left on the storage", "no_room", keep=False)
