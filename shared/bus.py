"""The doorbell: rings a stage's queue and tells events, after the commit that wrote them to the outbox.

The broker may be away, lose or repeat anything: what is not rung stays in the outbox, and the sweeper rings it again.
"""

import logging
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.entity import Exchange
from kombu.pools import producers
from sqlalchemy import delete
from sqlmodel import col, select

from shared import folder_transport, metrics
from shared.events import routing_key
from shared.store import Book, Outbox

log = logging.getLogger(__name__)

STAGES = ("decide", "gate", "infer", "report", "send")
_AWAY_SECONDS = 5.0  # after a failure the broker is left alone this long: a bell must never slow the work down


def queue_of(stage: str, prefix: str = "isocenter") -> str:
    """The queue on which a stage is rung."""
    return f"{prefix}.{stage}"


def celery_app(broker_url: str, data_dir: Path, prefix: str = "isocenter") -> Celery:
    """The Celery application: one task per stage, one queue per stage, acknowledged late, no result backend."""
    app = Celery("isocenter", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True, worker_prefetch_multiplier=1,
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
    """Rings and tells what the outbox holds."""

    def __init__(self, book: Book, app: Celery, prefix: str = "isocenter") -> None:
        self.book, self.app, self.prefix = book, app, prefix
        self._away_until = 0.0

    def flush(self, ids: list[int] | None = None, limit: int = 200) -> int:
        """Rings the given outbox rows, or the oldest; returns how many. What fails stays for the sweeper."""
        if time.monotonic() < self._away_until:
            return 0
        with self.book.read() as session:
            query = select(Outbox).order_by(col(Outbox.id)).limit(limit)
            rows = session.exec(query.where(col(Outbox.id).in_(ids)) if ids else query).all()
        sent = [row.id or 0 for row in takewhile(self._send, rows)]
        if sent:
            with self.book.write() as session:
                session.execute(delete(Outbox).where(col(Outbox.id).in_(sent)))
        return len(sent)

    def ring(self, stage: str, by: str = "sweeper", row_id: str = "") -> bool:
        """Rings a stage's queue; False when the broker is away."""
        try:
            self.app.send_task(
                f"isocenter.{stage}",
                args=[row_id],
                queue=queue_of(stage, self.prefix),
                ignore_result=True,
                retry=False,
            )
        except Exception as error:  # each transport has errors of its own; one that gets out would keep the outbox full
            self._away(error)
            return False
        metrics.BELLS_RUNG.labels(stage, by).inc()
        return True

    def _send(self, row: Outbox) -> bool:
        if row.stage and not self.ring(row.stage, by="outbox", row_id=row.row_id):
            return False
        return not row.event or self._tell(row.event)

    def _tell(self, event: dict[str, Any]) -> bool:
        exchange = Exchange(f"{self.prefix}.events", type="topic", durable=True)
        try:
            with (
                self.app.connection_for_write() as connection,
                producers[connection].acquire(block=True, timeout=4) as p,
            ):
                p.publish(event, exchange=exchange, routing_key=routing_key(event), declare=[exchange], retry=False)
        except Exception as error:
            self._away(error)
            return False
        return True

    def _away(self, error: Exception) -> None:
        if time.monotonic() >= self._away_until:
            log.warning("broker away, bells stay in the outbox cause=%s", type(error).__name__)
        self._away_until = time.monotonic() + _AWAY_SECONDS
