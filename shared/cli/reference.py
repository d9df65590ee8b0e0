"""Writes docs/configuration.md from the docstrings of the settings."""

import inspect
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from shared.cli.check import sections
from shared.keeping.rules import Rule
from shared.result_profiles import Wanted
from shared.settings import Destination, GateThresholds, PackageSettings

ORDER = (
    "isocenter",
    "collect",
    "admit",
    "decide",
    "gate",
    "infer",
    "report",
    "send",
    "status",
    "triton",
    "guard",
    "retention",
)
INTRODUCTION = """\
# Configuration

Written by `python -m shared.cli.reference` from the settings' own docstrings; a test holds the two together.

One file, `isocenter.toml`: named by `--config`, else by `ISOCENTER_CONFIG`, else the one in the current folder. Every
setting has a default; a file need only say what is different here. Every value can also be given by the environment, as
`ISOCENTER_<TABLE>_<SETTING>` (`ISOCENTER_COLLECT_PORT=11112`; those of `[isocenter]` without the table:
`ISOCENTER_DATABASE_URL`), which wins over the file. Secrets come that way, or as files of those names, in lower case,
in the folder that `ISOCENTER_SECRETS_DIR` names. `isocenter check` says what is wrong, on which line, and what to
write instead.

```toml
[collect]
ae_title = "ISOCENTER"
port = 11112

[[destinations]]
name = "PACS"
kind = "dicom"
host = "pacs.hospital.example"
port = 104
ae_title = "MAINPACS"

[[destinations]]
name = "RIS"
kind = "mllp"
host = "ris.hospital.example"
port = 2575
receiving_application = "RIS"
receiving_facility = "HOSPITAL"

[[retention.rules]]
name = "delivered images"
remove = "images"
states = ["delivered", "refused"]
after_days = 30

[gates.motion_ssim]
warn_below = 0.85

[packages.slice_transformer]
timeout_seconds = 120
concurrency = 2
```
"""


def reference() -> str:
    """The page, as Markdown."""
    known = sections()
    parts = [INTRODUCTION]
    parts += [_table(f"[{name}]", known[name]) for name in ORDER]
    parts.append(_table("[[retention.rules]]", Rule))
    parts.append(_table("[[destinations]]", Destination))
    parts.append(_table("[gates.NAME]", GateThresholds))
    parts.append(_table("[packages.NAME]", PackageSettings))
    parts.append(_table("[[collect.peers]]", _entries(known["collect"], "peers")))
    return "\n".join(parts)


def _entries(model: type[BaseModel], setting: str) -> type[BaseModel]:
    """The model of a setting that is a list of tables."""
    (entry,) = get_args(model.model_fields[setting].annotation)
    assert isinstance(entry, type)
    assert issubclass(entry, BaseModel)
    return entry


def _table(title: str, model: type[BaseModel]) -> str:
    doc = (inspect.getdoc(model) or "").splitlines()[0]
    lines = [f"## `{title}`", "", doc, "", "| setting | default | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {_default(info)} | {' '.join((info.description or '').split())} |"
        for name, info in _results_last(model)
    ]
    return "\n".join(lines) + "\n"


def _results_last(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The fields in their order, but where a destination lies before what it wants."""
    return sorted(model.model_fields.items(), key=lambda field: field[0] in Wanted.model_fields)


def _default(info: FieldInfo) -> str:
    value: Any = info.get_default(call_default_factory=True) if not info.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "required"
    if value in ("", None, [], {}):
        return "–"
    return f"`{value.name if isinstance(value, Path) and value.is_absolute() else value}`"


if __name__ == "__main__":
    print(reference(), end="")
