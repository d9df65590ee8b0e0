"""Package folders: exactly what Triton reads (`config.pbtxt`, `<n>/model.onnx`), plus manifest, card and recipe.

Several versions may lie side by side: `<n>/package.toml` is the manifest of the one that Triton serves as version n,
and the manifest at the top is the highest's.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from shared.packages.manifest import Manifest
from shared.packages.migrations import to_newest
from shared.toml_lines import decode_page, describe_errors, parse_page

log = logging.getLogger(__name__)


class PackageError(ValueError):
    """A package can't be used; the text names file, line and what to write."""


class Package:
    """One version of a package: its folder, its manifest, and the number under which Triton serves it.

    `number` is 0 where no weights lie in the folder yet.
    """

    def __init__(self, folder: Path, manifest: Manifest, number: int = 0) -> None:
        self.folder, self.manifest, self.number = folder, manifest, number
        self.name, self.version = manifest.package.name, manifest.package.version

    @property
    def is_gate(self) -> bool:
        return self.manifest.gate is not None

    @property
    def weights(self) -> Path:
        """The network's file, whether it is there or not."""
        return self.folder / str(self.number or 1) / "model.onnx"

    def weights_digest(self) -> str:
        """SHA-256 (hex) of this version's model.onnx, which is what Triton serves; empty where there is none."""
        try:
            stat = self.weights.stat()
            return _digest(self.weights, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            return ""

    def check_weights(self) -> None:
        """
        Raises:
            PackageError: the file is not the one that the manifest names (S104): it was changed, or cut short.
        """
        named, found = self.manifest.weights.digest, self.weights_digest()
        if named and found and named != f"sha256:{found}":
            raise PackageError(
                f"{self.weights}: has digest sha256:{found}, the manifest names {named}: put the file back that was"
                f" validated, or validate this one and write its digest into [weights]"
            )


@lru_cache(maxsize=256)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """Read once for each state of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_package(folder: Path) -> Package:
    """The newest version in a package folder.

    Raises:
        PackageError: there is no manifest, or it is wrong, or the weights are not those that it names.
    """
    numbers = weight_numbers(folder)
    return _load(folder, numbers[-1] if numbers else 0, newest=True)


def load_versions(folder: Path) -> list[Package]:
    """Every version in a package folder, the newest last. One below it without a manifest of its own is left out.

    Raises:
        PackageError: a manifest is missing or wrong, two versions have one name, or weights are not those named.
    """
    older = [n for n in weight_numbers(folder)[:-1] if (folder / str(n) / "package.toml").is_file()]
    versions = [*(_load(folder, n, newest=False) for n in older), load_package(folder)]
    names = [package.version for package in versions]
    for name in names:
        if names.count(name) > 1:
            raise PackageError(f"{folder.name}: two versions are called {name}: give each its own package.version")
    return versions


def load_packages(model_repository: Path) -> tuple[list[Package], list[str]]:
    """The newest version of all packages below `model_repository`, by name, and what is wrong with the others."""
    return _each(model_repository, lambda folder: [load_package(folder)])


def load_all_versions(model_repository: Path) -> tuple[list[Package], list[str]]:
    """Every version of all packages below `model_repository`, and what is wrong with the others."""
    return _each(model_repository, load_versions)


def usable_packages(model_repository: Path) -> list[Package]:
    """The packages that can be used, for a service that starts; what is wrong with the others goes to the log."""
    packages, errors = load_packages(model_repository)
    for error in errors:
        log.error("package left out: %s", error)
    return packages


def _each(model_repository: Path, load: Callable[[Path], list[Package]]) -> tuple[list[Package], list[str]]:
    packages: list[Package] = []
    errors: list[str] = []
    folders = sorted(p.parent for p in model_repository.glob("*/package.toml")) if model_repository.is_dir() else []
    for folder in folders:
        try:
            packages.extend(load(folder))
        except PackageError as error:
            errors.append(str(error))
    return packages, errors


def weight_numbers(folder: Path) -> list[int]:
    """The version numbers that Triton would serve, lowest first."""
    names = (path.parent.name for path in folder.glob("*/model.onnx"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _load(folder: Path, number: int, *, newest: bool) -> Package:
    own = folder / str(number) / "package.toml"
    path = folder / "package.toml" if newest and not own.is_file() else own
    package = Package(folder, _read(path, folder), number)
    if package.name != folder.name:
        raise PackageError(f"{path}: package.name is {package.name!r}, the folder is {folder.name!r}: make them equal")
    package.check_weights()
    return package


def _read(path: Path, folder: Path) -> Manifest:
    try:
        text = decode_page(path.read_bytes())
        return Manifest.model_validate(to_newest(parse_page(text)))
    except FileNotFoundError:
        raise PackageError(f"{folder.name}: there is no package.toml") from None
    except OSError as error:
        raise PackageError(f"{path}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        raise PackageError("\n".join(describe_errors(error, text, str(path)))) from None
    except ValueError as error:
        raise PackageError(f"{path}: not TOML: {error}") from None
