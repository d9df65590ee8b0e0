"""Which studies the open associations of this process have carried: such a study is not complete, however quiet."""

import threading
from collections.abc import Hashable


class OpenAssociations:
    """Associations by any key, each with its studies."""

    def __init__(self) -> None:
        self._studies: dict[Hashable, set[str]] = {}
        self._lock = threading.Lock()

    def begin(self, key: Hashable) -> None:
        with self._lock:
            self._studies[key] = set()

    def carry(self, key: Hashable, study_instance_uid: str) -> bool:
        """False when the association has ended."""
        with self._lock:
            if key in self._studies:
                self._studies[key].add(study_instance_uid)
            return key in self._studies

    def end(self, key: Hashable) -> bool:
        """False when the association was not open, or has ended before."""
        with self._lock:
            return self._studies.pop(key, None) is not None

    def current(self) -> list[Hashable]:
        with self._lock:
            return list(self._studies)

    def studies(self) -> set[str]:
        with self._lock:
            return set().union(*self._studies.values())
