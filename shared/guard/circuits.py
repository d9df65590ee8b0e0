"""Opens a package's circuit when its model keeps failing, and closes it with the first answer."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from shared.guard.settings import Guard
from shared.packages.folder import Package
from shared.rows import Nonsense
from shared.serving import ModelRefused, Models, ModelUnavailable
from shared.stage import Retry
from shared.store import Book
from shared.store.circuits import QUARANTINED, Circuit
from shared.store.clock import database_now

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Circuits:
    """The circuits of all packages, as gate and infer tell of them; Rooms keeps their runs waiting."""

    book: Book
    models: Models
    settings: Guard

    @contextmanager
    def asking(self, package: Package) -> Iterator[None]:
        """Around all that one piece of work asks of a package's model. A server that is away as a whole is no fault of
        the package's.

        Raises:
            Retry: the model does not answer now.
        """
        try:
            yield
        except ModelUnavailable as error:
            after = self._failed(package, str(error)) if self.models.live() else None
            raise Retry(f"{package.name} does not answer: {error}", after) from error
        except Nonsense as error:
            if not package.is_gate:  # studies wait for gates: a gate that fails says what its manifest says
                self._spoke_nonsense(package, str(error))
            raise
        except ModelRefused:
            self._answered(package)
            raise
        self._answered(package)

    def _failed(self, package: Package, reason: str) -> timedelta | None:
        """Counts a failure; how long this piece of work waits, where its package is left alone now: a little longer, so
        that another tries first, and one that no model could bear does not stand for all."""
        with self.book.write() as session:
            circuit = _circuit(session, package)
            now = database_now(session)
            if circuit.open_until is None or circuit.open_until <= now:  # else it was in hand when the circuit opened
                circuit.failures, circuit.reason = circuit.failures + 1, reason
                circuit.open_until = self._open_until(circuit.failures, now)
                session.add(circuit)
        if circuit.open_until is None:
            return None
        pause = circuit.open_until - now
        log.error(
            "its runs wait package=%s failures=%d seconds=%g", package.name, circuit.failures, pause.total_seconds()
        )
        return pause * random.uniform(1.1, 1.5)

    def _spoke_nonsense(self, package: Package, reason: str) -> None:
        """Counts it; so many in a row are no matter of one odd image, and its runs wait until a person lifts it."""
        with self.book.write() as session:
            circuit = _circuit(session, package)
            circuit.nonsense, circuit.reason = circuit.nonsense + 1, reason
            if circuit.nonsense >= self.settings.nonsense:
                circuit.open_until = QUARANTINED
                log.error("quarantined, its runs wait package=%s version=%s", package.name, package.version)
            session.add(circuit)

    def _open_until(self, failures: int, now: datetime) -> datetime | None:
        beyond = failures - self.settings.failures
        if beyond < 0:
            return None
        seconds = self.settings.first_pause_seconds * 2.0 ** min(beyond, 30)
        return now + timedelta(seconds=min(seconds, self.settings.longest_pause_seconds))

    def _answered(self, package: Package) -> None:
        key = (package.name, package.version)
        with self.book.read() as session:
            circuit = session.get(Circuit, key)
            if circuit is None or circuit.is_quarantined or not (circuit.failures or circuit.nonsense):
                return
        with self.book.write() as session:
            circuit = session.get_one(Circuit, key, with_for_update=True)
            if circuit.is_quarantined:
                return
            if circuit.open_until is not None:
                log.info("answers again, and its runs go on package=%s", package.name)
            circuit.failures, circuit.nonsense, circuit.open_until, circuit.reason = 0, 0, None, ""
            session.add(circuit)


def _circuit(session: Session, package: Package) -> Circuit:
    """The package's row, made where there is none, and locked."""
    key = {"package": package.name, "version": package.version}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Circuit).values(**key, failures=0, nonsense=0, reason="").on_conflict_do_nothing())
    return session.get_one(Circuit, tuple(key.values()), with_for_update=True)
