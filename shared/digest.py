"""Digests of stored bytes, written `<algorithm>:<hex>`: a value says how it was made, so a faster algorithm can follow
without a look at what was stored before."""

import errno
import hashlib
from collections.abc import Callable
from typing import Any, Protocol

try:
    from blake3 import blake3 as _blake3
except ImportError:  # it comes ready for Linux with glibc, macOS and Windows; elsewhere it takes a Rust compiler
    blake3: Callable[[], Any] | None = None
else:
    blake3 = _blake3

ALGORITHM = "blake3" if blake3 else "sha256"
"""What new values are made by (docs/decisions/0014)."""
EARLIER = ("sha256",)
"""What values in an older store may be made by."""
MOST_CHARACTERS = 80


class Hash(Protocol):
    """A digest on its way."""

    def update(self, data: bytes | memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


def new_hash(algorithm: str = ALGORITHM) -> Hash:
    """A hash of nothing yet.

    Raises:
        OSError: this installation lacks the algorithm, so nothing can be said of bytes that have such a value.
    """
    if algorithm == "blake3" and blake3:
        return blake3()
    if algorithm == "sha256":
        return hashlib.sha256()
    raise OSError(errno.ENOSYS, f"{algorithm or 'no'} digests can't be made in this installation")


def value_of(hashed: Hash, algorithm: str = ALGORITHM) -> str:
    """The value to be kept."""
    return f"{algorithm}:{hashed.hexdigest()}"


def algorithm_of(value: str) -> str:
    """By what a value was made; empty where it does not say."""
    return value.partition(":")[0] if ":" in value else ""


def hex_of(value: str) -> str:
    """The digits of a value."""
    return value.rpartition(":")[2]
