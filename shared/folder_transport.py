"""kombu's filesystem transport, made safe for several processes: what another process sees is whole or not there.

kombu writes a message into the file that consumers already look at, so a consumer may take it empty, and the worker
ends with a JSON error; two processes that bind the same exchange at once may lose or spoil its table. Here both are
written aside and renamed, which POSIX does at once.
"""

import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import TRANSPORT_ALIASES, filesystem, virtual
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)

SCHEME = "folder"


class Channel(filesystem.Channel):
    """A channel whose messages and exchange tables appear whole."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # as kombu's own does
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        _write_whole(folder / name, dumps(payload))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] == f"{queue}.msg":
                payload = _take(folder / name)
                if payload is not None:
                    return payload
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """The queues that are bound to an exchange."""
        try:
            table = loads(self._exchange_file(exchange).read_text())
        except FileNotFoundError:
            return []
        return [filesystem.exchange_queue_t(*row) for row in table]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        with self._changed_table(exchange) as table:
            row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
            if row not in table:
                table.insert(0, row)

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        virtual.Channel._delete(self, queue, exchange, routing_key, pattern, *args, **kwargs)
        with self._changed_table(exchange) as table:
            row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
            if row in table:
                table.remove(row)

    @contextmanager
    def _changed_table(self, exchange: str) -> Iterator[list[Any]]:
        """The table of an exchange, under a lock between processes; written back where it was changed."""
        file = self._exchange_file(exchange)
        with (file.parent / f".{file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            table = self.get_table(exchange)
            before = list(table)
            yield table
            if table != before or not file.exists():
                _write_whole(file, dumps(table))


class Transport(filesystem.Transport):
    """`folder://`, with the options of kombu's filesystem transport.

    What a process has bound already is remembered by folder; kombu remembers it for all folders alike.
    """

    Channel = Channel
    _states: ClassVar[dict[str, virtual.BrokerState]] = {}

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        folder = str(client.transport_options.get("control_folder", ""))
        self.state = self._states.setdefault(folder, virtual.BrokerState())


def _write_whole(path: Path, text: str) -> None:
    aside = path.with_name(f".{uuid.uuid4()}.part")
    aside.write_text(text)
    aside.rename(path)


def _take(path: Path) -> Any:
    """The message, or None when another consumer was faster or it can't be read: the sweeper rings again."""
    taken = path.with_name(f".{path.name}.taken")
    try:
        path.rename(taken)
        text = taken.read_text()
        taken.unlink()
        return loads(text)
    except OSError:
        return None
    except ValueError:
        log.warning("dropped a message that can't be read file=%s", path.name)
        return None


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
