"""The store's folder: bytes go in once, whole, durable, and never over others."""

import hashlib
import os
import time
from enum import StrEnum
from pathlib import Path, PurePosixPath

from services.collect.handlers import place_beside
from shared.durable import sync_file, sync_folder

INCOMING = ".incoming"
_CHUNK = 2**20


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
        self.incoming = root / INCOMING
        self.incoming.mkdir(parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        """Room that is left on the store's disk."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def keep(
        self, received: Path, place: PurePosixPath, digest: str, beside: bool = True
    ) -> tuple[Kept, PurePosixPath]:
        """Moves a received file to its place; when durable, it is on the disk before this returns.

        A hard link appears whole or not at all and never replaces a file, so two associations that bring the same UID
        at once, in whatever processes, can't overwrite each other.

        Args:
            received: the file, on the same file system.
            place: where it belongs.
            digest: `data_set_sha256` of the file.
            beside: whether other bytes than those that lie there are kept too; if not, `received` is left.

        Raises:
            OSError: the disk refuses; `received` is left.
        """
        if self.durable:
            sync_file(received)
        kept = Kept.NEW
        if not self._link(received, place):
            if data_set_sha256(self.root / place) == digest:
                kept = Kept.KNOWN
            else:
                place, kept = place_beside(place, digest), Kept.BESIDE
                if not beside and not (self.root / place).exists():
                    return Kept.REFUSED, place
                self._link(received, place)
        received.unlink()
        return kept, place

    def _link(self, received: Path, place: PurePosixPath) -> bool:
        target = self.root / place
        made = self._make_folders(target.parent)
        try:
            os.link(received, target)
        except FileExistsError:
            linked = False
        except FileNotFoundError:  # retention has removed the folder, which was empty
            made += self._make_folders(target.parent)
            os.link(received, target)
            linked = True
        else:
            linked = True
        if self.durable:
            for folder in (target.parent, *made):
                sync_folder(folder)
        return linked

    def _make_folders(self, folder: Path) -> list[Path]:
        """Makes the series' folder; returns the folders in which a new entry has to be made durable."""
        changed = [p.parent for p in (folder, folder.parent) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        return changed

    def sync(self, places: list[str]) -> None:
        """Forces files that were kept without durability, and their folders, to the disk."""
        folders: set[Path] = set()
        for place in places:
            path = self.root / place
            sync_file(path)
            folders |= {path.parent, path.parent.parent, self.root}
        for folder in folders:
            sync_folder(folder)

    def remove_stale(self, older_than_seconds: float) -> int:
        """Removes half-written files that nobody writes any more; they were never acknowledged. Returns how many."""
        count, limit = 0, time.time() - older_than_seconds
        for path in self.incoming.iterdir():
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
                    count += 1
            except FileNotFoundError:
                continue
        return count


def data_set_sha256(path: Path, offset: int | None = None) -> str:
    """The digest of the data set as received: from `offset`, or from where the File Meta Information ends."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(_meta_end(file.read(144)) if offset is None else offset)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _meta_end(start: bytes) -> int:
    """PS3.10 7.1: (0002,0000) says how long the File Meta Information is; a file of ours always has it."""
    if start[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        return 0
    return 144 + int.from_bytes(start[140:144], "little")
