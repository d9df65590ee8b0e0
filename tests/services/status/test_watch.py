"""What counts as a change, and that every listener hears it."""

import asyncio
from datetime import timedelta

import pytest
from sqlmodel import Session, col, select

from services.status.watch import Watch, marks_of
from shared.store import Book, Circuit, Delivery, Run, Study, utc_now
from shared.study import StudyEvent
from tests.books import Maker


def marks(book: Book) -> dict[str, object]:
    with book.read() as session:
        return dict(marks_of(session, 200))


def changed(book: Book, session_does: object) -> list[str]:
    before = marks(book)
    with book.write() as session:
        session_does(session)  # type: ignore[operator]
    after = marks(book)
    return [uid for uid in after if after[uid] != before.get(uid)]


def one(session: Session, table: type[Study] | type[Run] | type[Delivery]) -> Study | Run | Delivery:
    row = session.scalars(select(table).order_by(table.due_at).limit(1)).one()
    session.add(row)
    return row


def test_nothing_moves_without_a_change(book: Book) -> None:
    assert changed(book, lambda session: None) == []


def test_an_image_an_attempt_a_lease_and_a_reason_are_changes(book: Book) -> None:
    def image(session: Session) -> None:
        study = session.exec(select(Study).where(Study.state == "collecting")).one()
        study.last_instance_at = study.last_instance_at + timedelta(seconds=1)

    def attempt(session: Session) -> None:
        one(session, Delivery).attempts += 1

    def lease(session: Session) -> None:
        row = one(session, Run)
        row.lease_owner, row.lease_until = "worker", utc_now() + timedelta(minutes=1)

    def reason(session: Session) -> None:
        one(session, Delivery).reason = "PACS is away"

    for change in (image, attempt, lease, reason):
        assert len(changed(book, change)) == 1, change.__name__


def test_a_package_that_is_left_alone_is_a_change_of_studies_under_way_alone(book: Book) -> None:
    def opens(session: Session) -> None:
        session.add(Circuit(package="chest_opacity", version="1.0.0", failures=3, open_until=utc_now()))

    with book.read() as session:
        under_way = session.exec(select(Study).where(col(Study.state).in_(["gating", "running"]))).all()
    assert sorted(changed(book, opens)) == sorted(study.study_instance_uid for study in under_way)


def test_there_and_back_within_a_moment_is_a_change(book: Book) -> None:
    def round_trip(session: Session) -> None:
        study = session.exec(select(Study).where(Study.state == "refused")).one()
        Maker(session).moves(study, StudyEvent.REPLAYED, StudyEvent.REFUSED, reason=study.reason)

    assert len(changed(book, round_trip)) == 1


def test_every_listener_hears_and_the_last_one_out_ends_the_looking(book: Book) -> None:
    async def listen(watch: Watch, ready: asyncio.Barrier) -> list[str]:
        stream = watch.changes()
        first = asyncio.ensure_future(anext(stream))
        await ready.wait()
        found = await first
        while not found:
            found = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        return [view.accession_number for view in found]

    async def scene() -> None:
        watch = Watch(book, 0.05, 200)
        ready = asyncio.Barrier(4)
        listeners = [asyncio.create_task(listen(watch, ready)) for _ in range(3)]
        await ready.wait()
        while len(watch._listeners) < 3:
            await asyncio.sleep(0.01)
        with book.write() as session:
            study = session.exec(select(Study).where(Study.state == "collecting")).one()
            Maker(session).moves(study, StudyEvent.COMPLETED)
        assert await asyncio.wait_for(asyncio.gather(*listeners), 20) == [["MR-24817"]] * 3
        assert watch._task is None

    asyncio.run(scene())


@pytest.mark.parametrize("seconds", [0.05])
def test_a_closing_watch_ends_its_streams(book: Book, seconds: float) -> None:
    async def scene() -> int:
        watch = Watch(book, seconds, 200)
        count = 0
        async for _ in watch.changes():
            count += 1
            watch.close()
        return count

    assert asyncio.run(scene()) == 1
