"""A destination with a fallback is kept pictures in reserve: entered with its results, and again when these are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlmodel import select

from services.report.book import enter_deliveries
from services.report.facts import ResultObject
from services.report.result_kinds import wanted_flavours
from shared.result_profiles import PROFILES
from shared.settings import Destination
from shared.store import Book, Delivery, Run, open_book
from shared.store.moves import move
from shared.study import DeliveryEvent, RunState
from tests.books import Maker

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "A"}
OLD = Destination(name="OLD", objects=["SR"], fallback="SC", transfer_syntax="rle", **PACS)
NEW = Destination(name="NEW", objects=["SR"], **PACS)
BOTH = Destination(name="BOTH", objects=["SR", "SC"], fallback="SC", **PACS)
DESTINATIONS = [OLD, NEW, BOTH]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    made = open_book(f"sqlite:///{tmp_path}/b.db")
    made.migrate()
    with made.write() as session:
        uid = Maker(session).study("s").study_instance_uid
        session.add(Run(
            id="run", study_instance_uid=uid, revision=1, package="p", version="1", kind="reader", state=RunState.READ,
        ))  # fmt: skip
    return made


def report(book: Book, destinations: Sequence[Destination] = DESTINATIONS) -> dict[tuple[str, str], str]:
    """Enters a report and a picture in each flavour that is wanted; the states of what is in the book then."""
    made = [
        ResultObject(kind, f"{kind}-{flavour.label}", f"{kind}{flavour.label}.dcm", b"", names)
        for kind in ("SR", "SC")
        for flavour, names in wanted_flavours(kind, destinations).items()
    ]
    with book.write() as session:
        spares = {d.name for d in destinations if d.is_spare("SC")}
        enter_deliveries(session, session.get_one(Run, "run"), Path("results"), made, spares)
    return states(book)


def states(book: Book) -> dict[tuple[str, str], str]:
    with book.read() as session:
        return {(row.kind, row.destination): row.state for row in session.exec(select(Delivery))}


def test_pictures_are_spare_where_they_are_only_a_fallback(book: Book) -> None:
    assert report(book) == {
        ("SR", "OLD"): "waiting", ("SR", "NEW"): "waiting", ("SR", "BOTH"): "waiting", ("SC", "OLD"): "spare",
        ("SC", "BOTH"): "waiting",
    }  # fmt: skip
    flavours = wanted_flavours("SC", DESTINATIONS)
    assert {names: flavour.transfer_syntax for flavour, names in flavours.items()} == {
        ("OLD",): "rle", ("BOTH",): "explicit",
    }  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [[], [DeliveryEvent.STEPPED_IN, DeliveryEvent.ACCEPTED], [DeliveryEvent.STEPPED_IN, DeliveryEvent.GAVE_UP]],
)
def test_reported_again_they_are_spare_again(book: Book, events: list[DeliveryEvent]) -> None:
    """Whether they are needed turns out again: the destination may have learned, and its bytes may be others."""
    report(book)
    with book.write() as session:
        picture = session.exec(select(Delivery).where(Delivery.kind == "SC", Delivery.destination == "OLD")).one()
        for event in events:
            move(session, picture, event)
    assert report(book)["SC", "OLD"] == "spare"


def test_one_that_has_stepped_in_and_waits_still_goes(book: Book) -> None:
    report(book)
    with book.write() as session:
        picture = session.exec(select(Delivery).where(Delivery.kind == "SC", Delivery.destination == "OLD")).one()
        move(session, picture, DeliveryEvent.STEPPED_IN)
    assert report(book)["SC", "OLD"] == "waiting"


def test_a_spare_goes_once_it_is_wanted_as_such(book: Book) -> None:
    report(book)
    wanting = OLD.model_copy(update={"objects": ["SR", "SC"]})
    assert report(book, [wanting, NEW, BOTH])["SC", "OLD"] == "waiting"


def test_which_profiles_have_a_fallback() -> None:
    """An AIR archive takes the objects of AIR: one that does not is to be seen."""
    assert {name for name, settings in PROFILES.items() if settings.get("fallback") == "SC"} == {"ohif", "reporting"}
    assert Destination(name="P", **PACS).fallback == "none", "what is refused without being asked is dead, as ever"
    with pytest.raises(ValueError, match="take fallback out"):
        Destination(name="R", kind="mllp", host="h", port=2575, fallback="SC")
