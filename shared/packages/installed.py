"""The versions that are installed in a model repository, as they come and go while a service runs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from shared.packages.folder import Package, PackageError, package_folders, readable_versions
from shared.packages.resources import as_set_here
from shared.packages.settings import PackageSettings

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

Signature = tuple[tuple[str, int, int], ...]  # path, mtime in ns and size of each file that counts


class Installed(Mapping[tuple[str, str], Package]):
    """Packages by name and version. Thread-safe; whoever asks looks into the folder, at most every `LOOK_SECONDS`.

    What has changed is taken once it has lain still from one look to the next, so that a copy under way is left alone;
    what its manifest names another digest for is not taken at all, nor what `[packages.<name>] digest` does not name.
    """

    def __init__(
        self, model_repository: Path, settings: Mapping[str, PackageSettings] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._repository, self._settings, self._clock = model_repository, settings or {}, clock
        self._seen: dict[Path, Signature] = {}
        self._taken: dict[Path, Signature] = {}
        self._versions: dict[str, list[Package]] = {}
        self._next_look: float | None = None
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[str, str]) -> Package:
        for package in self.of(key[0]):
            if package.version == key[1] and self.allows(package):
                return package
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        every = [package for name in self.names() for package in self.of(name)]
        return iter([(p.name, p.version) for p in every if self.allows(p)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def names(self) -> list[str]:
        """The packages of which there is any version."""
        self._look()
        return [name for name, versions in sorted(self._versions.items()) if versions]

    def of(self, name: str) -> list[Package]:
        """Every version of a package, the newest last, those too whose weights the hospital does not allow."""
        self._look()
        return self._versions.get(name, [])

    def pinned(self, name: str) -> str:
        """The version that `[packages.<name>]` says, by name or by its weights; empty where it says none."""
        settings = self._settings.get(name)
        if settings and settings.digest and not settings.pin:
            return next((package.version for package in self.of(name) if self.allows(package)), "")
        return (settings and settings.pin) or ""

    def missing(self, name: str, version: str) -> str:
        """Why a version is not among these, in words."""
        if any(package.version == version for package in self.of(name)):
            return f"version {version} of {name} has other weights than [packages.{name}] digest names"
        here = [package.version for package in self.of(name)]
        there = f"{', '.join(here)} {'is' if len(here) == 1 else 'are'}" if here else "no version is"
        return f"version {version} of {name} is not installed: {there}"

    def allows(self, package: Package) -> bool:
        """Whether `[packages.<name>] digest`, if there is one, names the weights that lie there."""
        settings = self._settings.get(package.name)
        return not (settings and settings.digest) or settings.digest == f"sha256:{package.weights_digest()}"

    def _look(self) -> None:
        first, now = self._next_look is None, self._clock()
        if self._next_look is not None and now < self._next_look:
            return
        if not self._lock.acquire(blocking=first):
            return  # another looks, and may have to read a large file: what is known will do
        try:
            for folder in {*package_folders(self._repository), *self._taken}:
                self._look_at(folder, first)
            self._next_look = now + LOOK_SECONDS
        finally:
            self._lock.release()

    def _look_at(self, folder: Path, first: bool) -> None:
        signature = _signature(folder)
        still = first or self._seen.get(folder) == signature
        self._seen[folder] = signature
        if not still or self._taken.get(folder) == signature:
            return
        try:
            versions, problems = readable_versions(folder) if signature else ([], [])
        except OSError as error:  # it changes at this moment: looked at again
            log.warning("package not looked at folder=%s cause=%s", folder.name, error.strerror)
            return
        self._taken[folder] = signature
        for problem in problems:
            log.error("package left out: %s", problem)
        for package in versions:
            if not self.allows(package):
                log.error("package left out: %s: [packages.%s] names another digest", package.weights, package.name)
        if problems:  # a slip in a manifest takes no version out of service whose weights are what they were
            new = {package.version for package in versions}
            old = [p for p in self._versions.get(folder.name, []) if p.version not in new and _still_good(p)]
            versions = sorted([*old, *versions], key=lambda package: package.number)
        self._versions[folder.name] = as_set_here(versions, self._settings)
        log.info("package name=%s versions=%s", folder.name, " ".join(p.version for p in versions) or "none")


def _still_good(package: Package) -> bool:
    try:
        package.check_weights()
    except PackageError:
        return False
    return package.weights.is_file()


def _signature(folder: Path) -> Signature:
    """What changes with any file that makes a version; empty where there is no package."""
    found = []
    for path in sorted([folder / "package.toml", *folder.glob("*/package.toml"), *folder.glob("*/model.onnx")]):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found) if any(path == str(folder / "package.toml") for path, _, _ in found) else ()
