"""Someone outside who listens to the events, on a queue that outlives every cut: what was told, and what was not."""

from types import TracebackType
from typing import Any, Self

from kombu import Connection, Exchange, Queue

from tests.servers import RABBITMQ


class Listener:
    """A durable queue bound to all events of one system; talks to the broker itself, past the proxy."""

    def __init__(self, prefix: str) -> None:
        self.connection = Connection(RABBITMQ)
        exchange = Exchange(f"{prefix}.events", type="topic", durable=True)
        self.queue = Queue(f"{prefix}.listener", exchange, routing_key="#", durable=True)(self.connection.channel())
        self.queue.declare()
        self._heard: list[dict[str, Any]] = []

    def heard(self) -> list[dict[str, Any]]:
        """Every event so far."""
        while message := self.queue.get(no_ack=True):
            self._heard.append(message.payload)
        return self._heard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.queue.delete()
        self.connection.release()
