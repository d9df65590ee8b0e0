"""What a run may take: the hospital's word over the manifest's, setting by setting."""

from shared.packages.resources import as_set_here
from shared.packages.settings import PackageSettings
from tests.served import packages


def test_the_hospital_overrides_setting_by_setting():
    there = list(packages().values())
    manifest = {package.name: package.manifest.resources for package in there}
    assert manifest["slice_transformer"].timeout_seconds == 60
    own = {"slice_transformer": PackageSettings(timeout_seconds=120, concurrency=2), "cobb_angle": PackageSettings()}
    here = {package.name: package.manifest.resources for package in as_set_here(there, own)}
    assert (here["slice_transformer"].timeout_seconds, here["slice_transformer"].concurrency) == (120, 2)
    assert {name: said for name, said in here.items() if said != manifest[name]}.keys() == {"slice_transformer"}


def test_a_package_stays_what_it_is():
    there = list(packages().values())
    own = {package.name: PackageSettings(most_attempts=3) for package in there}
    for before, after in zip(there, as_set_here(there, own), strict=True):
        assert (before.folder, before.number, before.version) == (after.folder, after.number, after.version)
        assert after.manifest.resources.most_attempts == 3
