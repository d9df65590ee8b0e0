"""Wires collect: associations in, complete studies out."""

import logging
import signal
import time
import warnings
from collections.abc import Callable

from pydicom import config as pydicom_config

from services.collect.commitment import Judge
from services.collect.commitment_report import Reports
from services.collect.commitment_scp import CommitmentWire
from services.collect.completion import Completion
from services.collect.contexts import storage_sop_classes
from services.collect.folder import StoreFolder
from services.collect.index import Index
from services.collect.keeper import Keeper
from services.collect.open_associations import OpenAssociations
from services.collect.quarantine import QuarantineFolder
from services.collect.reception import Reception
from services.collect.reconcile import reconcile
from services.collect.scp import Listener
from services.collect.settings import Peer, Settings
from shared import metrics
from shared.keeping.rules import Retention
from shared.keeping.sweep import Sweep
from shared.service import Service, start_service
from shared.worker import Ringer

log = logging.getLogger(__name__)

_CLEAN_SECONDS = 60.0
_STOPS = (signal.SIGTERM, signal.SIGINT)


class Collect:
    """The running service: a listener, the index that writes its rows, and the clock that completes studies."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service, self.settings = service, settings
        self.stale_seconds = 2 * settings.network_timeout_seconds  # an open association writes or is aborted by then
        self.folder = StoreFolder(service.core.store_dir, durable=settings.durability == "instance")
        self.index = Index(service.book, settings.most_pending_rows, settings.duplicates)
        self.index.mend = self.reconcile
        open_associations = OpenAssociations()
        quarantine = QuarantineFolder(service.core.quarantine_dir, self.index)
        self.reception = Reception(settings, self.folder, quarantine, self.index)
        self.reports = self._reports()
        seconds = settings.commitment_same_association_seconds
        commitment = CommitmentWire(service.book, self.reports, settings.commitment, seconds)
        self.listener = Listener(settings, self.reception, open_associations, commitment)
        self.completion = Completion(service.book, settings, self.index, open_associations)
        self.completion.each_round = [_every(_CLEAN_SECONDS, self._clean)]
        self.ringer = Ringer(service.bus)
        retention = service.config.section(Retention)
        self.keeper = Keeper(Sweep(service.book, service.core, retention, self.folder.free_bytes))

    def start(self) -> None:
        """Mends what a crash left, then listens."""
        self.ringer.start()
        self.reconcile()
        self.index.start()
        self.listener.start()
        self.completion.start()
        self.reports.start()
        self.keeper.start()
        metrics.STORE_LEAST_FREE_BYTES.set(self.settings.least_free_bytes)
        metrics.STORE_FREE_BYTES.set_function(self.folder.free_bytes)

    def stop(self) -> None:
        """Accepts no more, lets open associations end, and writes every row."""
        self.listener.stop()
        self.reports.stop()
        self.completion.stop()
        self.keeper.stop()
        self.index.stop()
        self.ringer.stop()

    def _reports(self) -> Reports:
        settings, destinations = self.settings, self.service.config.destinations
        judge = Judge(self.service.book, self.folder, storage_sop_classes() | set(settings.private_sop_classes))

        def address_of(ae_title: str) -> Peer | None:
            return settings.address_of(ae_title, destinations)

        return Reports(self.service.book, judge, address_of, settings.ae_title, settings.commitment_attempts)

    def reconcile(self) -> None:
        reconcile(self.service.book, self.folder, self.stale_seconds, self.settings.duplicates)

    def _clean(self) -> None:
        self.folder.remove_stale(self.stale_seconds)


def _every(seconds: float, step: Callable[[], object]) -> Callable[[], None]:
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            step()

    return maybe


def quiet_pydicom() -> None:
    """pydicom's warnings quote values, which may name a patient; collect judges values itself."""
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom\.")


def main() -> None:
    """Runs until told to stop."""
    # Blocked before any thread starts, so that none but sigwait below takes them: a handler that only sets an event
    # runs late or never when another thread gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    service = start_service("collect")
    quiet_pydicom()
    collect = Collect(service, service.config.section(Settings))
    collect.start()
    signal.sigwait(_STOPS)
    log.info("stopping")
    collect.stop()
    service.book.close()
