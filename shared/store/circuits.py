"""The circuit of a package: open while its model does not answer, so that its runs wait instead of each trying it.

In the book, so that every worker of gate and infer, on every host, sees what one has found out, and so does the page.
"""

from datetime import datetime

from sqlalchemy import Column, Text
from sqlmodel import Field, Session, SQLModel, col, select

from shared.store.tables import Run, UtcDateTime
from shared.study import RunState

Key = tuple[str, str]
"""A package's name and version."""


class Circuit(SQLModel, table=True):
    """How a package (version) has answered of late; one without a row has never failed."""

    package: str = Field(primary_key=True, max_length=64)
    version: str = Field(primary_key=True, max_length=32)
    failures: int = 0  # in a row: no answer in time, or not there while its server is
    open_until: datetime | None = Field(default=None, sa_type=UtcDateTime)  # after it, one at a time may try
    reason: str = Field(default="", sa_column=Column(Text))  # of the last failure

    @property
    def key(self) -> Key:
        return self.package, self.version


def open_circuits(session: Session) -> dict[Key, Circuit]:
    """Those that are open, or let one at a time try."""
    rows = session.exec(select(Circuit).where(col(Circuit.open_until).is_not(None)))
    return {circuit.key: circuit for circuit in rows}


def why_it_waits(run: Run, circuits: dict[Key, Circuit]) -> str:
    """Why nothing is tried of a run that waits to be read, or to be judged by; empty where something is."""
    waits = RunState.WAITING if run.kind == "gate" else RunState.READY
    circuit = circuits.get((run.package, run.version))
    if circuit is None or circuit.open_until is None or run.state != waits:
        return ""
    times = f"{circuit.failures} times in a row"
    return f"{run.package} waits, since its model failed {times}: {circuit.reason}; it is tried from time to time"
