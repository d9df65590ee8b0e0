"""What a destination is given, as the configuration says it."""

import pytest
from pydantic import ValidationError

from shared.result_profiles import DESCRIPTION, PROFILES, Flavour, FlavourSettings
from shared.settings import Destination

PACS = {"name": "pacs", "kind": "dicom", "host": "h", "port": 104, "ae_title": "PACS"}
RIS = {"name": "ris", "kind": "mllp", "host": "h", "port": 2575}


def test_without_a_word_it_is_as_it_was() -> None:
    pacs = Destination(**PACS)
    assert pacs.objects == ["SR", "SC"]
    assert Destination(**RIS).objects == ["ORU"]
    assert {pacs.flavour_of(kind).label for kind in ("SR", "SC")} == {""}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_can_be_had(profile: str) -> None:
    wanted = Destination(**PACS, profile=profile)
    assert wanted.objects == PROFILES[profile]["objects"]
    for name in FlavourSettings.model_fields:
        assert getattr(wanted, name) == PROFILES[profile].get(name, FlavourSettings.model_fields[name].default)


def test_what_is_written_comes_before_the_profile() -> None:
    wanted = Destination(**PACS, profile="reporting", objects=["SR", "SC"], sr_flavour="comprehensive")
    assert wanted.objects == ["SR", "SC"]
    assert wanted.flavour_of("SR").sr_flavour == "comprehensive"


def test_only_what_changes_an_object_is_in_its_flavour() -> None:
    wanted = Destination(**PACS, profile="air", character_set="source")
    assert wanted.flavour_of("SR").label == "SCOORD3D-source"
    assert wanted.flavour_of("SC").label == "source"


def test_two_descriptions_are_two_flavours() -> None:
    labels = {Flavour(series_description=text).label for text in (DESCRIPTION, "{title} {what}", "{what} {title}")}
    assert len(labels) == 3


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (PACS | {"objects": ["ORU"]}, "ORU can't go by dicom"),
        (RIS | {"objects": ["ORU", "SR"]}, "SR can't go by mllp"),
        (RIS | {"profile": "air"}, "a profile is for dicom destinations"),
        (PACS | {"profile": "airr"}, "'air', 'ohif'"),
        (PACS | {"sr_flavour": "enhanced", "region_coordinates": "SCOORD3D"}, 'write region_coordinates = "SCOORD"'),
        (PACS | {"series_description": "{titel}"}, "{titel} is not known in series_description: write one of {what}"),
        (PACS | {"series_description": "{title"}, "{title is not known"),
        (PACS | {"series_description": "AI\\AI"}, "without backslashes"),
    ],
)
def test_what_can_not_be_is_said(page: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Destination.model_validate(page)
    assert said in str(raised.value)
