"""Opens the book: engine, sessions and migrations, the same on SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlmodel import Session, create_engine

from shared.store.patience import Patient
from shared.store.tables import Outbox

_LONGEST_ANSWER = 3  # seconds, where somebody waits to hear whether the database is there
_MIGRATION_LOCK = 0x150CE17E  # PostgreSQL's advisory lock while migrating

# Of each PostgreSQL session. No transaction of ours waits for anything but the database.
SESSION = {
    "idle_in_transaction_session_timeout": "60s", "tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4", "tcp_user_timeout": "40s",
}  # fmt: skip


class Book:
    """Sessions on one database.

    `read()` gives a session that never writes. `write()` gives one whose block is one transaction: it commits at
    the end, and then `ring` is called with the ids of the outbox rows that the transaction wrote.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(isocenter_write=True)
        self.ring: Callable[[list[int]], None] | None = None

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        written: list[Outbox] = []  # the session itself keeps only weak references to what it has flushed

        def note(session: Any, _context: Any) -> None:
            written.extend(row for row in session.new if isinstance(row, Outbox))

        with Session(self._writing, expire_on_commit=False) as session:
            event.listen(session, "after_flush", note)
            with session.begin():
                yield session
        if written and self.ring:
            self.ring([row.id for row in written if row.id is not None])

    def reachable(self) -> bool:
        """Whether the database answers within seconds; asked on a connection of its own, since one from the pool may be
        in use, or half dead."""
        try:
            if self.engine.dialect.name == "postgresql":
                url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
                with Patient.connect(url, connect_timeout=_LONGEST_ANSWER) as own:
                    own.longest_silence = _LONGEST_ANSWER
                    own.execute("select 1")
            else:
                with self.engine.connect() as connection:
                    connection.execute(text("select 1"))
        except Exception:
            return False
        return True

    def migrate(self) -> None:
        """Brings the schema to the newest version; safe when several processes start at once."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._migration_lock() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def schema(self) -> tuple[str | None, str | None]:
        """The schema that the database has, and the newest there is."""
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.connect() as connection:
            there = MigrationContext.configure(connection).get_current_revision()
        return there, ScriptDirectory.from_config(config).get_current_head()

    @contextmanager
    def _migration_lock(self) -> Iterator[Connection]:
        with self._writing.connect() as connection:
            connection.begin()  # else Alembic commits each step on SQLite, and another process comes in between
            if connection.dialect.name == "postgresql":
                driver: Any = connection.connection.driver_connection
                usual, driver.longest_silence = (
                    driver.longest_silence,
                    None,
                )  # another process may be migrating, and a large table takes its time
                connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield connection
            connection.commit()
            if connection.dialect.name == "postgresql":
                driver.longest_silence = usual

    def close(self) -> None:
        self.engine.dispose()


def open_book(url: str) -> Book:
    """A book on `url`, which for SQLite makes the folder that the file lies in."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return Book(url)


def _engine(url: str) -> Engine:
    # hide_parameters: an error's text goes into logs, the values of a statement name patients
    if not url.startswith("sqlite"):
        engine = create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_size=5, max_overflow=10,
            connect_args={"connect_timeout": 5},
        )  # fmt: skip
        event.listen(engine, "do_connect", lambda _dialect, _record, args, named: Patient.connect(*args, **named))
        event.listen(engine, "connect", _postgres_connect)
        return engine
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 30, "check_same_thread": False})
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _postgres_connect(connection: Any, _record: Any) -> None:
    """Has the server end what a client that is gone has left open. It can't see that a host lost its power or its
    network: by its own defaults it would keep the rows locked for two hours, and workers pass locked rows over."""
    with connection.cursor() as cursor:
        for name, value in SESSION.items():
            cursor.execute("select set_config(%s, %s, false)", (name, value))
    connection.commit()


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver's guess
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    """A writer takes the write lock at once: a lock that is upgraded later can fail without waiting."""
    write = connection.get_execution_options().get("isocenter_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
