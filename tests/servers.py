"""Servers that tests use where they run: PostgreSQL and RabbitMQ, each test with a database and queues of its own."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text

POSTGRES = os.environ.get("ISOCENTER_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
RABBITMQ = os.environ.get("ISOCENTER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
STAGES = ("decide", "gate", "infer", "report", "send")


def listens(port: int) -> bool:
    """Whether someone listens on this machine's port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def new_database() -> Iterator[str]:
    """The URL of a new PostgreSQL database, dropped at the end."""
    name = f"isocenter_{uuid.uuid4().hex[:12]}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'create database "{name}"'))
    try:
        yield f"{POSTGRES.rsplit('/', 1)[0]}/{name}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'drop database if exists "{name}" with (force)'))
        admin.dispose()


def delete_queues(prefix: str) -> None:
    """Removes the queues and the exchange of one run."""
    from kombu import Connection

    with Connection(RABBITMQ) as connection:
        channel = connection.channel()
        for stage in STAGES:
            channel.queue_delete(f"{prefix}.{stage}")
        channel.exchange_delete(f"{prefix}.events")
