"""Reads one run: its images through its package's model, and the findings into the book."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlmodel import Session, col, select

from services.infer.answer import Keep
from services.infer.flags import NothingFlagged, flagged_images, only_flagged
from services.infer.handlers import findings_of
from services.infer.kept_arrays import KeptArrays
from services.infer.slices_together import findings_of_slices, stack_of
from shared import metrics
from shared.findings import Finding, NotSure, SourceImage, dump_findings
from shared.guard.circuits import Circuits
from shared.guard.settings import Guard
from shared.imaging.features import NO_ORDER, OrderValues
from shared.imaging.frames import Frame, UndecodablePixels, load_frames
from shared.inference import Reading, Unreadable, read_images, read_series, read_study
from shared.order_values import order_of, order_values
from shared.packages.folder import Package
from shared.packages.installed import Installed
from shared.packages.named_series import images_by_name
from shared.serving import ModelRefused, Models
from shared.settings import Core
from shared.stage import GiveUp, Retry, Save
from shared.store import Book, Instance, Journal, Run
from shared.store.moves import Row, move, subject_of
from shared.study import Failure, RunEvent
from shared.versions.loading import LOADING
from shared.versions.shadows import enter_shadow

NOT_SURE = "is not sure enough of what it sees, so nothing is said"


@dataclass
class Reader:
    """What reading needs: the book, the stored images, the packages and who serves them."""

    book: Book
    core: Core  # where they lie, and where arrays go
    packages: Installed
    models: Models
    timeout_s: float
    awaits: Callable[[Package], bool] = lambda _: False  # whether a version is about to be loaded
    guard: Guard = field(default_factory=Guard)

    def __post_init__(self) -> None:
        self._circuits = Circuits(self.book, self.models, self.guard)

    def work(self, run_id: str) -> Save:
        """Reads the run's series, image by image.

        Raises:
            Retry: the model does not answer now.
            GiveUp: the package is not installed in this version, or it can never read these images.
        """
        run, instances = self.read_book(run_id)
        package = self.package(run.package, run.version)
        arrays = KeptArrays(self.core.data_dir, self.core.results_dir / run.study_instance_uid / run_id)
        try:
            findings = self.findings(package, run, instances, arrays.keep)
        except NothingFlagged as left:
            arrays.remove_all()
            return _held_by_gate(str(left))
        except GiveUp:
            arrays.remove_all()
            raise
        arrays.remove_others()

        def save(session: Session, row: Row) -> None:
            assert isinstance(row, Run)
            speaks = any(not isinstance(finding, NotSure) for finding in findings)
            row.findings = dump_findings(findings if speaks else [])
            if speaks:
                move(session, row, RunEvent.READ, _gates_reason(session, row))
            else:
                move(session, row, RunEvent.HELD, f"{package.name} {NOT_SURE}")
            enter_shadow(session, self.packages, row)

        return save

    def package(self, name: str, version: str) -> Package:
        """The package in this version.

        Raises:
            Retry: it is being loaded.
            GiveUp: it is not installed.
        """
        package = self.packages.get((name, version))
        if package is None:
            words = f"{self.packages.missing(name, version)}: put it back, or use another, and replay"
            raise GiveUp(words, Failure.NO_PACKAGE)
        if self.awaits(package):
            raise Retry(f"version {version} of {name} is being loaded", LOADING, counts=False)
        return package

    def findings(self, package: Package, run: Run, instances: Sequence[Instance], keep: Keep) -> list[Finding]:
        """What the package says of the run's images.

        Raises:
            Retry, GiveUp: as `work`.
            NothingFlagged: it reads what a gate flags, and that is nothing.
        """
        started = time.monotonic()
        findings = self._read(package, run, instances, keep)
        metrics.INFERENCE_SECONDS.labels(package.name, package.version).observe(time.monotonic() - started)
        return findings

    def most_attempts_of(self, row: Row) -> int | None:
        """How often a run is tried, where its package says so."""
        package = self.packages.get((row.package, row.version)) if isinstance(row, Run) else None
        return package.manifest.resources.most_attempts if package else None

    def _read(self, package: Package, run: Run, instances: Sequence[Instance], keep: Keep) -> list[Finding]:
        """What the package says, and where it is not sure enough to."""
        read = self._of_study if package.manifest.grouping.by == "study" else self._of_series
        try:
            with self._circuits.asking(package):
                return list(read(package, run, instances, keep))
        except (Unreadable, ModelRefused) as error:
            raise GiveUp(str(error), Failure.UNREADABLE) from error
        except UndecodablePixels as error:
            raise GiveUp(f"an image can't be read: {error}", Failure.UNDECODABLE) from error

    def _of_study(self, package: Package, run: Run, instances: Sequence[Instance], keep: Keep) -> Iterator[Finding]:
        """Of all its named series at once."""
        named = images_by_name(package.manifest, run.inputs, instances)
        series = {name: self._frames(images) for name, images in named.items()}
        reading = read_study(package, series, self.models, self._timeout_s(package), self._order(package, run))
        yield from findings_of(package, reading, keep)

    def _of_series(self, package: Package, run: Run, instances: Sequence[Instance], keep: Keep) -> Iterator[Finding]:
        """Of each series by itself: slices of several, in different planes, have no common order."""
        # a series may hold views side by side, of which the package reads some
        taken = [image for image in instances if package.manifest.selector.takes_image(image.header)]
        series = [self._frames(images) for images in _by_series(taken)]
        if not any(series):
            raise GiveUp("there is no image in the series", Failure.UNDECODABLE)
        if gate := package.manifest.grouping.flagged_by:
            series = only_flagged(gate, self._flagged(run, gate), series)
        order = self._order(package, run)
        for frames in (frames for frames in series if frames):
            yield from self._said(package, frames, order, keep)

    def _said(self, package: Package, frames: Sequence[Frame], order: OrderValues, keep: Keep) -> list[Finding]:
        """Of one series: of each image, or of the whole, as the package reads it."""
        readings = self._readings(package, frames, order)
        if stack := stack_of(package, frames):
            return findings_of_slices(package, stack, readings, keep)
        return [finding for reading in readings for finding in findings_of(package, reading, keep)]

    def _readings(self, package: Package, frames: Sequence[Frame], order: OrderValues) -> Iterator[Reading]:
        """One for each image, or one for the series."""
        if package.manifest.grouping.by == "image":
            yield from read_images(package, frames, self.models, self._timeout_s(package), order)
        else:
            yield read_series(package, frames, self.models, self._timeout_s(package), order)

    def _frames(self, images: Sequence[Instance]) -> list[Frame]:
        return load_frames([self.core.store_dir / image.path for image in images])

    def _timeout_s(self, package: Package) -> float:
        return package.manifest.resources.timeout_seconds or self.timeout_s

    def _flagged(self, run: Run, gate: str) -> set[SourceImage] | None:
        with self.book.read() as session:
            return flagged_images(session, run, gate)

    def _order(self, package: Package, run: Run) -> OrderValues:
        """What the study's order says, where the package asks for it."""
        if not package.manifest.asked_of_the_order:
            return NO_ORDER
        with self.book.read() as session:
            return order_values(order_of(session, run.study_instance_uid))

    def read_book(self, run_id: str) -> tuple[Run, list[Instance]]:
        """A run and the images of its series."""
        with self.book.read() as session:
            run = session.get(Run, run_id)
            if run is None:
                raise GiveUp("the run is not in the book")
            instances = session.exec(
                select(Instance)
                .where(Instance.study_instance_uid == run.study_instance_uid)
                .where(col(Instance.series_instance_uid).in_(run.series))
                .order_by(col(Instance.series_instance_uid), col(Instance.sop_instance_uid))
            ).all()
        return run, list(instances)


def _by_series(instances: Sequence[Instance]) -> list[list[Instance]]:
    """The instances of each series, as the book gives them: series after series."""
    return [list(group) for _, group in groupby(instances, lambda instance: instance.series_instance_uid)]


def _held_by_gate(reason: str) -> Save:
    """Held as by the gate: it left nothing to read."""

    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Run)
        row.verdict = "hold"
        move(session, row, RunEvent.HELD, reason)

    return save


def _gates_reason(session: Session, run: Run) -> str:
    """The reason of the move that brought the run here: a failed attempt overwrites the row's own."""
    query = select(Journal).where(Journal.study_instance_uid == run.study_instance_uid)
    line = session.exec(query.where(Journal.subject == subject_of(run)).order_by(col(Journal.id).desc())).first()
    return line.reason if line else ""
