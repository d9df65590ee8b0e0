"""A received file → the store or quarantine: the contract behind each C-STORE answer, whatever listener speaks it."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable
from pathlib import Path

from services.collect.handlers import (
    CANNOT_UNDERSTAND,
    DUPLICATE_SOP_INSTANCE,
    Refusal,
    StoredInstance,
    judge,
    place,
)
from services.collect.listening.incoming import Incoming, disk_refuses, no_room
from services.collect.listening.open_associations import OpenAssociations
from services.collect.settings import Settings
from services.collect.store.folder import Kept, StoreFolder
from services.collect.store.index import Index
from services.collect.store.quarantine import QuarantineFolder
from shared.dicom.header import Header, read_header, scan_header
from shared.dicom.problems import UnreadableInstance
from shared.outage import Outage
from shared.own_results import is_own_result
from shared.store import utc_now

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2  # the disk is asked this often; least_free_bytes is far more than comes in between


class Reception:
    """Judges, files and indexes received files."""

    def __init__(
        self, settings: Settings, folder: StoreFolder, quarantine: QuarantineFolder, index: Index,
        open_associations: OpenAssociations,
    ) -> None:  # fmt: skip
        self.settings, self.folder, self.quarantine, self.index = settings, folder, quarantine, index
        self.open = open_associations
        self._unsynced: dict[Hashable, list[str]] = defaultdict(list)
        self._full = Outage(log, "room on the store's disk", "associations are rejected and images refused: make room,")
        self._beside: dict[Hashable, Counter[str]] = defaultdict(Counter)
        self._lock = threading.Lock()
        self._free_bytes, self._looked_at = 0, float("-inf")

    def room(self) -> int:
        """Bytes that may still be written; none or less: no more is taken, which is said once, and not at each sender
        that tries again."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._free_bytes, self._looked_at = self.folder.free_bytes(), now
        room = self._free_bytes - self.settings.least_free_bytes
        if room <= 0:
            self._full.met("less free than collect.least_free_bytes")
        elif room > self.settings.least_free_bytes // 20:  # not at each file that comes and goes about the mark
            self._full.over()
        return room

    def store(self, incoming: Incoming, peer: str, association: Hashable) -> StoredInstance:
        """Files one received Part 10 file; when this returns, success may be answered.

        Args:
            incoming: the file, whole; it is moved or removed.
            peer: the calling AE title.
            association: what `association_ended` will be called with.

        Raises:
            Refusal: the instance is not stored; the status to answer with. What could not be used is in quarantine.
        """
        try:
            return self._store(incoming, peer, association)
        except Refusal as refusal:
            if refusal.keep:
                self._keep_apart(Path(incoming.path), peer, refusal)
            raise
        except OSError as error:
            raise disk_refuses(error) from error
        finally:
            incoming.discard()

    def _store(self, incoming: Incoming, peer: str, association: Hashable) -> StoredInstance:
        if incoming.refusal:
            raise incoming.refusal
        if self.room() <= 0:
            raise no_room()
        header = self._header(incoming)
        judge(header, incoming.request.sop_class_uid, incoming.request.sop_instance_uid)
        is_open = self.open.carry(association, header.study_instance_uid)  # before any of it can be looked at
        digest = incoming.digest()
        kept, where = self.folder.keep(
            incoming.path, place(header), digest, self._keeps_others(header), incoming.descriptor
        )
        if kept is Kept.REFUSED:
            raise Refusal(DUPLICATE_SOP_INSTANCE, "other bytes are stored under this SOPInstanceUID", "duplicate")
        incoming.taken()
        size = incoming.start + incoming.size
        known, root = kept is Kept.KNOWN, self.folder.root
        stored = StoredInstance(header, where, size, digest, utc_now(), peer, known, root)
        self._count(stored, kept, association)
        self.index.add(stored)
        if not is_open:  # it was aborted at stop, before this answer
            self.association_ended(association)
        return stored

    def _header(self, incoming: Incoming) -> Header:
        """From the bytes that are at hand, where these are in order; else from the file, which tells what is not."""
        header = scan_header(incoming.head, incoming.size, incoming.transfer_syntax_uid, incoming.start)
        if header is not None:
            return header
        try:
            return read_header(Path(incoming.path))
        except UnreadableInstance as error:
            raise Refusal(CANNOT_UNDERSTAND, error.reason, "unreadable") from error

    def _keeps_others(self, header: Header) -> bool:
        """A result of ours that a PACS has changed on its way back is no mistake of the PACS': it is never refused."""
        return self.settings.duplicates != "refuse" or is_own_result(header.attributes)

    def _count(self, stored: StoredInstance, kept: Kept, association: Hashable) -> None:
        if kept is Kept.BESIDE:
            self._beside[association][stored.header.study_instance_uid] += 1
        if self.settings.durability == "association":  # known bytes too: who brought them may not have come to it
            with self._lock:
                self._unsynced[association].append(stored.path)

    def _keep_apart(self, received: Path, peer: str, refusal: Refusal) -> None:
        try:
            self.quarantine.keep_file(received, peer, refusal.comment, refusal.cause)
        except OSError as error:
            log.error("quarantine refused by the disk cause=%s peer=%s", error.strerror, peer)

    def association_ended(self, association: Hashable) -> bool:
        """Makes durable what the association brought, where that was put off until now, and has its rows written.

        False: the disk refuses, and what was answered with success may be lost in a power cut.
        """
        with self._lock:
            places = self._unsynced.pop(association, [])
            beside = self._beside.pop(association, Counter())
        for study_instance_uid, count in beside.items():
            log.warning(
                "other bytes under known UIDs kept beside count=%d study_instance_uid=%s", count, study_instance_uid
            )
        try:
            self.folder.sync(places)
        except OSError as error:
            log.error("instances not made durable count=%d cause=%s", len(places), error.strerror)
            return False
        finally:
            self.index.flush_soon()
        return True
