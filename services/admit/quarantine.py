"""Keeps what the RIS sent and we could not use: the bytes once, and a line that says why."""

import hashlib
from pathlib import Path

from sqlmodel import select

from shared import metrics
from shared.durable import write_durably
from shared.hl7.text import Hl7Error
from shared.store import Book, Quarantine


class Hl7Quarantine:
    """The quarantine folder, and its table in the book."""

    def __init__(self, book: Book, folder: Path) -> None:
        self._book, self._folder = book, folder

    def keep(self, content: bytes, peer: str, error: Hl7Error) -> None:
        """Writes the bytes and the reason. A peer that repeats the same message adds nothing: many repeat forever."""
        metrics.QUARANTINED.labels("hl7", str(error.code)).inc()
        name = f"hl7/{hashlib.sha256(content).hexdigest()[:32]}.hl7"
        if content and not (self._folder / name).exists():
            write_durably(self._folder / name, content)
        path = name if content else ""
        with self._book.write() as session:
            same = select(Quarantine).where(
                Quarantine.source == "hl7", Quarantine.path == path, Quarantine.peer == peer,
                Quarantine.reason == error.text,
            )  # fmt: skip
            if session.exec(same).first() is None:
                session.add(Quarantine(source="hl7", peer=peer, reason=error.text, path=path, size=len(content)))
