"""Looks whether what Isocenter stands on is there: database, broker, Triton, disk."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import BaseModel

from shared import folder_transport
from shared.serving.triton_grpc import TritonModels
from shared.settings import Core
from shared.store import Book

_BROKER_TIMEOUT = 3.0  # seconds


class Check(BaseModel):
    """Whether one thing that Isocenter stands on is there, and in words what was seen."""

    ok: bool
    detail: str = ""


class Checks:
    """The checks of one system; each answers within seconds. Thread-safe."""

    def __init__(self, book: Book, app: Celery, core: Core, triton_url: str, disk_free_gib: float) -> None:
        self.book, self.app, self.core, self.disk_free_gib = book, app, core, disk_free_gib
        self.triton = TritonModels(triton_url, shared_memory="never") if triton_url else None

    def run(self) -> dict[str, Check]:
        """Every check by its name; one that fails in an unforeseen way is red, not an error."""
        checks: dict[str, Callable[[], Check]] = {
            "database": self._database,
            "broker": self._broker,
            "triton": self._triton,
            "disk": partial(disk, self.core.data_dir, self.disk_free_gib),
        }
        found: dict[str, Check] = {}
        for name, check in checks.items():
            try:
                found[name] = check()
            except Exception as error:
                found[name] = Check(ok=False, detail=f"could not be looked at ({type(error).__name__})")
        return found

    def close(self) -> None:
        if self.triton:
            self.triton.close()

    def _database(self) -> Check:
        kind = self.book.engine.dialect.name
        if self.book.reachable():
            return Check(ok=True, detail=kind)
        todo = "is its disk there, with room" if kind == "sqlite" else "is its server up, isocenter.database_url right"
        words = f"{kind} does not answer: images are still taken, all else waits and goes on by itself; {todo}?"
        return Check(ok=False, detail=words)

    def _broker(self) -> Check:
        connection: Any = self.app.connection_for_write(connect_timeout=_BROKER_TIMEOUT)
        kind = str(connection.transport_cls)
        if kind == folder_transport.SCHEME:
            return folder(self.core.data_dir / "broker")
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_TIMEOUT)
        except (OperationalError, OSError):
            todo = "is its server up, and isocenter.broker_url right?"
            return Check(ok=False, detail=f"{kind} does not answer: work goes on, each step some seconds later; {todo}")
        finally:
            connection.release()
        return Check(ok=True, detail=kind)

    def _triton(self) -> Check:
        if self.triton is None:
            return Check(ok=True, detail="no triton.url: the models are not served by Triton")
        if self.triton.ready():
            return Check(ok=True, detail=self.triton.description)
        if self.triton.live():
            words = f"Triton on {self.triton.url} answers, but not all of its models are loaded: its log says why"
        else:
            todo = "is Triton up, and triton.url right?"
            words = f"no answer on {self.triton.url}: studies wait for it and go on by themselves; {todo}"
        return Check(ok=False, detail=words)


def disk_check(free_bytes: int, least_free_gib: float) -> Check:
    """Enough room, or what to do."""
    free_gib = free_bytes / 2**30
    if free_gib >= least_free_gib:
        return Check(ok=True, detail=f"{free_gib:.1f} GiB free")
    words = f"{free_gib:.1f} GiB free, less than the {least_free_gib:g} GiB of status.disk_free_gib"
    return Check(ok=False, detail=f"{words}: make room, or have [retention] make it, before senders are turned away")


def folder(path: Path) -> Check:
    """Whether a folder can be written into."""
    ok = os.access(path, os.W_OK | os.X_OK)
    return Check(ok=ok, detail="files in the data folder" if ok else f"{path} can't be written into: whose is it?")


def disk(path: Path, least_free_gib: float) -> Check:
    """Whether the data folder is there, can be written into and has room."""
    if not os.access(path, os.W_OK | os.X_OK):
        return Check(ok=False, detail=f"{path} can't be written into: is its disk mounted, and whose is it?")
    return disk_check(shutil.disk_usage(path).free, least_free_gib)


def schema(book: Book) -> Check:
    """Whether the database has the schema that this program was made for. Not part of readiness: while the services are
    brought to a new version one after the other, the older ones go on."""
    there, newest = book.schema()
    if there == newest:
        return Check(ok=True, detail=f"schema {there}")
    return Check(ok=False, detail=f"the database has schema {there or 'none'}, this program needs {newest}")
