"""What a run of a package may take: `[packages.<name>]` of the hospital's page, over the manifest's `[resources]`."""

from collections.abc import Iterable, Mapping

from shared.packages.folder import Package
from shared.packages.settings import PackageSettings


def as_set_here(packages: Iterable[Package], settings: Mapping[str, PackageSettings]) -> list[Package]:
    """The packages with what the hospital says of them in their manifest's `[resources]`."""
    return [_as_set(package, settings[package.name]) if package.name in settings else package for package in packages]


def _as_set(package: Package, settings: PackageSettings) -> Package:
    names = type(package.manifest.resources).model_fields.keys() & type(settings).model_fields.keys()
    said = settings.model_dump(include=set(names), exclude_none=True)
    resources = package.manifest.resources.model_copy(update=said)
    return Package(package.folder, package.manifest.model_copy(update={"resources": resources}), package.number)
