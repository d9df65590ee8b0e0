"""Quarantine: bytes that came in and could not be used are kept with the reason, and nothing else is disturbed."""

import hashlib
import logging
import os
from datetime import datetime
from pathlib import Path

from services.collect.store.index import Index
from shared import metrics
from shared.store import Quarantine, utc_now

log = logging.getLogger(__name__)


class QuarantineFolder:
    """`<root>/dicom/<year-month>/<digest>`: a sender that repeats the same bytes for ever fills no disk, and of what
    nobody has acknowledged nothing takes the last `least_free_bytes` of it."""

    def __init__(self, root: Path, index: Index, least_free_bytes: int = 0) -> None:
        self.root, self.index, self.least_free_bytes = root, index, least_free_bytes

    def keep_file(self, received: Path, peer: str, reason: str, cause: str) -> None:
        """Moves a received file into quarantine.

        Raises:
            OSError: the disk refuses; the file is left where it is.
        """
        with received.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        place = self._place(digest, ".dcm")
        known = place.exists()
        received.replace(place)
        self._note(place, known, peer, reason, cause)

    def keep_bytes(self, data: bytes, peer: str, reason: str, cause: str) -> None:
        """Writes bytes that are no DICOM message into quarantine; without room for them only their reason is told.

        Raises:
            OSError: the disk refuses.
        """
        place = self._place(hashlib.sha256(data).hexdigest(), ".bin")
        known = place.exists()
        if not known and self._room(place.parent) <= len(data):
            metrics.QUARANTINED.labels("dicom", cause).inc()
            log.warning("not kept, no room left on the disk cause=%s peer=%s reason=%s", cause, peer, reason)
            return
        place.write_bytes(data)
        self._note(place, known, peer, reason, cause)

    def _room(self, folder: Path) -> int:
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize - self.least_free_bytes

    def _place(self, digest: str, suffix: str) -> Path:
        now: datetime = utc_now()
        folder = self.root / "dicom" / f"{now:%Y-%m}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{digest[:32]}{suffix}"

    def _note(self, place: Path, known: bool, peer: str, reason: str, cause: str) -> None:
        metrics.QUARANTINED.labels("dicom", cause).inc()
        path = place.relative_to(self.root).as_posix()
        log.warning("quarantined cause=%s peer=%s path=%s reason=%s", cause, peer, path, reason)
        if not known:
            row = Quarantine(source="dicom", peer=peer[:64], reason=reason, path=path, size=place.stat().st_size)
            self.index.add(row)
