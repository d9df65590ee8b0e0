"""Opens a package's circuit when its model keeps failing or Triton dies of it, and closes it with the first answer."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from shared.guard.settings import Guard
from shared.guard.suspects import in_flight
from shared.packages.folder import Package
from shared.rows import Nonsense
from shared.serving import ModelRefused, Models, ModelUnavailable, ServerAway
from shared.stage import Retry
from shared.store import Book
from shared.store.circuits import ALONE, QUARANTINED, Circuit
from shared.store.clock import database_now

log = logging.getLogger(__name__)

DEATHS = 2
"""So often Triton may die while only one package is asked, before that is quarantined."""
AGAIN = timedelta(seconds=1)


@dataclass(frozen=True)
class Circuits:
    """The circuits of all packages, as gate and infer tell of them; Rooms keeps their runs waiting."""

    book: Book
    models: Models
    settings: Guard

    @contextmanager
    def asking(self, package: Package) -> Iterator[None]:
        """Around all that one piece of work asks of a package's model. A server that is away as a whole is no fault of
        the package's, unless it goes whenever this one is asked.

        Raises:
            Retry: the model does not answer now, or is to be tried alone and is not.
        """
        alone = self._is_tried_alone(package)
        try:
            yield
        except ModelUnavailable as error:
            after = None
            if self.models.live():
                after = self._failed(package, str(error))
            elif not isinstance(error, ServerAway):
                self._died(package, alone)
            raise Retry(f"{package.name} does not answer: {error}", after) from error
        except Nonsense as error:
            if not package.is_gate:  # studies wait for gates: a gate that fails says what its manifest says
                self._spoke_nonsense(package, str(error))
            raise
        except ModelRefused:
            self._answered(package)
            raise
        self._answered(package)

    def _is_tried_alone(self, package: Package) -> bool:
        """Whether it is suspect, and Triton, which lives, is asked for nothing else until it has answered.

        Raises:
            Retry: it is suspect, and was taken up before anybody knew.
        """
        with self.book.read() as session:
            circuit = session.get(Circuit, (package.name, package.version))
            if circuit is None or not circuit.deaths:
                return False
            alone = not circuit.is_quarantined and in_flight(session) <= 1
        if not alone or not self.models.live():
            raise Retry(f"{package.name} {ALONE}", AGAIN * random.uniform(0.5, 1.5), counts=False)
        return True

    def _died(self, package: Package, alone: bool) -> None:
        """Triton went while the package was being asked: among others, it is suspect; alone so often, quarantined."""
        with self.book.write() as session:
            circuit = _circuit(session, package)
            if circuit.deaths and not alone:
                return  # one death, and several of its runs in hand
            circuit.deaths += 1
            circuit.reason = f"Triton died while {package.name} was being asked"
            if circuit.deaths > DEATHS:
                circuit.reason = f"Triton died twice while only {package.name} was being asked"
                circuit.open_until = QUARANTINED
                log.error("quarantined, its runs wait package=%s version=%s", package.name, package.version)
            session.add(circuit)
        log.error("triton died while it was asked package=%s alone=%s", package.name, alone)

    def _failed(self, package: Package, reason: str) -> timedelta | None:
        """Counts a failure; how long this piece of work waits, where its package is left alone now: a little longer, so
        that another tries first, and one that no model could bear does not stand for all."""
        with self.book.write() as session:
            circuit = _circuit(session, package)
            now = database_now(session)
            if circuit.open_until is None or circuit.open_until <= now:  # else it was in hand when the circuit opened
                circuit.failures, circuit.reason = circuit.failures + 1, reason
                circuit.deaths = 0  # Triton has outlived it
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
            circuit.nonsense, circuit.reason, circuit.deaths = circuit.nonsense + 1, reason, 0
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
            if circuit is None or circuit.is_quarantined or not circuit.times:
                return
        with self.book.write() as session:
            circuit = session.get_one(Circuit, key, with_for_update=True)
            if circuit.is_quarantined:
                return
            if circuit.open_until is not None:
                log.info("answers again, and its runs go on package=%s", package.name)
            circuit.close()
            session.add(circuit)


def _circuit(session: Session, package: Package) -> Circuit:
    """The package's row, made where there is none, and locked."""
    key = {"package": package.name, "version": package.version}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Circuit).values(**key, failures=0, nonsense=0, deaths=0, reason="").on_conflict_do_nothing())
    return session.get_one(Circuit, tuple(key.values()), with_for_update=True)
