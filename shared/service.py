"""What every service's `main.py` starts from: configuration, logs, the book and the doorbell."""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import InterfaceError, OperationalError

from shared.bus import Bus, celery_app
from shared.logs import start_logging
from shared.metrics_folder import METRICS_FOLDER
from shared.outage import Outage
from shared.settings import Config, Core, load_config
from shared.store import Book, open_book

log = logging.getLogger(__name__)

_WAITS = "this service waits for it and goes on by itself; is isocenter.database_url right?"


@dataclass(frozen=True)
class Service:
    """A running service's surroundings."""

    name: str
    config: Config
    core: Core
    book: Book
    app: Celery
    bus: Bus


def start_service(name: str, migrated: bool = True) -> Service:
    """Reads the configuration, starts logging and metrics, and opens the book at its newest schema. Not `migrated`: the
    caller can begin without the database, and brings it to its schema itself."""
    config = load_config()
    core = config.section(Core)
    start_logging(name, core.log_level)
    core.data_dir.mkdir(parents=True, exist_ok=True)
    book = open_book(core.database_url)
    if migrated:
        migrate_when_there(book)
    app = celery_app(core.broker_url, core.data_dir, core.broker_prefix)
    _serve_metrics()
    return Service(name, config, core, book, app, Bus(book, app, core.broker_prefix))


def _serve_metrics() -> None:
    port, host = os.environ.get("ISOCENTER_METRICS_PORT"), os.environ.get("ISOCENTER_METRICS_HOST", "127.0.0.1")
    if not port:
        return
    registry = REGISTRY
    if METRICS_FOLDER in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    start_http_server(int(port), addr=host, registry=registry)


def _told_to_stop(seconds: float) -> bool:
    if signal.sigpending() & {signal.SIGTERM, signal.SIGINT}:
        raise SystemExit(0)
    time.sleep(seconds)
    return False


def migrate_when_there(
    book: Book, pause: float = 2.0, meanwhile: str = _WAITS, told_to_stop: Callable[[float], bool] = _told_to_stop
) -> bool:
    """Brings the book to its newest schema, and waits for its database as long as that takes: a service that dies of it
    only fills the log, and is started later and later.

    Args:
        book: whose database may be away.
        pause: seconds between two attempts.
        meanwhile: what becomes of the work, for the log.
        told_to_stop: waits a pause, and says whether there is no more to be waited for.

    Returns:
        Whether it is there; false only when `told_to_stop` says so.

    Raises:
        SystemExit: it was told to stop meanwhile (where the signals to stop are blocked, to be waited for later).
    """
    outage = Outage(log, "database", meanwhile)
    while True:
        try:
            book.migrate()
            outage.over()
            return True
        except (OperationalError, InterfaceError) as error:
            outage.met(error)
        if told_to_stop(pause):
            return False
