"""The doorbell: rings a stage's queue and tells events, after the commit that wrote them to the outbox.

The broker may be away, lose or repeat anything: what is not rung stays in the outbox, and the sweeper rings it again.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Exchange
from kombu.messaging import Producer
from sqlalchemy import delete
from sqlmodel import col, select

from shared import folder_transport, metrics
from shared.events import routing_key
from shared.outage import Outage
from shared.store import Book, Outbox

log = logging.getLogger(__name__)

STAGES = ("decide", "gate", "infer", "report", "send")
_AWAY_SECONDS = 5.0  # after a failure the broker is left alone this long
_LONGEST_ANSWER = 4.0  # seconds until the broker has confirmed a message; one that hangs would never
_HEARTBEAT = 20.0  # seconds; a consumer whose broker has gone silent notices within three of them


def queue_of(stage: str, prefix: str = "isocenter") -> str:
    """The queue on which a stage is rung."""
    return f"{prefix}.{stage}"


def celery_app(broker_url: str, data_dir: Path, prefix: str = "isocenter") -> Celery:
    """The Celery application: one task per stage, one queue per stage, no result backend.

    A bell is acknowledged when it is heard: lost with its worker it is rung again, and RabbitMQ would close the channel
    of a worker that took half an hour over a piece of work.
    """
    app = Celery("isocenter", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=False, task_ignore_result=True, broker_heartbeat=_HEARTBEAT, worker_prefetch_multiplier=1,
        worker_enable_remote_control=False, worker_send_task_events=False, worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True, broker_connection_max_retries=None, broker_connection_timeout=4,
        task_publish_retry=False, task_routes={f"isocenter.{s}": {"queue": queue_of(s, prefix)} for s in STAGES},
        task_create_missing_queues=True, broker_transport_options=_transport_options(broker_url, data_dir),
    )  # fmt: skip
    return app


def _transport_options(broker_url: str, data_dir: Path) -> dict[str, Any]:
    if not broker_url.startswith(folder_transport.SCHEME):
        return {"confirm_publish": True} if broker_url.startswith(("amqp", "pyamqp")) else {}
    folder = data_dir / "broker"
    for name in ("messages", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    messages = str(folder / "messages")
    return {
        "data_folder_in": messages, "data_folder_out": messages, "control_folder": str(folder / "control"),
        "store_processed": False, "polling_interval": 0.05,
    }  # fmt: skip


class Bus:
    """Rings and tells what the outbox holds, over one connection; after a failure it is given up and made anew.

    Whoever calls may have to wait for seconds when the broker hangs: `shared.worker.Ringer` does it in a thread of its
    own.
    """

    def __init__(self, book: Book, app: Celery, prefix: str = "isocenter") -> None:
        self.book, self.app, self.prefix = book, app, prefix
        self._away_until = 0.0
        self.outage = Outage(log, "broker", "bells stay in the outbox and each stage looks into the book itself,")
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def flush(self, limit: int = 200) -> int:
        """Rings the oldest rows of the outbox; returns how many. What fails stays for the next time."""
        if time.monotonic() < self._away_until:
            return 0
        with self.book.read() as session:
            rows = session.exec(select(Outbox).order_by(col(Outbox.id)).limit(limit)).all()
        sent = [row.id or 0 for row in takewhile(self._send, rows)]
        if sent:
            with self.book.write() as session:
                session.execute(delete(Outbox).where(col(Outbox.id).in_(sent)))
        return len(sent)

    def ring(self, stage: str, by: str = "sweeper", row_id: str = "") -> bool:
        """Rings a stage's queue; False when the broker is away."""

        def send(producer: Producer) -> None:
            self.app.send_task(
                f"isocenter.{stage}", args=[row_id], queue=queue_of(stage, self.prefix), ignore_result=True,
                retry=False, producer=producer, confirm_timeout=_LONGEST_ANSWER,
            )  # fmt: skip

        rung = self._over_the_broker(send)
        if rung:
            metrics.BELLS_RUNG.labels(stage, by).inc()
        return rung

    def close(self) -> None:
        """Lets go of the connection."""
        with self._lock:
            self._hang_up()

    def _send(self, row: Outbox) -> bool:
        if row.stage and not self.ring(row.stage, by="outbox", row_id=row.row_id):
            return False
        return not row.event or self._tell(row.event)

    def _tell(self, event: dict[str, Any]) -> bool:
        exchange = Exchange(f"{self.prefix}.events", type="topic", durable=True)

        def send(producer: Producer) -> None:
            producer.publish(
                event, exchange=exchange, routing_key=routing_key(event), declare=[exchange], retry=False,
                confirm_timeout=_LONGEST_ANSWER,
            )  # fmt: skip

        return self._over_the_broker(send)

    def _over_the_broker(self, send: Callable[[Producer], None]) -> bool:
        with self._lock:
            try:
                if self._producer is None:
                    self._connection = self.app.connection_for_write()
                    self._connection.connect()  # once, and no retries: that is the next flush
                    self._producer = Producer(self._connection.channel())
                send(self._producer)
            except Exception as error:  # each transport has errors of its own; one that gets out keeps the outbox full
                self.outage.met(error)
                self._hang_up()
                self._away_until = time.monotonic() + _AWAY_SECONDS
                return False
        self.outage.over()
        return True

    def _hang_up(self) -> None:
        """A late answer on the old connection could be taken for the next bell's."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is None:
            return
        with contextlib.suppress(Exception):
            if connection.transport.driver_type == "amqp":
                connection.collect()  # no good-bye: a broker that hangs would not answer it
            else:
                connection.release()
