"""One configuration, one page of it: `isocenter.toml`, in sections, each a model that says what is wrong and where.

A section that only one service reads is that service's `settings.py`; what several read stands here. Every value
can also be given by environment, `ISOCENTER_<SECTION>_<NAME>`, which wins over the file. Secrets come by file or
environment.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.packages.settings import GateThresholds, PackageSettings
from shared.result_profiles import Wanted
from shared.toml_lines import decode_page, parse_page

CONFIG_VARIABLE = "ISOCENTER_CONFIG"
SECRETS_VARIABLE = "ISOCENTER_SECRETS_DIR"


class Section(BaseSettings):
    """A table of `isocenter.toml`; `name` is the table's."""

    model_config = SettingsConfigDict(extra="forbid", env_nested_delimiter="__", use_attribute_docstrings=True)
    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            cls.model_config["env_prefix"] = (
                "ISOCENTER_" if cls.name == "isocenter" else f"ISOCENTER_{cls.name.upper()}_"
            )
            cls.model_config["secrets_dir"] = os.environ.get(SECRETS_VARIABLE)

    @classmethod
    def of(cls, table: dict[str, Any]) -> Self:
        """The section that this table says.

        Raises:
            pydantic.ValidationError: a value is wrong, or there is no such setting. Names that begin with an underscore
                would otherwise steer pydantic: `_env_file` reads another file, `_cli_parse_args` the command line.
        """
        if odd := [name for name in table if name.startswith("_")]:
            errors: list[Any] = [{"type": "extra_forbidden", "loc": (name,), "input": table[name]} for name in odd]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return cls(**table)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """The environment wins over secret files, and these over the page."""
        return env_settings, file_secret_settings, init_settings


class Working(Section):
    """What every stage has beside its own: how long it works on one piece."""

    lease_seconds: float = Field(default=60, ge=3, le=3600)
    """After this long without a sign of life another worker takes over; work that goes on renews it."""
    longest_work_seconds: float = Field(default=600, ge=1, le=86400)
    """Work that takes longer hangs: its attempt counts as failed, and its process ends and is started again."""

    @property
    def patience(self) -> dict[str, Any]:
        """The same, as `shared.stage.Stage` names them."""
        return {
            "lease": timedelta(seconds=self.lease_seconds),
            "longest_work": timedelta(seconds=self.longest_work_seconds),
        }


class Staged(Working):
    """And how it tries again."""

    most_attempts: int = Field(default=5, ge=1, le=1000)
    """Attempts on one study or run before it is dead; a person's replay begins anew."""
    first_retry_seconds: float = Field(default=2, gt=0, le=3600)
    """The wait after the first failed attempt; doubled each time, with jitter."""
    longest_retry_seconds: float = Field(default=300, gt=0, le=86400)
    """The longest wait between two attempts."""

    @property
    def patience(self) -> dict[str, Any]:
        """The same, as `shared.stage.Stage` names them."""
        return {
            "most_attempts": self.most_attempts,
            "first_delay": timedelta(seconds=self.first_retry_seconds),
            "longest_delay": timedelta(seconds=self.longest_retry_seconds),
            **super().patience,
        }


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"there is no home folder for {path.parts[0]}: write the whole path") from None


class Core(Section):
    """[isocenter]: where things are kept."""

    name: ClassVar[str] = "isocenter"

    data_dir: Path = Path("data")
    """Everything that Isocenter keeps: instances, results, quarantine, and by default the database and the broker."""
    database_url: str = ""
    """`postgresql+psycopg://…`, or empty: SQLite in the data folder."""
    broker_url: str = ""
    """`amqp://…`, or empty: files in the data folder."""
    broker_prefix: str = "isocenter"
    """Prefix of queues and exchange, for several systems on one broker."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least that the logs say."""
    institution_name: str = ""
    """Written as MSH-4 and into produced objects where the source names none."""

    @field_validator("data_dir")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return _absolute(value)

    @model_validator(mode="after")
    def _embedded_defaults(self) -> Self:
        self.database_url = self.database_url or f"sqlite:///{self.data_dir}/isocenter.db"
        self.broker_url = self.broker_url or "folder://localhost/"
        return self

    @property
    def store_dir(self) -> Path:
        """The instances as received: `<study>/<series>/<sop>.dcm`."""
        return self.data_dir / "store"

    @property
    def results_dir(self) -> Path:
        """The result objects: `<study>/<run>/<file>`."""
        return self.data_dir / "results"

    @property
    def quarantine_dir(self) -> Path:
        """Bytes that came in and could not be used."""
        return self.data_dir / "quarantine"


class Triton(Section):
    """[triton]: who serves the packages."""

    name: ClassVar[str] = "triton"

    url: str = ""
    """gRPC `host:port` of a Triton that someone else runs; empty: `isocenter up` starts its own."""
    model_repository: Path = Path("model_repository")
    """The folder of packages."""
    environment: Path = Path(".venv-triton")
    """The environment that Isocenter's own Triton runs from (see deploy/triton)."""
    shared_memory: Literal["auto", "never"] = "auto"
    """System shared memory when Triton runs on the same host: a third of the time a request takes over gRPC alone."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """Longest wait for one request to a model."""

    @field_validator("model_repository", "environment")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return _absolute(value)


class Destination(Wanted):
    """[[destinations]]: where results go."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    kind: Literal["dicom", "mllp"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    ae_title: str = Field(default="", max_length=16)
    """dicom: the AE title that is called."""
    receiving_application: str = ""
    """mllp: MSH-5."""
    receiving_facility: str = ""
    """mllp: MSH-6."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """Longest wait for one answer."""
    most_attempts: int = Field(default=300, ge=1, le=10_000)
    """Attempts before a delivery is dead while the destination is away; with the doubling delay, 300 are two days. What
    it refuses is dead after 3, what it answers with another error after 12."""
    first_retry_seconds: float = Field(default=5, gt=0, le=3600)
    """The wait after the first failed attempt on one object; doubled each time, with jitter."""
    longest_retry_seconds: float = Field(default=600, gt=0, le=86400)
    """The longest wait between two attempts."""
    per_minute: float = Field(default=0, ge=0, le=6000)
    """Objects a minute at most, evenly spaced, all send workers together; 0: as fast as it takes them."""
    concurrency: int = Field(default=0, ge=0, le=32)
    """Objects on their way to it at once, of each send worker; 0: its share of send.concurrency."""
    commitment: bool = False
    """dicom: a result counts as delivered only when the PACS has also said that it keeps it (storage commitment,
    PS3.4 Annex J). The PACS must offer it, and know `[send] ae_title` at the port of `[collect]`: its answer comes
    there."""
    commitment_timeout_seconds: float = Field(default=600.0, gt=0)
    """dicom: longest wait for that answer, then the PACS is asked again; after three times the delivery is dead."""

    @model_validator(mode="after")
    def _by_kind(self) -> Self:
        if self.kind == "mllp" and self.commitment:
            raise ValueError("only a dicom destination can be asked for storage commitment: take commitment out")
        if self.kind == "dicom" and not self.ae_title.strip():
            raise ValueError(
                "a dicom destination needs ae_title: the AE title of the PACS, as its administrator gave it"
            )
        self.settle_objects(self.kind)
        return self


class Shared(BaseModel):
    """The parts of the page that are not one service's table."""

    destinations: list[Destination] = []
    gates: dict[str, GateThresholds] = {}
    packages: dict[str, PackageSettings] = {}

    @field_validator("destinations")
    @classmethod
    def _names_differ(cls, value: list[Destination]) -> list[Destination]:
        names = [d.name for d in value]
        if len(names) != len(set(names)):
            raise ValueError("two destinations have the same name: give each its own")
        return value


S = TypeVar("S", bound=Section)


class Config:
    """The page, read once."""

    def __init__(self, page: dict[str, Any] | None = None, path: Path | None = None) -> None:
        self.page, self.path = page or {}, path

    def section(self, model: type[S]) -> S:
        """One table, validated.

        Raises:
            pydantic.ValidationError: a value is wrong; `isocenter check` says where and what to write.
        """
        return model.of(self.page.get(model.name, {}))

    @property
    def destinations(self) -> list[Destination]:
        return self._shared().destinations

    @property
    def gates(self) -> dict[str, GateThresholds]:
        return self._shared().gates

    @property
    def packages(self) -> dict[str, PackageSettings]:
        return self._shared().packages

    def _shared(self) -> Shared:
        return Shared.model_validate({k: v for k, v in self.page.items() if k in Shared.model_fields})


def load_config(path: Path | None = None) -> Config:
    """Reads `path`, or what ISOCENTER_CONFIG names, or `isocenter.toml` here if there is one, else the defaults.

    Raises:
        FileNotFoundError: the named file is not there.
        ValueError: it is not TOML.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if named is None:
        named = Path("isocenter.toml")
        if not named.exists():
            return Config()
    return Config(parse_page(decode_page(named.read_bytes())), named)


__all__ = [
    "Config",
    "Core",
    "Destination",
    "GateThresholds",
    "PackageSettings",
    "Section",
    "Staged",
    "Triton",
    "ValidationError",
    "Working",
    "load_config",
]
