"""What a destination is given: kinds of result objects, their flavour, and profiles that are ready for known receivers.

A flavour is what may differ between two objects that say the same. Whatever it changes in an object stands in
`Flavour.label`, and so in the object's UIDs: two different data sets never share one.
"""

import re
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.uids import derived_uuid

DicomKind = Literal["SR", "SC", "KOS", "PDF", "SEG", "PM", "DERIVED", "GSPS", "NASR"]
NOTICE: DicomKind = "NASR"  # says that there is no result, and why
PICTURE: DicomKind = "SC"  # what every PACS takes
ResultKind = Literal[DicomKind, "ORU"]
DICOM_KINDS: tuple[DicomKind, ...] = get_args(DicomKind)
SrFlavour = Literal["comprehensive-3d", "comprehensive", "enhanced"]
SegFlavour = Literal["binary", "label-map"]
SegProbabilities = Literal["fractional", "thresholded"]
MapFlavour = Literal["values", "overlay"]
ScFlavour = Literal["single", "multi-frame"]
DerivedMark = Literal["burned-in", "words"]
TransferSyntax = Literal["explicit", "rle", "jpeg-ls"]
RegionCoordinates = Literal["SCOORD", "SCOORD3D"]
Fallback = Literal["SC", "none"]
CharacterSet = Literal["utf-8", "source"]
ProfileName = Literal["air", "ohif", "orthanc-webviewer", "basic", "reporting"]

_OF_KIND: dict[str, tuple[str, ...]] = {
    "SR": ("sr_flavour", "region_coordinates"), "NASR": ("sr_flavour", "region_coordinates"),
    "SEG": ("seg_flavour", "seg_probabilities", "transfer_syntax"), "PM": ("map_flavour",),
    "SC": ("sc_flavour", "transfer_syntax"), "DERIVED": ("derived_mark", "transfer_syntax"),
}  # fmt: skip
DESCRIPTION = "AI {what}: {title}"
_PLACEHOLDERS = ("what", "title", "package", "version")

# The settings that each profile stands for; what the configuration says itself comes before them.
PROFILES: dict[ProfileName, dict[str, Any]] = {
    "air": {
        "objects": ["SR", "SEG", "PM", "DERIVED", "KOS", "NASR"],
        "sr_flavour": "comprehensive-3d",
        "region_coordinates": "SCOORD3D",
    },
    "ohif": {
        "objects": ["SR", "SC", "SEG", "PM", "DERIVED", "PDF"],
        "sr_flavour": "comprehensive-3d",
        "region_coordinates": "SCOORD",
        "seg_flavour": "binary",
        "seg_probabilities": "thresholded",
        "map_flavour": "overlay",
        "fallback": "SC",
    },
    "orthanc-webviewer": {"objects": ["SC", "PDF"]},
    "basic": {"objects": ["SC"]},
    "reporting": {
        "objects": ["SR", "KOS", "PDF", "NASR"],
        "sr_flavour": "enhanced",
        "region_coordinates": "SCOORD",
        "fallback": "SC",
    },
}


class FlavourSettings(BaseModel):
    """How objects are written for a destination, as its settings say."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    sr_flavour: SrFlavour = "comprehensive-3d"
    """dicom: the SR's SOP class, for receivers that don't take the newest: "comprehensive-3d", "comprehensive" or
    "enhanced"."""
    region_coordinates: RegionCoordinates = "SCOORD"
    """dicom: the SR's regions in pixels of their image ("SCOORD", which viewers draw), or in the patient's coordinates
    ("SCOORD3D", comprehensive-3d only) where the image has them."""
    seg_flavour: SegFlavour = "binary"
    """dicom: labels of a segmentation as "binary" masks, which viewers draw, or as one "label-map" (its own SOP
    class)."""
    seg_probabilities: SegProbabilities = "fractional"
    """dicom: probabilities of a segmentation as they are ("fractional"), or, for viewers that draw none of those, as
    the mask of all that is 0.5 or more ("thresholded"), which the segment's label then says."""
    map_flavour: MapFlavour = "values"
    """dicom: a parametric map as the package's own "values" on their own grid, or, for viewers that draw no other, as
    an "overlay": on the image's grid, stored as shares of the largest value, with the way back to the values."""
    sc_flavour: ScFlavour = "single"
    """dicom: a finding's picture of the image that shows it best ("single"), or of each image that shows it, at most
    60, as frames to be scrolled ("multi-frame", another SOP class, where there are several)."""
    derived_mark: DerivedMark = "burned-in"
    """dicom: the use mark of derived images, where the package has one, in their lowest rows ("burned-in", which no
    viewer hides) as well as in their words, or in those alone ("words", for who goes on computing with the pixels)."""
    transfer_syntax: TransferSyntax = "explicit"
    """dicom: how pixels of pictures, derived images, and segmentations that are not bit masks, are written: "explicit"
    (uncompressed, which every receiver takes), or lossless in "rle" or "jpeg-ls" for those that say so."""
    character_set: CharacterSet = "utf-8"
    """"utf-8", or "source": dicom: the images' own; mllp: that of the order's message (MSH-18). What has not every
    letter that is written stays in UTF-8, and the run says so."""
    series_description: str = DESCRIPTION
    """dicom: description of result series, at most 64 characters are kept; {what}, {title}, {package} and {version} are
    filled in, and the use mark is put behind it."""

    @field_validator("series_description")
    @classmethod
    def _placeholders_are_known(cls, value: str) -> str:
        known = [f"{{{name}}}" for name in _PLACEHOLDERS]
        for part in re.findall(r"{[^}]*}?|}", value):
            if part not in known:
                raise ValueError(f"{part} is not known in series_description: write one of {', '.join(known)}")
        if "\\" in value or not value.strip():
            raise ValueError("series_description needs text, without backslashes (DICOM LO)")
        return value

    @model_validator(mode="after")
    def _patient_coordinates_need_3d(self) -> Self:
        if self.region_coordinates == "SCOORD3D" and self.sr_flavour != "comprehensive-3d":
            raise ValueError(
                f'an SR of sr_flavour "{self.sr_flavour}" has no SCOORD3D: write region_coordinates = "SCOORD"'
            )
        return self


class Flavour(FlavourSettings):
    """How an object is written. `segments` and `maps` are the flavours of the segmentations and parametric maps that go
    along with a report, and that it points to: without any, it points to none.
    """

    segments: "Flavour | None" = None
    maps: "Flavour | None" = None

    def of_kind(self, kind: str) -> "Flavour":
        """The flavour that `kind` has, with what makes no difference to it at its default."""
        names = ["character_set", "series_description", *_OF_KIND.get(kind, ())]
        return Flavour(**{name: getattr(self, name) for name in names})

    @property
    def label(self) -> str:
        """What differs from the default, as part of UIDs and of file names; empty for the default."""
        parts: list[str] = [
            value for value, usual in (
                (self.sr_flavour, "comprehensive-3d"), (self.region_coordinates, "SCOORD"),
                (self.seg_flavour, "binary"), (self.seg_probabilities, "fractional"), (self.map_flavour, "values"),
                (self.sc_flavour, "single"), (self.derived_mark, "burned-in"),
                (self.transfer_syntax, "explicit"), (self.character_set, "utf-8"),
            ) if value != usual
        ]  # fmt: skip
        for kind, along in (("SEG", self.segments), ("PM", self.maps)):
            if along:
                parts.append("-".join(filter(None, [f"with-{kind}", along.label])))
        if self.series_description != DESCRIPTION:
            parts.append(derived_uuid("description", self.series_description).hex[:8])
        return "-".join(parts)


class Wanted(FlavourSettings):
    """Which objects a destination is sent, and how they are written."""

    model_config = ConfigDict(frozen=False)

    profile: ProfileName | None = None
    """dicom: settings that are ready for a receiver: "air" (IHE AI Results), "ohif", "orthanc-webviewer", "basic"
    (pictures only) or "reporting"; the settings below come before it."""
    objects: list[ResultKind] = Field(default=[])
    """Which objects go there: SR (report), SC (picture), KOS (key images), PDF (page), SEG (segmentation), PM
    (parametric map of a heat map), DERIVED (images that a package made of the source's), GSPS (outlines over the
    images themselves, for viewers that draw presentation states), NASR (the report that a run was held or has failed,
    and why); ORU to MLLP. Empty: the profile's, else SR and SC, or ORU."""

    fallback: Fallback = "none"
    """dicom: what goes there when the destination does not take the SOP class of another object: "SC" (the run's
    pictures, once, in place of all that is not taken), or "none": that object is dead, and the study with it. A report
    of sr_flavour "enhanced" is taken by more destinations."""

    @model_validator(mode="before")
    @classmethod
    def _profile_is_expanded(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("profile") in PROFILES:
            given = {name: value for name, value in data.items() if name != "objects" or value}
            return PROFILES[data["profile"]] | given
        return data

    def settle_objects(self, wire: str) -> None:
        """Fills in the objects of a destination with this wire, and refuses what it can't take.

        Raises:
            ValueError: an object or a profile is not for this wire; the text says what to write.
        """
        if wire == "mllp" and self.profile:
            raise ValueError("a profile is for dicom destinations: an mllp destination gets ORU messages")
        if wire == "mllp" and self.fallback != "none":
            raise ValueError("a fallback is for dicom destinations: take fallback out")
        self.objects = self.objects or (["SR", "SC"] if wire == "dicom" else ["ORU"])
        possible: tuple[str, ...] = DICOM_KINDS if wire == "dicom" else ("ORU",)
        if wrong := [kind for kind in self.objects if kind not in possible]:
            raise ValueError(f"{' and '.join(wrong)} can't go by {wire}: objects may be {', '.join(possible)}")

    def is_spare(self, kind: str) -> bool:
        """Whether objects of `kind` only go there in place of others that are not taken."""
        return kind == self.fallback and kind not in self.objects

    def is_replaced(self, kind: str) -> bool:
        """Whether another object goes there if one of `kind` is not taken; no picture says that there is no result."""
        return self.fallback != "none" and kind not in (self.fallback, NOTICE)

    def flavour_of(self, kind: str) -> Flavour:
        """How objects of `kind` are written for this destination."""
        return Flavour(**{name: getattr(self, name) for name in FlavourSettings.model_fields}).of_kind(kind)
