"""What listens, stores and indexes: once in each listener process, or in the service's own."""

import gc
import os
import socket
from collections.abc import Callable

from services.collect.commitment.report import Reports
from services.collect.commitment.request import Judge
from services.collect.commitment.scp import CommitmentWire
from services.collect.listening.contexts import storage_sop_classes
from services.collect.listening.heart import Heart
from services.collect.listening.incoming_folder import IncomingFolder
from services.collect.listening.open_associations import OpenAssociations, Pulse
from services.collect.listening.register import Desk
from services.collect.quiet import quiet_pydicom
from services.collect.reception import Reception
from services.collect.scp import Listener
from services.collect.settings import Peer, Settings
from services.collect.store.folder import StoreFolder
from services.collect.store.index import Index
from services.collect.store.quarantine import QuarantineFolder
from services.collect.store.reconcile import reconcile
from shared.logs import start_logging
from shared.settings import Config, Core, load_config
from shared.store import Book, open_book


class Station:
    """A listener with its own incoming folder, its rows' way into the book, and its word on what is open."""

    def __init__(
        self, settings: Settings, core: Core, book: Book, desk: Desk, mend: Callable[[], object], reports: Reports
    ) -> None:  # fmt: skip
        self.folder = StoreFolder(core.store_dir, durable=settings.durability == "instance")
        self.incoming = IncomingFolder(self.folder.incoming)
        self.index = Index(book, settings.most_pending_rows, settings.duplicates)
        self.index.mend = mend
        self.open = OpenAssociations(desk)
        quarantine = QuarantineFolder(core.quarantine_dir, self.index, settings.least_free_bytes)
        self.reception = Reception(settings, self.folder, quarantine, self.index, self.open)
        commitment = CommitmentWire(book, reports, settings.commitment, settings.commitment_same_association_seconds)
        self.listener = Listener(settings, self.reception, self.open, desk, self.incoming, commitment)
        self.pulse = Pulse(book, self.open, self.index.pending_studies)

    def start(self, plain: socket.socket, secured: socket.socket | None = None) -> None:
        """Listens on sockets that are bound already."""
        self.index.start()
        self.pulse.start()
        self.listener.start(plain, secured)

    def stop(self) -> None:
        """Accepts no more, lets open associations end, and writes every row."""
        self.listener.stop()
        self.index.stop()
        self.pulse.stop()
        self.open.let_go(self.index.pending_studies)
        self.incoming.close()


def run_station(desk: Desk, sockets: list[socket.socket], heart: Heart, until: Callable[[], object]) -> None:
    """A listener process' life: listens until `until` returns."""
    config = load_config()
    core, settings = config.section(Core), config.section(Settings)
    start_logging("collect", core.log_level)
    quiet_pydicom()
    book = open_book(core.database_url)
    folder = StoreFolder(core.store_dir)

    def mend() -> None:
        reconcile(book, folder, settings.stale_seconds, settings.duplicates)

    station = Station(settings, core, book, desk, mend, reports_of(settings, config, book, folder))
    station.start(*sockets)
    heart.works = station.listener.works
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    until()
    station.stop()
    book.close()


def reports_of(settings: Settings, config: Config, book: Book, folder: StoreFolder) -> Reports:
    """The stage that answers storage commitment requests."""
    sop_classes = storage_sop_classes() | set(settings.private_sop_classes)
    judge = Judge(book, folder, sop_classes, durable=settings.durability == "instance")

    def address_of(ae_title: str) -> Peer | None:
        return settings.address_of(ae_title, config.destinations)

    return Reports(book, judge, address_of, settings.ae_title, settings.commitment_attempts)


def bound_sockets(settings: Settings) -> list[socket.socket]:
    """The port, and the TLS port where there is one; bound once, for all processes. The first that is ready listens.

    Raises:
        OSError: an address is taken or not ours.
    """
    ports = [settings.port] + ([settings.tls_port] if settings.tls_port is not None else [])
    return [_bound(settings.host, port) for port in ports]


def _bound(host: str, port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
