"""What a hospital says of gates and packages in `isocenter.toml`, instead of what their manifests say."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.packages.manifest import DIGEST, VERSION


class GateThresholds(BaseModel):
    """[gates.<name>]: the hospital's own thresholds instead of the package's."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    warn_below: float | None = Field(default=None, allow_inf_nan=False)
    hold_below: float | None = Field(default=None, allow_inf_nan=False)
    verdict: Literal["warn", "hold"] | None = None
    """The strictest verdict that this gate may give: "warn" never holds."""


class PackageSettings(BaseModel):
    """[packages.<name>]: what the hospital says of a package instead of its manifest and of `isocenter package use`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    pin: Annotated[str, Field(pattern=VERSION)] | None = None
    """The version that reads, whatever `isocenter package use` has chosen: no canary beside it."""
    digest: Annotated[str, Field(pattern=DIGEST)] | None = None
    """The weights that may read, as `sha256:<hex>`: any other file of this package is refused. Without `pin` it also
    says which version reads."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=3600)
    """Longest wait for one request to its model; else the manifest's, else triton.timeout_seconds."""
    concurrency: int | None = Field(default=None, ge=1, le=64)
    """Runs of it at once, over all infer workers; of a gate package, studies that are gated with it at once, over all
    gate workers. Else the manifest's, else as many as there are hands."""
    most_attempts: int | None = Field(default=None, ge=1, le=1000)
    """Attempts before a run of it is dead; else the manifest's, else infer.most_attempts. Of a gate package it says
    nothing: there the study is tried, gate.most_attempts times."""
