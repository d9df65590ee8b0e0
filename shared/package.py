"""A package's manifest, `model_repository/<name>/package.toml`: what it reads, needs, does and claims.

The folder is exactly what Triton reads (`config.pbtxt`, `<n>/model.onnx`), plus the manifest, the card and the recipe.
"""

import hashlib
import logging
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.findings import Code
from shared.result_profiles import DICOM_KINDS, DicomKind
from shared.toml_lines import decode_page, describe_errors, parse_page

log = logging.getLogger(__name__)

NAME = r"^[a-z][a-z0-9_]{1,47}$"
VERSION = r"^\d+\.\d+\.\d+$"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PackageTable(_Table):
    """[package]: identity and intended use."""

    name: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)]
    kind: Literal["gate", "reader"]
    title: str
    intended_use: str
    use_mark: str = "not-for-clinical-use"


class PaperTable(_Table):
    """[paper]: what the package implements."""

    seed: str = ""
    title: str = ""
    claims: str = ""


class SelectorTable(_Table):
    """[selector]: which series the package reads; all given keys must hold."""

    modality: list[str] = []
    body_part: list[str] = []
    sop_class: list[str] = []
    view_position: list[str] = []
    minimum_instances: int = 1

    def takes_view(self, view_position: str) -> bool:
        """Whether an image of this View Position (0018,5101) is read; one that says none is taken as it is."""
        return not (self.view_position and view_position) or view_position.upper() in self.view_position


class GroupingTable(_Table):
    """[grouping]: what one inference row is."""

    by: Literal["image", "series", "study"] = "image"


class Step(BaseModel):
    """[[preprocess]]: a named step and its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)
    step: str

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Tensor(_Table):
    """A tensor of the model, without the batch dimension; -1 is any size."""

    name: str
    dtype: Literal["FP32"] = "FP32"
    shape: list[int]


class TensorsTable(_Table):
    """[tensors]: what goes in."""

    input: Tensor


class Output(_Table):
    """[[outputs]]: what one output of the model means."""

    name: str
    tensor: str
    kind: Literal[
        "binary", "multilabel", "ordinal", "regression", "segment", "landmark", "measurement", "embedding", "image"
    ]
    code: Code
    unit: str = "1"
    range: tuple[float, float] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None  # of a probability
    activation: Literal["none", "sigmoid"] = "none"


class ExplanationTable(_Table):
    """[explanation]: what shows why."""

    kind: Literal["none", "additive_patches"] = "none"
    tensor: str = ""
    region_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5  # regions outline patches from this part of the highest


class GateTable(_Table):
    """[gate]: how scores become a verdict (kind = "gate" only)."""

    direction: Literal["higher-is-better"] = "higher-is-better"
    unit: str = "1"
    aggregate: Annotated[str, Field(pattern=r"^(mean|min|percentile:\d{1,2})$")] = "mean"
    warn_below: float
    hold_below: float
    on_failure: Literal["warn", "hold"] = "hold"


class GatesTable(_Table):
    """[gates]: which gates must have spoken before the package reads."""

    required: list[str] = ["completeness", "geometry"]


class ResultsTable(_Table):
    """[results]: which objects may come out; which of them are made is for the destinations to say."""

    dicom: list[DicomKind] = list(DICOM_KINDS)
    hl7: list[Literal["ORU"]] = ["ORU"]


class Manifest(_Table):
    """The whole `package.toml`, schema 1."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    package: PackageTable
    paper: PaperTable = PaperTable()
    selector: SelectorTable
    grouping: GroupingTable = GroupingTable()
    preprocess: list[Step] = []
    tensors: TensorsTable
    outputs: Annotated[list[Output], Field(min_length=1)]
    explanation: ExplanationTable = ExplanationTable()
    gate: GateTable | None = None
    gates: GatesTable = GatesTable()
    results: ResultsTable = ResultsTable()
    training: dict[str, Any] = {}
    validation: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.package.kind == "gate") != (self.gate is not None):
            raise ValueError('a package of kind "gate" needs a [gate] table, and only such a one may have it')
        if self.gate and self.gate.hold_below > self.gate.warn_below:
            raise ValueError("gate.hold_below must not be above gate.warn_below: hold is the stricter verdict")
        return self


class Package:
    """A package folder: its manifest and where its weights lie."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.name, self.version = manifest.package.name, manifest.package.version

    @property
    def is_gate(self) -> bool:
        return self.manifest.gate is not None

    def weights_digest(self) -> str:
        """SHA-256 of the newest version's model.onnx, which is what Triton serves; empty where there is none."""
        versions = [p for p in self.folder.glob("*/model.onnx") if p.parent.name.isascii() and p.parent.name.isdigit()]
        if not versions:
            return ""
        newest = max(versions, key=lambda p: int(p.parent.name))
        stat = newest.stat()
        return _digest(newest, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    """Read once for each state of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class PackageError(ValueError):
    """A package can't be used; the text names file, line and what to write."""


def load_package(folder: Path) -> Package:
    """Reads a package folder.

    Raises:
        PackageError: there is no manifest, or it is wrong.
    """
    path = folder / "package.toml"
    try:
        text = decode_page(path.read_bytes())
        manifest = Manifest.model_validate(parse_page(text))
    except FileNotFoundError:
        raise PackageError(f"{folder.name}: there is no package.toml") from None
    except OSError as error:
        raise PackageError(f"{path}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        raise PackageError("\n".join(describe_errors(error, text, str(path)))) from None
    except ValueError as error:
        raise PackageError(f"{path}: not TOML: {error}") from None
    if manifest.package.name != folder.name:
        raise PackageError(
            f"{path}: package.name is {manifest.package.name!r}, the folder is {folder.name!r}: make them equal"
        )
    return Package(folder, manifest)


def load_packages(model_repository: Path) -> tuple[list[Package], list[str]]:
    """All packages below `model_repository`, by name, and what is wrong with the others."""
    packages: list[Package] = []
    errors: list[str] = []
    folders = sorted(p.parent for p in model_repository.glob("*/package.toml")) if model_repository.is_dir() else []
    for folder in folders:
        try:
            packages.append(load_package(folder))
        except PackageError as error:
            errors.append(str(error))
    return packages, errors


def usable_packages(model_repository: Path) -> list[Package]:
    """The packages that can be used, for a service that starts; what is wrong with the others goes to the log."""
    packages, errors = load_packages(model_repository)
    for error in errors:
        log.error("package left out: %s", error)
    return packages
