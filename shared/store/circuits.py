"""The circuit of a package: open while its model does not answer, so that its runs wait instead of each trying it.

In the book, so that every worker of gate and infer, on every host, sees what one has found out, and so does the page.
"""

from datetime import UTC, datetime

from sqlalchemy import Column, Text, or_
from sqlmodel import Field, Session, SQLModel, col, select

from shared.store.tables import Run, UtcDateTime, utc_now
from shared.study import RunState

QUARANTINED = datetime(9999, 1, 1, tzinfo=UTC)
"""Until when a quarantine lasts by itself."""
ALONE = "waits to be tried alone, since Triton died while it was being asked"
Key = tuple[str, str]
"""A package's name and version."""


class Circuit(SQLModel, table=True):
    """How a package (version) has answered of late; one without a row has never failed."""

    package: str = Field(primary_key=True, max_length=64)
    version: str = Field(primary_key=True, max_length=32)
    failures: int = 0  # in a row: no answer in time, or not there while its server is
    nonsense: int = 0  # in a row: answers that are not what the manifest says
    deaths: int = 0  # in a row: Triton died while it was being asked, among others the first time, then alone
    open_until: datetime | None = Field(default=None, sa_type=UtcDateTime)  # after it, one at a time may try
    reason: str = Field(default="", sa_column=Column(Text))  # of the last failure
    lifted: str = Field(default="", sa_column=Column(Text))  # who lifted it last, and why
    lifted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def key(self) -> Key:
        return self.package, self.version

    @property
    def is_quarantined(self) -> bool:
        """Whether nothing is tried until a person lifts it."""
        return self.open_until is not None and self.open_until >= QUARANTINED

    @property
    def is_suspect(self) -> bool:
        """Whether it is tried alone, since Triton died while it was being asked."""
        return self.deaths > 0 and not self.is_quarantined

    @property
    def times(self) -> int:
        """What it is open for, in a row."""
        return max(self.failures, self.nonsense, self.deaths)

    def close(self) -> None:
        """As if it had never failed."""
        self.failures, self.nonsense, self.deaths, self.open_until, self.reason = 0, 0, 0, None, ""


def lift(session: Session, package: str, who: str = "", why: str = "") -> list[str]:
    """Closes the circuits of a package; the versions that were left alone or quarantined."""
    rows = [circuit for circuit in open_circuits(session).values() if circuit.package == package]
    for circuit in rows:
        circuit.close()
        circuit.lifted, circuit.lifted_at = f"lifted by {who}" + (f": {why}" if why else ""), utc_now()
        session.add(circuit)
    return sorted(circuit.version for circuit in rows)


def open_circuits(session: Session) -> dict[Key, Circuit]:
    """Those that are open, or let one at a time try."""
    return {key: circuit for key, circuit in marked_circuits(session).items() if circuit.open_until is not None}


def marked_circuits(session: Session) -> dict[Key, Circuit]:
    """Those that are open, and those of suspects."""
    rows = session.exec(select(Circuit).where(or_(col(Circuit.open_until).is_not(None), col(Circuit.deaths) > 0)))
    return {circuit.key: circuit for circuit in rows}


def why_it_waits(run: Run, circuits: dict[Key, Circuit]) -> str:
    """Why nothing is tried of a run that waits to be read, or to be judged by; empty where something is."""
    waits = RunState.WAITING if run.kind == "gate" else RunState.READY
    circuit = circuits.get((run.package, run.version))
    return in_words(circuit) if circuit is not None and run.state == waits else ""


def in_words(circuit: Circuit) -> str:
    """Why nothing, or one at a time, is tried of a package's version; empty where it is asked as ever."""
    if circuit.is_quarantined:
        nonsense = f"its model answered nonsense {circuit.nonsense} times in a row: {circuit.reason}"
        words, name = circuit.reason if circuit.deaths else nonsense, f"{circuit.package} {circuit.version}"
        return f"{name} is quarantined, since {words}; lift it, or use another version and replay"
    if circuit.open_until is None:
        return f"{circuit.package} {ALONE}" if circuit.is_suspect else ""
    times = f"{circuit.failures} times in a row"
    return f"{circuit.package} waits, since its model failed {times}: {circuit.reason}; it is tried from time to time"
