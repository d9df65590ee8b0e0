"""What takes input from outside, each as a function of a file: it names the outcome, and raises on a finding."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian
from sqlmodel import func, select

from services.collect.handlers import Refusal, judge, place
from services.collect.listening.c_store import StoreRequest
from services.collect.listening.incoming import Incoming
from services.collect.listening.open_associations import OpenAssociations
from services.collect.listening.register import LocalDesk, Register
from services.collect.main import quiet_pydicom
from services.collect.reception import Reception
from services.collect.settings import Settings as CollectSettings
from services.collect.store.folder import StoreFolder
from services.collect.store.index import Index
from services.collect.store.quarantine import QuarantineFolder
from services.collect.store.reconcile import reconcile
from services.gate.handlers import PLAIN_GATES, STUDY_GATES, Series, judge_plainly
from services.gate.settings import Settings as GateSettings
from services.report.image_library import image_library
from services.report.source_files import read_sources
from shared.dicom.header import read_header
from shared.dicom.problems import UnreadableInstance
from shared.imaging.display import display_pixels
from shared.imaging.frames import Frame, UndecodablePixels, load_frames
from shared.packages.folder import PackageError, load_package
from shared.store import Instance, Quarantine, Study, open_book

Target = Callable[[Path], str]


def header(_: Path) -> Target:
    """shared/dicom: a header, or a reason."""
    quiet_pydicom()

    def target(path: Path) -> str:
        try:
            found = read_header(path)
        except UnreadableInstance as error:
            return f"unreadable: {error.reason}"
        for value in found.attributes.values():
            assert isinstance(value, str | int), "only texts and numbers go into the book"
            assert len(str(value)) < 20_000, "a text of any length would go into the book"
        return "read"

    return target


def imaging(_: Path) -> Target:
    """shared/imaging and the plain gates: frames, pixels and a verdict, or a reason."""

    def target(path: Path) -> str:
        try:
            frames = load_frames([path])
        except UndecodablePixels as error:
            return f"no frames: {error}"
        series = Series(frames)
        for gate in [g for g in PLAIN_GATES if g not in STUDY_GATES] if len(frames) < 50 else ():
            judge_plainly(gate, series, GateSettings(), {})
        return "judged" if frames else "no image"

    return target


def picture(_: Path) -> Target:
    """An image as it is drawn."""

    def target(path: Path) -> str:
        try:
            frames = load_frames([path])
        except UndecodablePixels as error:
            return f"no frames: {error}"
        return _look(frames[:2])

    return target


def _look(frames: list[Frame]) -> str:
    for frame in frames:
        try:
            display_pixels(frame)
        except UndecodablePixels as error:
            return f"no pixels: {error}"
    return "seen"


def report(_: Path) -> Target:
    """The report's source header and image library: valid attributes, or none."""

    def target(path: Path) -> str:
        headers = read_sources([path])
        if headers:
            image_library(headers)
        return f"{len(headers)} headers"

    return target


def reception(folder: Path) -> Target:
    """collect behind its wire: stored and indexed, or refused with a status and kept apart."""
    quiet_pydicom()
    data = folder / "data"
    book = open_book(f"sqlite:///{folder}/book.db")
    book.migrate()
    settings, index = CollectSettings(least_free_bytes=0), Index(book)
    store = StoreFolder(data / "store", durable=False)
    around = OpenAssociations(LocalDesk(Register(9, 9)))
    around.begin("association")
    door = Reception(settings, store, QuarantineFolder(data / "quarantine", index), index, around)
    (folder / "guard").mkdir()

    def target(path: Path) -> str:
        received = store.incoming / "received"
        content = path.read_bytes()
        request, syntax, offset = _said(path)
        incoming = Incoming(request, syntax, str(received), 2**30)
        incoming.add(memoryview(content)[offset:])
        incoming.flush()
        try:
            stored = door.store(incoming, "PEER", "association")
        except Refusal as refusal:
            outcome, rows = f"0x{refusal.status:04X} {refusal.cause}", (Quarantine, None)
        else:
            outcome, rows = "stored", (Instance, stored.header.sop_instance_uid)
            assert (store.root / stored.path).is_file()
        assert not received.exists(), "a file is left in the incoming folder"
        index.flush()
        with book.read() as session:
            query = select(func.count()).select_from(rows[0])
            query = query.where(Instance.sop_instance_uid == rows[1]) if rows[1] else query
            assert session.exec(query).one() > 0, "there is no row"
        assert {p.name for p in folder.iterdir()} <= {"book.db", "book.db-wal", "book.db-shm", "data", "guard", "log"}
        return outcome

    return target


def _said(path: Path) -> tuple[StoreRequest, str, int]:
    """What a sender would say of the instance, its transfer syntax, and where its data set begins."""
    try:
        found = read_header(path)
    except Exception:
        return StoreRequest(3, 1, "1.2", "1.2"), ExplicitVRLittleEndian, 144
    uids = found.sop_class_uid or "1.2", found.sop_instance_uid or "1.2"
    return StoreRequest(3, 1, *uids), found.transfer_syntax_uid, found.data_set_offset


def store_folder(folder: Path) -> Target:
    """collect's reconciliation over a store that holds anything."""
    quiet_pydicom()
    book = open_book(f"sqlite:///{folder}/book.db")
    book.migrate()
    store = StoreFolder(folder / "store", durable=False)

    def target(path: Path) -> str:
        where = store.root / _place(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, where)
        found = reconcile(book, store, 3600)
        where.unlink(missing_ok=True)
        with book.read() as session:
            session.exec(select(func.count()).select_from(Study)).one()
        return "strange" if found.strange else "indexed"

    return target


def _place(path: Path) -> str:
    """Where the store would have it, if it would have it at all."""
    try:
        found = read_header(path)
        judge(found, found.sop_class_uid, found.sop_instance_uid)
    except (UnreadableInstance, Refusal):
        return f"1.2.3/1.2.3.4/{path.stem}.dcm"
    return place(found)


def package(folder: Path) -> Target:
    """A package's manifest."""

    def target(path: Path) -> str:
        home = folder / "a_package"
        home.mkdir(exist_ok=True)
        shutil.copyfile(path, home / "package.toml")
        try:
            load_package(home).weights_digest()
        except PackageError as error:
            return f"refused: {error}"
        return "taken"

    return target


def page(folder: Path) -> Target:
    """`isocenter check`: what is wrong with a page, without a traceback."""
    from typer.testing import CliRunner

    from shared.cli.main import app

    def target(path: Path) -> str:
        said = CliRunner().invoke(app, ["check", "--config", str(path)])
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        assert said.exit_code in (0, 1), said.output
        assert said.exit_code == 0 or said.output.strip(), "wrong without a word"
        return said.output[:200]

    return target
