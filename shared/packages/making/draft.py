"""Writes a package folder to complete: manifest, config.pbtxt and card, with what is known filled in.

What only a person can say is written as a guess with `# TODO` behind it, so that the folder is valid from the start and
everything that is open can be found by one word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.packages.manifest import SCHEMA
from shared.packages.output_tables import OutputKind

TODO = "# TODO"


@dataclass(frozen=True)
class DraftTensor:
    """A tensor without its batch dimension; -1 is any size. `source` is of inputs, `kind` of outputs."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "FP32"
    source: str = "pixels"
    kind: OutputKind = "regression"
    activation: str = "none"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What is known of a package before a person completes it."""

    name: str
    kind: str  # gate | reader
    title: str
    inputs: Sequence[DraftTensor]
    outputs: Sequence[DraftTensor]
    max_batch_size: int = 16
    intended_use: str = ""
    origin: str = ""  # where the network came from
    modality: Sequence[str] = ()
    steps: Sequence[str] = ()  # TOML of each [[preprocess]] table
    tiles: str = ""  # TOML of the [tiles] table
    digest: str = ""
    notes: Sequence[str] = field(default_factory=tuple)  # in words, what did not map; they go into the card

    @property
    def series(self) -> list[str]:
        """The names of the series of a study: those of the inputs that hold pixels, where there are several."""
        names = [output_name(tensor.name) for tensor in self.inputs if tensor.source == "pixels"]
        return names if len(names) > 1 else []

    @property
    def by(self) -> str:
        """How rows are grouped, as far as number and shape of the pixels tell."""
        return "study" if self.series else "series" if len(self.pixels.shape) == 4 else "image"

    @property
    def pixels(self) -> DraftTensor:
        """The input that holds the pixels, of several the first."""
        return next(tensor for tensor in self.inputs if tensor.source == "pixels")


def write_draft(draft: Draft, folder: Path) -> list[Path]:
    """Writes the folder's files; returns them.

    Raises:
        FileExistsError: a package is there already.
        OSError: they can't be written.
    """
    if (folder / "package.toml").exists():
        raise FileExistsError(f"{folder} holds a package already: choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    files = {"package.toml": manifest_text(draft), "config.pbtxt": config_text(draft), "README.md": card_text(draft)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def manifest_text(draft: Draft) -> str:
    """package.toml, schema 2."""
    use = draft.intended_use or "TODO: what it is for, on whom, and what it is not for"
    modality = ", ".join(f'"{name}"' for name in draft.modality) or '"OT"'
    gates = '"completeness"' if draft.by == "image" else '"completeness", "geometry"'
    parts = [
        f"schema = {SCHEMA}",
        _PACKAGE.format(name=draft.name, kind=draft.kind, title=_text(draft.title), use=_text(use)),
        _SELECTOR.format(modality=modality, by=draft.by),
        *map(_series, draft.series),
        *draft.steps,
        *([draft.tiles] if draft.tiles else []),
        *(_input(tensor, bool(draft.series)) for tensor in draft.inputs),
        *(_output(tensor) for tensor in draft.outputs),
        *([_GATE] if draft.kind == "gate" else []),
        f"[gates]\nrequired = [{gates}]",
        f'[weights]\ndigest = "sha256:{draft.digest}"' if draft.digest else "# [weights] follows when there are some",
        f"[training]\ndata = {_text(draft.origin or 'TODO: whose images, how many, from where')}",
        _FIGURES,
    ]
    return "\n\n".join(parts) + "\n"


_PACKAGE = """\
[package]
name = "{name}"
version = "0.1.0"
kind = "{kind}"
title = {title}
intended_use = {use}
use_mark = "not-for-clinical-use"

[paper]
seed = ""
title = ""
claims = \"\""""
_SELECTOR = f"""\
[selector]  {TODO}: which series it reads; without body_part every one of the modality
modality = [{{modality}}]
body_part = []
minimum_instances = 1

[grouping]
by = "{{by}}\""""
_FIGURES = f"""\
[validation]  {TODO}: figures on cases kept out, by the names that `isocenter package validate` computes

[limits]  {TODO}: what a figure must keep to before the package is promoted: auroc = {{ min = 0.9 }}"""
_GATE = f'[gate]\naggregate = "mean"\nwarn_below = 0.5  {TODO}\nhold_below = 0.25  {TODO}\non_failure = "warn"'


def _text(value: str) -> str:
    """A TOML basic string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else " " for c in escaped) + '"'


def _series(name: str) -> str:
    return (
        f'[[grouping.series]]  {TODO}: which of the study this is; [grouping] optional = ["{name}"] where it may be'
        f' missing\nname = "{name}"\nview_position = []\nlaterality = []\ndescription = []'
    )


def _input(tensor: DraftTensor, named: bool) -> str:
    source = "" if tensor.source == "pixels" else f'\nsource = "{tensor.source}"'
    source += f'\nseries = "{output_name(tensor.name)}"' if named and tensor.source == "pixels" else ""
    todo = f"  {TODO}: [[tensors.inputs.features]] with a tag for each number" if tensor.source == "features" else ""
    return f'[[tensors.inputs]]\nname = "{tensor.name}"\nshape = {list(tensor.shape)}{source}{todo}'


def _output(tensor: DraftTensor) -> str:
    name = output_name(tensor.name)
    code = f'{{ value = "{name[:16]}", scheme = "99ISO", meaning = {_text(name.replace("_", " "))} }}'
    lines = [
        f'[[outputs]]\nname = "{name}"\ntensor = "{tensor.name}"\nkind = "{tensor.kind}"  {TODO}',
        f"code = {code}  {TODO}: SCT, RADLEX, DCM or LN where they have it",
    ]
    if tensor.activation != "none":
        lines.append(f'activation = "{tensor.activation}"')
    if tensor.kind in ("binary", "multilabel"):
        lines.append(f"threshold = 0.5  {TODO}")
    lines += [
        f'\n[[outputs.labels]]\nname = "{output_name(label)}"\n'
        f'code = {{ value = "{output_name(label)[:16]}", scheme = "99ISO", meaning = {_text(label)} }}  {TODO}'
        for label in tensor.labels
    ]
    return "\n".join(lines)


def output_name(text: str) -> str:
    """A name as manifests take it, of whatever a tensor or a label is called."""
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower()).strip("_")
    named = letters if letters[:1].isalpha() else f"output_{letters}"
    return named[:48].rstrip("_")


def config_text(draft: Draft) -> str:
    """config.pbtxt: whole, since Triton guesses nothing."""
    parts = [
        f'name: "{draft.name}"\nbackend: "onnxruntime"\nmax_batch_size: {draft.max_batch_size}',
        "version_policy: { all {} }",
        _tensors("input", draft.inputs),
        _tensors("output", draft.outputs),
        *(["dynamic_batching { max_queue_delay_microseconds: 2000 }"] if draft.max_batch_size else []),
    ]
    return "\n".join(parts) + "\n"


def _tensors(side: str, tensors: Sequence[DraftTensor]) -> str:
    dims = {tensor.name: ", ".join(map(str, tensor.shape)) for tensor in tensors}
    lines = (f'  {{ name: "{t.name}", data_type: TYPE_{t.dtype}, dims: [ {dims[t.name]} ] }}' for t in tensors)
    return f"{side} [\n" + ",\n".join(lines) + "\n]"


def card_text(draft: Draft) -> str:
    """The model card's skeleton."""
    origin = f"Made from {draft.origin}.\n\n" if draft.origin else ""
    notes = "".join(f"- {note}\n" for note in draft.notes)
    mapped = f"## What did not map by itself\n\n{notes}\n" if notes else ""
    return (
        f"# {draft.name}: {draft.title}\n\n**Not for clinical use.**\n\n{origin}"
        "TODO: what it says, of which images, for whom; what it must not be used for.\n\n"
        "## Data\n\nTODO: what it learned from; how many people; what was kept out.\n\n"
        "## Figures\n\nTODO: `isocenter package validate NAME --report` writes them below, from validation.csv.\n\n"
        f"{mapped}## Limits\n\nTODO: where it fails, and how that shows.\n"
    )
