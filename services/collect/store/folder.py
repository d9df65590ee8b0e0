"""The store's folder: bytes go in once, whole, durable, and never over others."""

import errno
import os
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from services.collect.handlers import StoredInstance, place_beside
from services.collect.listening.incoming_folder import remove_abandoned
from shared.digest import ALGORITHM, EARLIER, algorithm_of, new_hash, value_of
from shared.durable import sync_file, sync_folder

INCOMING = ".incoming"
_CHUNK = 2**20
_DIGITS = (8, 16)
_MOST_SYNCED = 10000  # folders that are known to be on the disk


class Kept(StrEnum):
    """What became of bytes that were put into the store."""

    NEW = "new"
    KNOWN = "known"  # the same bytes lie there
    BESIDE = "beside"  # other bytes lie there under the same UID; these lie beside them
    REFUSED = "refused"  # other bytes lie there under the same UID; these were not kept


class StoreFolder:
    """`<root>/<study>/<series>/<sop>.dcm`, filled from `<root>/.incoming`."""

    def __init__(self, root: Path, durable: bool = True) -> None:
        self.root, self.durable = root, durable
        self._root = str(root)  # what each instance passes through knows paths as text: objects of them cost it 0.1 ms
        self.incoming = root / INCOMING
        self.incoming.mkdir(parents=True, exist_ok=True)
        self._synced: set[str] = set()

    def free_bytes(self) -> int:
        """Room that is left on the store's disk."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def keep(
        self, received: str | Path, place: str, digest: str, beside: bool = True, descriptor: int | None = None
    ) -> tuple[Kept, str]:
        """Moves a received file to its place; when durable, it is on the disk before this returns.

        A hard link appears whole or not at all and never replaces a file, so two associations that bring the same UID
        at once, in whatever processes, can't overwrite each other.

        Args:
            received: the file, on the same file system.
            place: where it belongs.
            digest: `data_set_digest` of the file.
            beside: whether other bytes than those that lie there are kept too; if not, `received` is left.
            descriptor: of the file, where it is open still.

        Raises:
            OSError: the disk refuses; `received` is left.
        """
        if self.durable:
            if descriptor is None:
                sync_file(received)
            else:
                os.fsync(descriptor)
        kept = Kept.NEW
        if not self._link(received, place):
            if self._holds(place, digest):
                kept = Kept.KNOWN
            elif where := self._lies_beside(received, place, digest):
                place, kept = where, Kept.BESIDE
            elif beside:
                place, kept = self._keep_beside(received, place, digest), Kept.BESIDE
            else:
                return Kept.REFUSED, place_beside(place, digest)
        os.unlink(received)
        return kept, place

    def _holds(self, place: str, digest: str) -> bool:
        """Whether these bytes lie there, whole: a power cut may have left half of them where no sync was waited for."""
        there = self.root / place
        if not there.is_file():  # reading a pipe would never end
            return False
        if data_set_digest(there, algorithm_of(digest)) != digest:
            return False
        if self.durable:  # it may have come under settings that did not wait for the disk
            sync_file(there)
        return True

    def _lies_beside(self, received: str | Path, place: str, digest: str) -> str:
        """Where these bytes lie beside others already, under a name that any algorithm gave them; or nothing."""
        earlier = [data_set_digest(Path(received), one) for one in EARLIER if one != algorithm_of(digest)]
        names = (place_beside(place, value, digits) for value in (digest, *earlier) for digits in _DIGITS)
        return next((name for name in names if self._holds(name, digest)), "")

    def _keep_beside(self, received: str | Path, place: str, digest: str) -> str:
        for digits in _DIGITS:
            where = place_beside(place, digest, digits)
            if self._link(received, where) or self._holds(where, digest):
                return where
        raise OSError(errno.EEXIST, "other bytes have the names that these would have")

    def _link(self, received: str | Path, place: str) -> bool:
        target = f"{self._root}/{place}"
        folder = target.rpartition("/")[0]
        try:
            linked = _link(received, target)
        except FileNotFoundError:  # there is no such folder yet, or not any more
            os.makedirs(folder, exist_ok=True)
            self._synced.discard(folder)
            linked = _link(received, target)
        if self.durable:
            self._sync_entry(folder)
        return linked

    def _sync_entry(self, folder: str) -> None:
        """Whoever made the folders may not have come to force them to the disk: the first file in one does."""
        sync_folder(folder)
        if folder not in self._synced:
            sync_folder(os.path.dirname(folder))
            sync_folder(self._root)
            if len(self._synced) >= _MOST_SYNCED:
                self._synced.clear()
            self._synced.add(folder)

    def sync(self, places: list[str]) -> None:
        """Forces files that were kept without durability, and their folders, to the disk."""
        folders: set[Path] = set()
        for place in places:
            path = self.root / place
            sync_file(path)
            folders |= {path.parent, path.parent.parent, self.root}
        for folder in folders:
            sync_folder(folder)

    def remove_stale(self, older_than_seconds: float, remove: bool = True) -> int:
        """Removes half-written files that nobody writes any more. Returns how many; without `remove`, of those that lie
        beside the processes' own folders."""
        if remove:
            return remove_abandoned(self.incoming, older_than_seconds)
        limit = time.time() - older_than_seconds
        return sum(path.is_file() and path.stat().st_mtime < limit for path in self.incoming.iterdir())


def _link(received: str | Path, target: str) -> bool:
    try:
        os.link(received, target)
    except FileExistsError:
        return False
    return True


def data_set_digest(path: Path, algorithm: str = ALGORITHM, offset: int | None = None) -> str:
    """The digest of the data set as received: from `offset`, or from where the File Meta Information ends.

    Raises:
        OSError: the file can't be read, or the algorithm is not to be had here.
    """
    hashed = new_hash(algorithm)
    with path.open("rb") as file:
        file.seek(_meta_end(file.read(144)) if offset is None else offset)
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return value_of(hashed, algorithm)


def comparable(one: StoredInstance, digest: str) -> StoredInstance:
    """The instance with a digest by the algorithm of another's, so that the two tell whether the bytes are the same.

    Its file is read again where its own was made by another one. What can't be read is told as other bytes."""
    algorithm = algorithm_of(digest)
    if not algorithm or algorithm == algorithm_of(one.digest) or one.root is None:
        return one
    try:
        return replace(one, digest=data_set_digest(one.root / one.path, algorithm))
    except OSError:
        return one


def _meta_end(start: bytes) -> int:
    """PS3.10 7.1: (0002,0000) says how long the File Meta Information is; a file of ours always has it."""
    if start[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        return 0
    return 144 + int.from_bytes(start[140:144], "little")
