"""What a run's results replace: the last that each destination has, however many runs were overtaken in between."""

from pathlib import Path

import pytest
from sqlmodel import Session

from services.report.book import _corrects, _predecessors
from services.report.identity import control_id
from shared.store import Delivery, Run, open_book, utc_now
from shared.study import DeliveryState, RunState
from tests.books import Maker


@pytest.fixture
def chain(tmp_path: Path) -> "Chain":
    return Chain(tmp_path)


class Chain:
    """Runs of one package on one study, each of which supersedes the one before."""

    def __init__(self, folder: Path) -> None:
        self.book = open_book(f"sqlite:///{folder}/b.db")
        self.book.migrate()
        with self.book.write() as session:
            self.uid = Maker(session).study("s").study_instance_uid
        self.last = ""

    def add(self, key: str, **arrived: bool) -> None:
        """A run with its deliveries, "KIND_DESTINATION", and whether each has ever arrived."""
        with self.book.write() as session:
            session.add(Run(
                id=key, study_instance_uid=self.uid, revision=1, package="p", version="1", kind="reader",
                state=RunState.SUPERSEDED, supersedes=self.last,
            ))  # fmt: skip
            session.flush()
            for place, has_arrived in arrived.items():
                kind, destination = place.split("_")
                name = control_id(key, destination, "read") if kind == "ORU" else f"{key}-{kind}"
                session.add(Delivery(
                    id=f"{key}-{place}", run_id=key, study_instance_uid=self.uid, destination=destination, kind=kind,
                    identifier=name, path="x", state=DeliveryState.CANCELLED,  # sent again, and then overtaken
                    delivered_at=utc_now() if has_arrived else None,
                ))  # fmt: skip
        self.last = key

    def of(self, session: Session, key: str) -> tuple[list[str], frozenset[str]]:
        run = session.get_one(Run, key)
        return [p.sop_instance_uid for p in _predecessors(session, run)], _corrects(session, run)


def test_runs_that_never_had_a_report_are_passed_over(chain: Chain) -> None:
    chain.add("a", SR_PACS=True, ORU_RIS=True)
    chain.add("b")
    chain.add("c", SR_PACS=False, ORU_RIS=False)
    chain.add("d")
    with chain.book.read() as session:
        assert chain.of(session, "d") == (["a-SR"], frozenset({"RIS"}))
        assert chain.of(session, "a") == ([], frozenset())


def test_the_nearest_that_arrived_at_each_destination(chain: Chain) -> None:
    chain.add("a", SR_PACS=True, SR_OTHER=True, SC_PACS=True)
    chain.add("b", SR_PACS=True, SR_OTHER=False)
    chain.add("c")
    with chain.book.read() as session:
        assert chain.of(session, "c")[0] == ["a-SC", "a-SR", "b-SR"], "the other PACS has none of b"


def test_a_chain_that_bites_its_tail_ends(chain: Chain) -> None:
    """A package that is put back to its older version revives the older run."""
    chain.add("a", SR_PACS=True)
    chain.add("b", SR_PACS=True)
    with chain.book.write() as session:
        session.get_one(Run, "a").supersedes = "b"
    with chain.book.read() as session:
        assert chain.of(session, "a")[0] == ["b-SR"]
