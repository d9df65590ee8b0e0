"""Reads shadows while no run waits: the same images through another version, for nothing but to be compared."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import exists, not_
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col

from services.infer.flags import NothingFlagged
from services.infer.settings import Settings
from services.infer.work import Reader
from shared.findings import ArrayFile, dump_findings
from shared.guard.rooms import SHADOWS, Rooms
from shared.stage import GiveUp, Save, Stage
from shared.store import Run, ShadowRun
from shared.store.circuits import Circuit
from shared.store.clock import database_now
from shared.store.moves import Row, move
from shared.study import RunState, ShadowEvent, ShadowState
from shared.versions.shadows import differ
from shared.worker import SWEEP_SECONDS, Hands

MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Shadows:
    """The stage's work on one shadow."""

    reader: Reader

    def work(self, shadow_id: str) -> Save:
        """Reads what its run has read.

        Raises:
            Retry, GiveUp: as of a run; the shadow alone ends by it.
        """
        with self.reader.book.read() as session:
            shadow = session.get(ShadowRun, shadow_id)
        if shadow is None:
            raise GiveUp("the shadow is not in the book")
        package = self.reader.package(shadow.package, shadow.version)
        run, instances = self.reader.read_book(shadow.run_id)
        try:
            findings = dump_findings(self.reader.findings(package, run, instances, unkept))
        except NothingFlagged as left:
            raise GiveUp(str(left)) from None

        def save(session: Session, row: Row) -> None:
            assert isinstance(row, ShadowRun)
            row.findings = findings
            row.differs = differ(session.get_one(Run, row.run_id).findings, findings)
            move(session, row, ShadowEvent.READ, "says otherwise than the run" if row.differs else "")

        return save


def unkept(name: str, array: NDArray[Any]) -> ArrayFile:
    """For arrays that findings name: nobody is shown a shadow's, and they are not compared."""
    return ArrayFile(path=name, digest="", shape=array.shape, dtype=str(array.dtype))


def no_run_waits(session: Session) -> list[ColumnElement[bool]]:
    """For the stage's `within`: every shadow while no run is or can be read, else none. Runs of a package that is left
    alone or quarantined can't be."""
    alone = exists().where(
        col(Circuit.package) == col(Run.package), col(Circuit.version) == col(Run.version),
        col(Circuit.open_until) > database_now(session),
    )  # fmt: skip
    return [not_(exists().where(col(Run.state) == RunState.READY, not_(alone)))]


def shadow_stage(reader: Reader, only: Callable[[], list[ColumnElement[bool]]], settings: Settings) -> Stage:
    """The stage; nobody rings it."""
    patience = {**settings.patience, "most_attempts": MOST_ATTEMPTS}
    work, rooms = Shadows(reader).work, Rooms(SHADOWS, settings.patience["lease"], reader.packages)

    def within(session: Session) -> list[ColumnElement[bool]]:
        return [*no_run_waits(session), *rooms.within(session)]

    return Stage("shadow", ShadowRun, (ShadowState.WAITING,), work, only=only, within=within, **patience)


def start_shadows(reader: Reader, only: Callable[[], list[ColumnElement[bool]]], settings: Settings) -> threading.Event:
    """Has a thread of its own look every second, until the event that is returned is set."""
    hands, stop = Hands(reader.book, shadow_stage(reader, only, settings), 1), threading.Event()

    def look() -> None:
        while not stop.wait(SWEEP_SECONDS):
            hands.answer()

    threading.Thread(target=look, name="shadows", daemon=True).start()
    return stop
