"""The book: migrations give what the tables say, transactions ring after their commit, one writer waits for another."""

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, func, select

from shared.store import Outbox, PackageChoice, Run, Study, open_book
from shared.store import book as book_module
from shared.store.book import SESSION
from shared.store.moves import enter
from shared.study import StudyState


def test_migrations_give_what_the_tables_say(book):
    with book.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, SQLModel.metadata) == []


def alembic_config(connection):
    """As the book migrates itself, on this connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(book_module.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def test_digests_of_an_older_book_say_their_algorithm_from_then_on(database_url):
    book = open_book(database_url)
    with book.engine.begin() as connection:
        config = alembic_config(connection)
        command.upgrade(config, "0006")
        columns = "study_instance_uid, sop_instance_uid, path, size, sha256, calling_ae_title, received_at, overtaken"
        for path, digest in (("a", "ab" * 32), ("b", "")):  # a row from before sizes and digests were written has none
            connection.execute(
                text(f"insert into duplicate ({columns}) values ('1', '1', '{path}', 0, '{digest}', '', :at, false)"),
                {"at": datetime(2026, 1, 1)},
            )
        command.upgrade(config, "head")
        digests = "select path, digest from duplicate order by path"
        assert [*connection.execute(text(digests))] == [("a", "sha256:" + "ab" * 32), ("b", "")]
        command.downgrade(config, "0006")
        assert [*connection.execute(text(digests.replace("digest", "sha256")))] == [("a", "ab" * 32), ("b", "")]
    book.close()


def test_of_an_older_book_the_version_that_read_last_goes_on_to(database_url):
    book = open_book(database_url)
    with book.engine.begin() as connection:
        config = alembic_config(connection)
        command.upgrade(config, "0012")
        study = Study(study_instance_uid="1.2").model_dump()
        connection.execute(Study.__table__.insert().values(study))
        for day, package, version in ((1, "a", "2.0.0"), (2, "a", "1.0.0"), (1, "b", "1.0.0")):
            run = Run(id=f"{package}{day}", study_instance_uid="1.2", revision=1, package=package, version=version)
            run.kind, run.created_at = "reader", datetime(2026, 1, day, tzinfo=UTC)
            connection.execute(Run.__table__.insert().values(run.model_dump(exclude={"inputs"})))  # of a later schema
        columns = "package, version, canary, share, shadow, before, who, why, at"
        connection.execute(
            text(f"insert into package_choice ({columns}) values ('b', '3.0.0', '', 0, '', '', 'ann', '', :at)"),
            {"at": datetime(2026, 1, 1)},
        )
        command.upgrade(config, "head")
    with book.read() as session:
        rows = session.exec(select(PackageChoice).order_by(PackageChoice.id)).all()
        assert [(row.package, row.version, row.who) for row in rows] == [
            ("b", "3.0.0", "ann"), ("a", "1.0.0", "isocenter"),
        ]  # fmt: skip
        assert [row.weights for row in rows] == [{}, {}]
    book.close()


def test_processes_that_start_at_once_may_all_migrate(database_url):
    code = f"from shared.store import open_book; open_book({database_url!r}).migrate()"
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", code]) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0, 0, 0, 0]


def test_a_schema_is_brought_forward_whole_or_not_at_all(database_url, monkeypatch):
    make = op.create_table

    def until_the_circuits(name, *columns, **more):
        if name == "circuit":
            raise OSError("the disk is full")
        return make(name, *columns, **more)

    monkeypatch.setattr(op, "create_table", until_the_circuits)
    book = open_book(database_url)
    try:
        with pytest.raises(OSError, match="full"):
            book.migrate()
        assert book.schema()[0] is None, "nobody can come in between: the steps before are taken back"
        monkeypatch.undo()
        book.migrate()
        assert len(set(book.schema())) == 1
    finally:
        book.close()


def test_bells_ring_after_the_commit_and_not_after_a_failure(book):
    rung = []

    def ring(ids):
        with book.read() as session:
            rung.append([row.row_id for row in session.exec(select(Outbox).where(Outbox.id.in_(ids)))])

    book.ring = ring
    with book.write() as session:
        enter(session, Study(study_instance_uid="1.2", state=StudyState.WAITING))
    assert rung == [["1.2"]], "the rows are there for whoever is rung"
    try:
        with book.write() as session:
            enter(session, Study(study_instance_uid="1.3", state=StudyState.WAITING))
            raise RuntimeError("in the middle")
    except RuntimeError:
        pass
    assert len(rung) == 1
    with book.read() as session:
        assert session.get(Study, "1.3") is None


@pytest.mark.postgres
def test_what_a_client_that_is_gone_has_locked_comes_free(postgres_url, monkeypatch):
    """A host that loses its power says no goodbye: the server must not keep its rows locked for hours."""
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "1s")
    gone, living = open_book(postgres_url), open_book(postgres_url)
    living.migrate()
    with living.write() as session:
        session.add(Study(study_instance_uid="1.2"))
    with gone.engine.connect() as connection:
        connection.execute(select(Study).where(Study.study_instance_uid == "1.2").with_for_update())
        with living.write() as session:  # its own patience is longer
            assert session.get(Study, "1.2", with_for_update=True)
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            connection.execute(select(Study))
    gone.close()
    living.close()


def test_writers_wait_for_each_other_and_none_is_lost(book):
    with book.write() as session:
        session.add(Study(study_instance_uid="1.2", revision=0))

    def count():
        for _ in range(20):
            with book.write() as session:
                study = session.get(Study, "1.2", with_for_update=True)
                study.revision += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with book.read() as session:
        assert session.get(Study, "1.2").revision == 80
        assert session.scalar(select(func.count()).select_from(Study)) == 1
