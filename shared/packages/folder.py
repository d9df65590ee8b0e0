"""Package folders: exactly what Triton reads (`config.pbtxt`, `<n>/model.onnx`), plus manifest, card and recipe.

Several versions may lie side by side: `<n>/package.toml` is the manifest of the one that Triton serves as version n.
The manifest at the top is of one that has none of its own: the one whose weights it names, else the highest.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from shared.packages.manifest import Manifest
from shared.packages.migrations import to_newest
from shared.toml_lines import decode_page, describe_errors, parse_page


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

    def called(self, version: str) -> "Package":
        """The same under another version's name and without weights, for a version that is chosen and not there."""
        table = self.manifest.package.model_copy(update={"version": version})
        return Package(self.folder, self.manifest.model_copy(update={"package": table}))

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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_package(folder: Path) -> Package:
    """The newest version in a package folder.

    Raises:
        PackageError: there is no manifest, or it is wrong, or the weights are not those that it names.
    """
    number, path = _manifests(folder)[-1]
    return _load(folder, number, path)


def load_versions(folder: Path) -> list[Package]:
    """Every version in a package folder, the newest last. One without a manifest is left out.

    Raises:
        PackageError: a manifest is missing or wrong, two versions have one name, or weights are not those named.
    """
    versions, errors = readable_versions(folder)
    if errors:
        raise PackageError("\n".join(errors))
    return versions


def readable_versions(folder: Path) -> tuple[list[Package], list[str]]:
    """The versions in a package folder that can be used, the newest last, and what is wrong with the others."""
    versions: dict[str, Package] = {}
    errors: list[str] = []
    for number, path in _manifests(folder):
        try:
            package = _load(folder, number, path)
        except PackageError as error:
            errors.append(str(error))
            continue
        if package.version in versions:
            errors.append(
                f"{folder.name}: two versions are called {package.version}: give each its own package.version"
            )
        else:
            versions[package.version] = package
    return list(versions.values()), errors


def _manifests(folder: Path) -> list[tuple[int, Path]]:
    """Each version's number and its manifest's file, the newest last; a number without a manifest is left out."""
    top, numbers = folder / "package.toml", weight_numbers(folder)
    found = {n: folder / str(n) / "package.toml" for n in numbers if (folder / str(n) / "package.toml").is_file()}
    bare, named = [n for n in numbers if n not in found], _digest_named(top)
    tops = [n for n in bare if named and named == _weights_of(folder, n)] or [n for n in bare if n == numbers[-1]]
    found |= dict.fromkeys(tops[:1], top)
    return sorted(found.items()) or [(0, top)]


def _digest_named(path: Path) -> str:
    """The digest that a manifest names, however wrong the rest of it is."""
    try:
        return str(parse_page(decode_page(path.read_bytes())).get("weights", {}).get("digest", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _weights_of(folder: Path, number: int) -> str:
    path = folder / str(number) / "model.onnx"
    stat = path.stat()
    return f"sha256:{_digest(path, stat.st_mtime_ns, stat.st_size)}"


def load_packages(model_repository: Path) -> tuple[list[Package], list[str]]:
    """The newest version of all packages below `model_repository`, by name, and what is wrong with the others."""
    return _each(model_repository, _newest)


def load_all_versions(model_repository: Path) -> tuple[list[Package], list[str]]:
    """Every version of all packages below `model_repository`, and what is wrong with the others."""
    return _each(model_repository, readable_versions)


def _newest(folder: Path) -> tuple[list[Package], list[str]]:
    try:
        return [load_package(folder)], []
    except PackageError as error:
        return [], [str(error)]


def _each(
    model_repository: Path, load: Callable[[Path], tuple[list[Package], list[str]]]
) -> tuple[list[Package], list[str]]:
    packages: list[Package] = []
    errors: list[str] = []
    for folder in package_folders(model_repository):
        good, wrong = load(folder)
        packages.extend(good)
        errors.extend(wrong)
    return packages, errors


def package_folders(model_repository: Path) -> list[Path]:
    """The folders of packages, by name."""
    return sorted({path.parent for path in model_repository.glob("*/package.toml")})


def weight_numbers(folder: Path) -> list[int]:
    """The version numbers that Triton would serve, lowest first."""
    names = (path.parent.name for path in folder.glob("*/model.onnx"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _load(folder: Path, number: int, path: Path) -> Package:
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
