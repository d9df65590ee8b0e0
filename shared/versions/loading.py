"""Has Triton serve the versions that count, and let go of the others, while requests go on."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from shared import metrics
from shared.packages.folder import Package
from shared.packages.installed import LOOK_SECONDS, Installed
from shared.serving.models import Models, ModelUnavailable
from shared.store import Book
from shared.versions.choice import wanted_versions

log = logging.getLogger(__name__)

LOADING = timedelta(seconds=1)
"""Work whose version is being loaded is taken up again after this long."""
AGAIN_SECONDS = 60.0
"""Versions that could not be loaded are tried again after this long."""


class VersionLoader:
    """A thread of the service that asks the packages of one kind.

    It compares what is wanted with what is served, and asks for the difference: several that look after the same
    packages ask for the same. What can't be loaded leaves the others as they are.
    """

    def __init__(
        self, models: Models, book: Book, installed: Installed, *, gates: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._models, self._book, self._installed, self._gates, self._clock = models, book, installed, gates, clock
        self._served: dict[str, set[int]] = {}
        self._told: dict[str, list[str]] = {}  # digests of what the server was told to serve
        self._failed: dict[tuple[str, int], float] = {}  # until when they are left alone
        self._labels: set[tuple[str, str]] = set()
        self._soon, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="versions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._soon.set()

    def awaits(self, package: Package) -> bool:
        """Whether a version is about to be loaded: it is asked a little later, and no attempt is spent."""
        known = (package.name, package.number) in self._failed or not package.number
        if known or package.number in self._served.get(package.name, set()):
            return False
        self._soon.set()
        return True

    def look(self) -> None:
        """One look, and what follows from it.

        Raises:
            ModelUnavailable: the server is away.
        """
        with self._book.read() as session:
            wanted = wanted_versions(session, self._installed, gates=self._gates)
        served = self._models.served()
        for packages in wanted:
            self._served[packages[0].name] = self._serve(packages, served.get(packages[0].name, set()))
        self._count(wanted)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._soon.clear()
            try:
                self.look()
            except (ModelUnavailable, SQLAlchemyError):
                pass  # the stage that waits for it says so
            except Exception:
                log.exception("versions not looked after, trying again")
            self._soon.wait(LOOK_SECONDS)

    def _serve(self, packages: Sequence[Package], served: set[int]) -> set[int]:
        """What is served of a package then."""
        name, now = packages[0].name, self._clock()
        wanted = [p for p in packages if self._failed.get((name, p.number), now) <= now]
        numbers = {p.number for p in wanted}
        digests = [p.weights_digest() for p in wanted]
        if not wanted or (numbers == served and self._told.setdefault(name, digests) == digests):
            return served
        try:
            self._ask(wanted)
        except ModelUnavailable:
            wanted = self._one_by_one(wanted)
            numbers = {p.number for p in wanted} or served
        self._told[name] = [p.weights_digest() for p in wanted]
        return numbers

    def _one_by_one(self, packages: Sequence[Package]) -> list[Package]:
        """Those that can be loaded: one that can't must not keep the others away."""
        good: list[Package] = []
        for package in packages:
            try:
                self._ask([*good, package])
                good.append(package)
            except ModelUnavailable as error:
                self._failed[package.name, package.number] = self._clock() + AGAIN_SECONDS
                log.error("version not loaded package=%s version=%s reason=%s", package.name, package.version, error)
        return good

    def _ask(self, packages: Sequence[Package]) -> None:
        try:
            self._models.serve(packages[0].folder, [package.number for package in packages])
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"config.pbtxt can't be read: {error}") from error
        for package in packages:
            self._failed.pop((package.name, package.number), None)
        versions = " ".join(package.version for package in packages)
        log.info("versions served package=%s versions=%s", packages[0].name, versions)

    def _count(self, wanted: Sequence[Sequence[Package]]) -> None:
        every = {(p.name, p.version): p.number in self._served[p.name] for packages in wanted for p in packages}
        for gone in self._labels - every.keys():
            metrics.VERSION_LOADED.remove(*gone)
        for labels, loaded in every.items():
            metrics.VERSION_LOADED.labels(*labels).set(loaded)
        self._labels = set(every)
