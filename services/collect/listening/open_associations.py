"""Which studies the open associations of this process have carried: such a study is not complete, however quiet."""

import logging
import threading
import time
from collections.abc import Callable, Hashable

from sqlalchemy import bindparam, update
from sqlmodel import SQLModel

from services.collect.listening.register import Desk
from shared.store import Book, utc_now
from shared.study import StudyState

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
_SAY_SECONDS = 1.0
_STUDIES = SQLModel.metadata.tables["study"]
_ACTIVE = (  # made once: putting it together costs more than running it
    update(_STUDIES)
    .where(_STUDIES.c.study_instance_uid.in_(bindparam("held", expanding=True)))
    .where(_STUDIES.c.state == StudyState.COLLECTING)
    .values(active_at=bindparam("now"))
)


class OpenAssociations:
    """Associations by any key, each with its studies; the register is told of a study before anything of it is kept."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._studies: dict[Hashable, set[str]] = {}
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, key: Hashable) -> None:
        with self._lock:
            self._studies[key] = set()

    def carry(self, key: Hashable, study_instance_uid: str) -> bool:
        """False when the association has ended."""
        with self._lock:
            if study_instance_uid not in self._held:
                self._held.add(study_instance_uid)
                self._desk.hold(study_instance_uid)
            if key in self._studies:
                self._studies[key].add(study_instance_uid)
            return key in self._studies

    def end(self, key: Hashable) -> bool:
        """False when the association was not open, or has ended before."""
        with self._lock:
            return self._studies.pop(key, None) is not None

    def current(self) -> list[Hashable]:
        with self._lock:
            return list(self._studies)

    def studies(self) -> set[str]:
        with self._lock:
            return set().union(*self._studies.values())

    def let_go(self, pending_studies: Callable[[], set[str]]) -> set[str]:
        """Tells the register of studies that no open association carries and of which no row waits; returns those that
        are held."""
        with self._lock:
            held = (
                set().union(*self._studies.values()) | pending_studies()
            )  # an association that ended has added its rows
            for study_instance_uid in held - self._held:
                self._desk.hold(study_instance_uid)
            for study_instance_uid in self._held - held:
                self._desk.let_go(study_instance_uid)
            self._held = set(held)
            return held


class Pulse:
    """Keeps the register and the book's `active_at` as the open associations are.

    The register is this machine's; the book is what a listener process goes by whose parent has died under it.
    """

    def __init__(self, book: Book, associations: OpenAssociations, pending_studies: Callable[[], set[str]]) -> None:
        self.book, self.open, self._pending_studies = book, associations, pending_studies
        self._said_at, self._waits = float("-inf"), False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            try:
                self.look()
                self._waits = False
            except Exception as error:
                if not self._waits:
                    log.warning("open associations not told of cause=%s", type(error).__name__)
                self._waits = True

    def look(self) -> None:
        """One round."""
        held = self.open.let_go(self._pending_studies)
        if not held or time.monotonic() - self._said_at < _SAY_SECONDS:
            return
        self._said_at = time.monotonic()
        with self.book.write() as session:
            session.execute(_ACTIVE, {"held": sorted(held), "now": utc_now()})
