"""Who is connected and which studies they carry, over all listener processes: what limits and completion ask.

The parent keeps the register. A listener process speaks to it over a socket that ends with either of them, so nothing
that a dead process had said stays.
"""

import contextlib
import json
import socket
import threading
from collections import Counter, defaultdict
from typing import Protocol

Owner = int
EVERY_STUDY = "*"  # held by a process whose rows did not all find room: which studies they were of is not known


class Desk(Protocol):
    """How a listener reaches the register."""

    def admit(self, calling_ae_title: str) -> str:
        """Counts an association in; or why there is no place for it."""

    def leave(self, calling_ae_title: str) -> None:
        """An association that was admitted is over."""

    def hold(self, study_instance_uid: str) -> None:
        """From now on the study is not complete, whatever the book says."""

    def let_go(self, study_instance_uid: str) -> None:
        """No association here carries the study, and no row of it waits."""


class Register:
    """The parent's book-keeping, by listener process."""

    def __init__(self, most_associations: int, most_associations_per_ae: int) -> None:
        self._most, self._most_per_ae = most_associations, most_associations_per_ae
        self._callers: dict[Owner, Counter[str]] = defaultdict(Counter)
        self._studies: dict[Owner, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    def admit(self, owner: Owner, calling_ae_title: str) -> str:
        with self._lock:
            if sum(callers.total() for callers in self._callers.values()) >= self._most:
                return f"there are {self._most} associations already"
            if sum(callers[calling_ae_title] for callers in self._callers.values()) >= self._most_per_ae:
                return f"there are {self._most_per_ae} associations of this calling AE title already"
            self._callers[owner][calling_ae_title] += 1
            return ""

    def leave(self, owner: Owner, calling_ae_title: str) -> None:
        with self._lock:
            self._callers[owner][calling_ae_title] -= 1

    def hold(self, owner: Owner, study_instance_uid: str) -> None:
        with self._lock:
            self._studies[owner].add(study_instance_uid)

    def let_go(self, owner: Owner, study_instance_uid: str) -> None:
        with self._lock:
            self._studies[owner].discard(study_instance_uid)

    def studies(self, owner: Owner | None = None) -> set[str]:
        """Studies that are held, by one process or by any."""
        with self._lock:
            return set(self._studies[owner]) if owner is not None else set().union(*self._studies.values())

    def hang_up(self, owner: Owner) -> None:
        """A process has ended: its associations are over; its studies stay held until `forget`."""
        with self._lock:
            self._callers.pop(owner, None)

    def forget(self, owner: Owner) -> None:
        """What an ended process left is mended."""
        with self._lock:
            self._studies.pop(owner, None)

    def serve(self, owner: Owner, connection: socket.socket, silent_seconds: float) -> bool:
        """Answers a listener process until it ends; False: it has said nothing for `silent_seconds`, and hangs."""
        connection.settimeout(silent_seconds)
        try:
            self._answer(owner, connection)
        except TimeoutError:
            return False
        except (OSError, ValueError):  # it died, in the middle of a line
            pass
        self.hang_up(owner)
        return True

    def _answer(self, owner: Owner, connection: socket.socket) -> None:
        steps = {"leave": self.leave, "hold": self.hold, "let_go": self.let_go, "beat": lambda *_: None}
        with connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                step, value = json.loads(line)
                if step == "admit":
                    connection.sendall(_line(self.admit(owner, value)))
                else:
                    steps[step](owner, value)


class LocalDesk:
    """Where the listener runs in the register's own process."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def admit(self, calling_ae_title: str) -> str:
        return self._register.admit(0, calling_ae_title)

    def leave(self, calling_ae_title: str) -> None:
        self._register.leave(0, calling_ae_title)

    def hold(self, study_instance_uid: str) -> None:
        self._register.hold(0, study_instance_uid)

    def let_go(self, study_instance_uid: str) -> None:
        self._register.let_go(0, study_instance_uid)


class RemoteDesk:
    """A listener process' end of the socket. Without its parent it admits nobody; what it holds is in the book too."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()

    def admit(self, calling_ae_title: str) -> str:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._connection.sendall(_line(["admit", calling_ae_title]))
            return str(json.loads(self._answers.readline()))
        return "the listener is ending"

    def leave(self, calling_ae_title: str) -> None:
        self._tell("leave", calling_ae_title)

    def hold(self, study_instance_uid: str) -> None:
        self._tell("hold", study_instance_uid)

    def let_go(self, study_instance_uid: str) -> None:
        self._tell("let_go", study_instance_uid)

    def beat(self) -> None:
        """This process works."""
        self._tell("beat", "")

    def _tell(self, step: str, value: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(_line([step, value]))


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
