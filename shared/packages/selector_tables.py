"""[selector] and [grouping] of a package's manifest: which series it reads, and what makes up a row of its input."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shared.packages.output_tables import OUTPUT_NAME, Table

Header = Mapping[str, Any]  # of an image, by keyword in snake_case (shared.dicom.header)


class SelectorTable(Table):
    """[selector]: which series the package reads; all given keys must hold."""

    modality: list[str] = []
    body_part: list[str] = []
    sop_class: list[str] = []
    view_position: list[str] = []
    laterality: list[Literal["L", "R", "B", "U"]] = []  # Image Laterality (0020,0062)
    description: list[str] = []  # one of these stands in Series Description or Protocol Name, whatever its case
    not_description: list[str] = []  # none of these does
    minimum_instances: int = 1

    def takes_image(self, header: Header) -> bool:
        """Whether an image of this view and side is read; one that says none is taken as it is."""
        return all(not value or value in wanted for value, wanted in self._asked(header))

    def _asked(self, header: Header) -> list[tuple[str, list[str]]]:
        """What the image says of each key that is about single images, with what is wanted."""
        sides = [str(side) for side in self.laterality]
        pairs = (("view_position", self.view_position), ("image_laterality", sides))
        return [(str(header.get(name, "")).upper(), wanted) for name, wanted in pairs if wanted]

    @property
    def in_words(self) -> str:
        """What would match, for a person: "MG, view CC, laterality R"."""
        keys = (("", self.modality), ("", self.body_part), ("SOP class ", self.sop_class),
                ("view ", self.view_position), ("laterality ", self.laterality), ("called ", self.description),
                ("not called ", self.not_description))  # fmt: skip
        said = [f"{word}{' or '.join(values)}" for word, values in keys if values]
        least = [f"{self.minimum_instances} images"] if self.minimum_instances > 1 else []
        return ", ".join([*said, *least]) or "any series"


class NamedSeries(SelectorTable):
    """[[grouping.series]]: one of the series that a row is made of; its keys hold beside those of [selector]."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]

    def takes_image(self, header: Header) -> bool:
        """Whether an image is of this view and side; one that does not say so may be another's."""
        return all(value in wanted for value, wanted in self._asked(header))


class GroupingTable(Table):
    """[grouping]: what one row of the model's input is made of, and what a row may lack."""

    by: Literal["image", "series", "study"] = "image"
    series: list[NamedSeries] = []  # of a study, in the order in which each is looked for
    optional: list[str] = []  # those that may be missing: a result then says so
    flagged_by: str = ""  # a required gate package with flag_above: only what it flags is read

    @property
    def names(self) -> list[str]:
        """The named series, in their order."""
        return [series.name for series in self.series]

    @property
    def required(self) -> list[str]:
        """Those without which nothing is read."""
        return [name for name in self.names if name not in self.optional]

    def named(self, name: str) -> NamedSeries:
        """The series of that name."""
        return next(series for series in self.series if series.name == name)

    @model_validator(mode="after")
    def _of_a_study(self) -> Self:
        if (self.by == "study") != bool(self.series):
            raise ValueError('by = "study" names what a row is made of in [[grouping.series]], and only it')
        if len(self.names) != len(set(self.names)):
            raise ValueError("two series have one name: each input is told by it")
        if unknown := [name for name in self.optional if name not in self.names]:
            raise ValueError(f"optional names {', '.join(unknown)}: there are {', '.join(self.names) or 'no series'}")
        if self.series and not self.required:
            raise ValueError("one series at least must not be optional")
        if self.series and self.flagged_by:
            raise ValueError('flagged_by is for by = "image" or "series"')
        return self
