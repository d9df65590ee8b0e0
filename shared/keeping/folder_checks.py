"""Looks through results, quarantine and the broker's folder for what a crash left."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlmodel import col, select

from shared.keeping.aside import FOLDER
from shared.keeping.findings import Finding
from shared.settings import Core
from shared.store import Book, Quarantine, Run

_OLD_SECONDS = 600.0  # nobody writes to it any more
_MOST = 10  # examples
_AT_ONCE = 500


def examine_folders(book: Book, core: Core, mend: bool) -> list[Finding]:
    """Every look at these folders; safe beside a running system."""
    looks = (
        _temporaries(core, mend), _results_without_run(book, core), *_quarantine(book, core, mend)
    )  # fmt: skip
    return [finding for finding in looks if finding is not None]


def _temporaries(core: Core, mend: bool) -> Finding | None:
    """Half-written files (`.….part`) and messages that a consumer took and did not finish (`.….taken`)."""
    roots = (core.results_dir, core.quarantine_dir, core.data_dir / "broker")
    found = [p for root in roots for p in _files(root) if p.suffix in (".part", ".taken") and _is_old(p)]
    for path in found if mend else ():
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    return _finding(
        "half-written files", core, found, "half-written files of processes that ended",
        "--mend removes them: nothing was promised of them", mend,
    )  # fmt: skip


def _results_without_run(book: Book, core: Core) -> Finding | None:
    folders = [p for p in core.results_dir.glob("*/*") if p.is_dir() and FOLDER not in p.parts and _is_old(p)]
    known: set[str] = set()
    for names in _batches([p.name for p in folders]):
        with book.read() as session:
            known |= set(session.exec(select(Run.id).where(col(Run.id).in_(names))))
    found = [p for p in folders if p.name not in known]
    return _finding(
        "results without a run", core, found, "folders of results belong to no run in the book",
        "was the database restored from a backup? Keep them until you know; then they may be deleted by hand", False,
    )  # fmt: skip


def _quarantine(book: Book, core: Core, mend: bool) -> list[Finding | None]:
    root = core.quarantine_dir
    files = {p.relative_to(root).as_posix(): p for p in _files(root) if not p.name.startswith(".") and _is_old(p)}
    with book.read() as session:
        rows = {path for path in session.exec(select(Quarantine.path)) if path}
    new = sorted(set(files) - rows)
    for names in _batches(new) if mend else ():
        with book.write() as session:
            for name in names:
                reason = "the process ended before it wrote down why this was refused"
                source = "hl7" if name.startswith("hl7") else "dicom"
                size = files[name].stat().st_size
                session.add(Quarantine(source=source, reason=reason, path=name, size=size))
    gone = [root / path for path in sorted(rows) if not (root / path).is_file()]
    return [
        _finding(
            "quarantine without rows", core, [files[name] for name in new], "files in quarantine are not in the book",
            "--mend writes them down", mend,
        ),
        _finding(
            "lost quarantine", core, gone, "quarantined inputs are not on the disk any more",
            "nothing: they were refused, and the sender was told", False,
        ),
    ]  # fmt: skip


def _files(root: Path) -> Iterable[Path]:
    return (p for p in root.rglob("*") if FOLDER not in p.parts and p.is_file()) if root.is_dir() else ()


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD_SECONDS
    except FileNotFoundError:
        return False


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def _finding(kind: str, core: Core, paths: Sequence[Path], words: str, do: str, mended: bool) -> Finding | None:
    if not paths:
        return None
    examples = [path.relative_to(core.data_dir).as_posix() for path in paths[:_MOST]]
    return Finding(kind=kind, count=len(paths), words=f"{len(paths)} {words}", do=do, mended=mended, examples=examples)
