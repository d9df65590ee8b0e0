"""Wires collect: associations in, complete studies out."""

import errno
import logging
import signal
import socket
import time
from collections.abc import Callable

from services.collect.commitment.report import Reports
from services.collect.completion import Completion
from services.collect.listening.process import STOPS
from services.collect.listening.processes import Processes
from services.collect.listening.register import EVERY_STUDY, LocalDesk, Owner, Register
from services.collect.listening.station import Station, bound_sockets, reports_of, usable_cores
from services.collect.opening import Opening
from services.collect.quiet import quiet_pydicom
from services.collect.reception import Reception
from services.collect.scp import Listener
from services.collect.settings import Settings
from services.collect.store.folder import StoreFolder
from services.collect.store.index import Index
from services.collect.store.keeper import Keeper
from services.collect.store.reconcile import Reconciler, reconcile_studies
from services.collect.store.study_files import StudyFiles
from shared import metrics
from shared.keeping.rules import Retention
from shared.keeping.sweep import Sweep
from shared.service import Service, start_service
from shared.worker import Ringer

log = logging.getLogger(__name__)

_CLEAN_SECONDS = 60.0
_MEASURE_SECONDS = 5.0
_BIND_SECONDS = 10.0


class Collect:
    """The running service: the listener processes, and the clock that completes studies. With one process the listener
    runs in this one, as `station`."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service, self.settings = service, settings
        self.folder = StoreFolder(service.core.store_dir, durable=settings.durability == "instance")
        self.register = Register(settings.most_associations, settings.most_associations_per_ae)
        files = StudyFiles(service.book, self.folder, settings.duplicates)
        self.reconciler = Reconciler(files, settings.stale_seconds)
        self.completion = Completion(service.book, settings, self.register.studies)
        self.completion.awaits = self._awaits
        self.completion.each_round = [_every(_CLEAN_SECONDS, self._clean), _every(_MEASURE_SECONDS, self._measure)]
        self.ringer = Ringer(service.bus)
        retention = service.config.section(Retention)
        self.keeper = Keeper(self.reconciler, Sweep(service.book, service.core, retention, self.folder.free_bytes))
        self.reports: Reports = reports_of(settings, service.config, service.book, self.folder)
        self.opening = Opening(
            service.book, [self.ringer.start, self.completion.start, self.reports.start, self.keeper.start]
        )
        self.count = settings.processes or usable_cores()
        self.processes: Processes | None = None
        self.station: Station | None = None
        if self.count == 1:
            desk = LocalDesk(self.register)
            self.station = Station(
                settings, service.core, service.book, desk, self.reconciler.mend_dropped, self.reports
            )

    def start(self) -> None:
        """Listens at once, with or without the database; what a crash left is mended beside that, before the study that
        it touches is complete."""
        sockets = _bound(self.settings)
        if self.station:
            self.station.start(*sockets)
        else:
            self.processes = Processes(self.count, sockets, self.register, self._mend)
            self.processes.start()
        self._sockets = sockets
        self.opening.start()
        self._measure()
        log.info("listening ae_title=%s processes=%d ports=%s", self.settings.ae_title, self.count, self.ports)

    @property
    def listener(self) -> Listener:
        """The listener, where it runs in this process."""
        assert self.station, "the listeners run in processes of their own"
        return self.station.listener

    @property
    def reception(self) -> Reception:
        """What is behind it."""
        return self.listener.reception

    @property
    def index(self) -> Index:
        """Its rows' way into the book."""
        return self.reception.index

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on: plain, and TLS where there is one."""
        return [one.getsockname()[1] for one in self._sockets]

    def stop(self) -> None:
        """Accepts no more, lets open associations end, and writes every row."""
        if self.station:
            self.station.stop()
        if self.processes:
            self.processes.stop(self.settings.stop_seconds)
        if self.opening.stop():
            self.reports.stop()
            self.completion.stop()
            self.keeper.stop()
            self.ringer.stop()

    def _awaits(self, study_instance_uid: str) -> bool:
        return EVERY_STUDY in self.register.studies() or self.reconciler.awaits(study_instance_uid)

    def _mend(self, owner: Owner) -> None:
        """What a listener process left: half-written files, and files whose rows it had still to write."""
        self._clean()
        held = self.register.studies(owner)
        if EVERY_STUDY in held:
            self.reconciler.mend_dropped()
        elif held:
            found = reconcile_studies(self.service.book, self.folder, held, self.settings.duplicates)
            log.info("mended after a listener process studies=%d indexed=%d", len(held), found.indexed)
            if found.unreadable:
                raise OSError("files of these studies can't be read")

    def _measure(self) -> None:
        metrics.STORE_LEAST_FREE_BYTES.set(self.settings.least_free_bytes)
        metrics.STORE_FREE_BYTES.set(self.folder.free_bytes())

    def _clean(self) -> None:
        self.folder.remove_stale(self.settings.stale_seconds)


def _bound(settings: Settings) -> list[socket.socket]:
    """Listener processes whose parent was killed let go of the port within a moment."""
    until = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            return bound_sockets(settings)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
            time.sleep(0.5)


def _every(seconds: float, step: Callable[[], object]) -> Callable[[], None]:
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            step()

    return maybe


def main() -> None:
    """Runs until told to stop."""
    # Blocked before any thread starts, so that none but sigwait below takes them: a handler that only sets an event
    # runs late or never when another thread gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    service = start_service("collect", migrated=False)
    quiet_pydicom()
    collect = Collect(service, service.config.section(Settings))
    collect.start()
    signal.sigwait(STOPS)
    log.info("stopping")
    collect.stop()
    service.book.close()
