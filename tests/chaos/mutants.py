"""What a process of the system is changed by, one function a change: guards that are switched off, and what watches.

Guards switched off: `no-fsync`, `no-file-fsync`, `no-folder-fsync`, `no-lease-check`, `no-sweeper`, `no-outbox`,
`random-uids`. What watches or steers: `ledger` writes down what was forced to the disk (tests.chaos.power_cut),
`brake` stops the process in the middle of its work when the harness asks it to.
"""

import functools
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

LEDGER_VARIABLE, BRAKE_VARIABLE = "ISOCENTER_CHAOS_LEDGER", "ISOCENTER_CHAOS_BRAKE"


def install(names: Sequence[str]) -> None:
    """Makes the changes that `names` say, each as soon as its module is imported.

    Raises:
        KeyError: there is no change of that name.
    """
    for name in names:
        module, change = CHANGES[name]
        if module in sys.modules:
            change(sys.modules[module])
        else:
            _AFTER_IMPORT.setdefault(module, []).append(change)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


_AFTER_IMPORT: dict[str, list[Callable[[Any], None]]] = {}


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the ordinary finders find a module, and has the changes made once it is executed."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name not in _AFTER_IMPORT:
            return None
        changes = _AFTER_IMPORT.pop(name)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for change in changes:
                change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _no_fsync(files: bool, folders: bool) -> Callable[[Any], None]:
    """Nothing is forced to the disk: neither bytes nor folder entries, or one of them."""

    def change(_os: Any) -> None:
        for name in ("fsync", "fdatasync"):
            real = getattr(os, name)

            @functools.wraps(real)
            def unless(descriptor: Any, real: Callable[[Any], None] = real) -> None:
                number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
                if not (folders if Path(f"/proc/self/fd/{number}").is_dir() else files):
                    real(descriptor)

            setattr(os, name, unless)

    return change


def _ledger(_os: Any) -> None:
    """Every fsync that has returned is written down, with what it made durable."""
    from tests.chaos.power_cut import note

    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        @functools.wraps(real)
        def noted(descriptor: Any, real: Callable[[Any], None] = real) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            line = note(number)  # what comes during the call need not be on the disk after it
            real(descriptor)
            out = os.open(os.environ[LEDGER_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(out, line)
            os.close(out)

        setattr(os, name, noted)


def _no_lease_check(stage: Any) -> None:
    """Whoever has done work commits it, whoever has the lease by now."""
    claim = stage.claim

    class Anyones(str):
        """A token that says it is everyone's."""

        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

    def careless(*arguments: Any, **named: Any) -> Any:
        claimed = claim(*arguments, **named)
        if claimed is not None:
            object.__setattr__(claimed, "token", Anyones(claimed.token))
        return claimed

    stage.claim = careless


def _brake(stage: Any) -> None:
    """Between work and commit: where a file `<folder>/<stage>` lies, takes it away and stops its own process."""
    work = stage._work

    def braked(book: Any, stage: Any, claimed: Any) -> Any:
        save = work(book, stage, claimed)
        try:
            (Path(os.environ[BRAKE_VARIABLE]) / stage.name).unlink()
        except FileNotFoundError:
            return save
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(1)  # another thread may take the signal: this one must not go on into the commit meanwhile
        return save

    stage._work = braked


def _no_sweeper(worker: Any) -> None:
    """Nobody rings a lost bell again."""
    worker.Sweeper.start = worker.Sweeper.stop = lambda self: None


def _no_outbox(bus: Any) -> None:
    """Bells and events are tried once, at the commit: what the broker does not take then is forgotten."""
    flush = bus.Bus.flush

    def forgetful(self: Any, ids: list[int] | None = None, limit: int = 200) -> int:
        from sqlalchemy import text

        count = int(flush(self, ids, limit))
        with self.book.write() as session:
            for number in ids or ():
                session.execute(text("delete from outbox where id = :id"), {"id": number})
        return count

    bus.Bus.flush = forgetful


def _random_uids(uids: Any) -> None:
    """Produced objects get a new UID each time."""
    uids.derived_uid = lambda *_: f"2.25.{uuid.uuid4().int}"


CHANGES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "no-fsync": ("os", _no_fsync(files=True, folders=True)),
    "no-file-fsync": ("os", _no_fsync(files=True, folders=False)),
    "no-folder-fsync": ("os", _no_fsync(files=False, folders=True)),
    "ledger": ("os", _ledger),
    "no-lease-check": ("shared.stage", _no_lease_check),
    "brake": ("shared.stage", _brake),
    "no-sweeper": ("shared.worker", _no_sweeper),
    "no-outbox": ("shared.bus", _no_outbox),
    "random-uids": ("shared.uids", _random_uids),
}
