"""Writes what a gate package's folder holds: graph, config.pbtxt, golden rows, manifest and card."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sage_network import LATENT, NEIGHBOURS, Sage
from sage_pool import Row, Target

WARN_BELOW, HOLD_BELOW = 0.05, 0.01
CONDITIONS = {"similarity": "Similarity to training data", "knn": "Distance to training data, as a probability",
              "reconstruction": "Reconstruction error, as a probability",
              "confidence": "Confidence, as a probability"}  # fmt: skip
LIMITS = ("[limits]", "share_below_0_05 = { max = 0.1 }", "similarity_auroc = { min = 0.9 }")
PAPER = (
    "Generalization is not a universal guarantee: Estimating similarity to training data with an ensemble"
    " out-of-distribution metric"
)


def gate_name(target: Target) -> str:
    """The gate's name: also its folder's and its model's."""
    return f"sage_{target.package.name}"


def export(sage: Sage, shape: list[int], name: str, path: Path) -> str:
    """Write the graph as ONNX, opset 17, batch and any -1 of `shape` free; returns its digest as manifests have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    example = torch.rand(2, *(256 if size == -1 else size for size in shape))
    axes = {name: {0: "batch", **{1 + n: f"size{n}" for n, size in enumerate(shape) if size == -1}}}
    torch.onnx.export(
        sage.eval(), (example,), path, input_names=[name], output_names=list(CONDITIONS),
        dynamic_axes=axes | {output: {0: "batch"} for output in CONDITIONS}, opset_version=17, dynamo=False,
    )  # fmt: skip
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def write_golden(folder: Path, name: str, rows: list[Row]) -> None:
    """Input rows and what the graph says of them, by tensor; the rows in 256 steps, so that the file stays small."""
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    low, high = min(float(row.min()) for row in rows), max(float(row.max()) for row in rows)
    span = max(high - low, 1e-6)
    stack = np.stack([(np.round((row - low) / span * 255) / 255 * span + low).astype(np.float32) for row in rows])
    given = session.run(list(CONDITIONS), {name: stack})
    (folder / "golden").mkdir(exist_ok=True)
    np.savez_compressed(folder / "golden" / "rows.npz", **{name: stack}, **dict(zip(CONDITIONS, given, strict=True)))


def write_config(folder: Path, target: Target) -> None:
    """Triton's configuration."""
    pixels = target.package.manifest.tensors.pixels
    outputs = ",\n".join(f'  {{ name: "{name}", data_type: TYPE_FP32, dims: [ 1 ] }}' for name in CONDITIONS)
    (folder / "config.pbtxt").write_text(
        f'name: "{gate_name(target)}"\n'
        'backend: "onnxruntime"\n'
        "max_batch_size: 8\n"
        "input [\n"
        f'  {{ name: "{pixels.name}", data_type: TYPE_FP32, dims: [ {", ".join(map(str, pixels.shape))} ] }}\n'
        "]\n"
        f"output [\n{outputs}\n]\n"
        "dynamic_batching { max_queue_delay_microseconds: 2000 }\n"
        "instance_group [ { count: 1 } ]\n"
        "version_policy: { all {} }\n"
    )


def write_manifest(
    folder: Path, target: Target, digest: str, figures: dict[str, float], training: dict[str, object], warn_only: bool
) -> None:
    """`package.toml`: the selector, the steps and the input are the package's own."""
    manifest, name = target.package.manifest, target.package.name
    pixels = manifest.tensors.pixels
    lines = ["schema = 2", "", "[package]", f'name = "{gate_name(target)}"', 'version = "1.0.0"', 'kind = "gate"']
    lines += _keys({
        "title": "Likeness to training data",
        "intended_use": f"Warns where an image is unlike those that {name} has learned from, whose answer then means"
        " little. It judges the image, not the patient.",
        "use_mark": manifest.package.use_mark,
    })  # fmt: skip
    lines += ["", "[paper]", *_keys({"seed": "S076", "title": PAPER, "claims": "relative: performance rises after low"
              " scores are rejected; the score falls with transformations of growing severity (MNIST, CIFAR-10,"
              " Abalone)"})]  # fmt: skip
    lines += ["", "[selector]", *_keys(manifest.selector.model_dump(exclude_defaults=True))]
    lines += ["", "[grouping]", 'by = "image"']
    for step in manifest.preprocess:
        lines += ["", "[[preprocess]]", *_keys({"step": step.step, **step.parameters})]
    lines += ["", "[[tensors.inputs]]", *_keys({"name": pixels.name, "dtype": "FP32", "shape": pixels.shape})]
    for output, meaning in CONDITIONS.items():
        lines += ["", "[[outputs]]", *_keys({"name": output, "tensor": output, "kind": "regression"})]
        lines += [f'code = {{ value = "sage-{output}", scheme = "99ISO", meaning = "{meaning}" }}']
        lines += ['unit = "1"', "range = [0.0, 1.0]"]
    lines += ["", "[gate]", 'direction = "higher-is-better"', 'unit = "1"', 'aggregate = "min"']
    lines += [f"warn_below = {WARN_BELOW}", f"hold_below = {0.0 if warn_only else HOLD_BELOW}", 'on_failure = "warn"']
    lines += ["", "[gates]", 'required = ["completeness"]', "", "[weights]", f'digest = "{digest}"']
    lines += ["", "[training]", *_keys(training), "", "[validation]", *_keys(figures), "", *LIMITS, ""]
    (folder / "package.toml").write_text("\n".join(lines))


def _keys(values: dict[str, object]) -> list[str]:
    """TOML lines; JSON writes strings, numbers, booleans and lists as TOML reads them."""
    return [f"{key} = {json.dumps(_short(value))}" for key, value in values.items()]


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def write_card(folder: Path, target: Target, training: dict[str, object], figures: dict[str, float]) -> None:
    """The card: what it is, on what it was made, and what was measured."""
    name, pixels = target.package.name, target.package.manifest.tensors.pixels
    made = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in training.items())
    rows = "\n".join(f"| {key} | {_short(value)} |" for key, value in figures.items())
    mark = target.package.manifest.package.use_mark.replace("-", " ").capitalize()
    size = (folder / "1" / "model.onnx").stat().st_size
    (folder / "README.md").write_text(f"""# {gate_name(target)}

Says how like an image is to those that `{name}` was trained on: one `similarity` from 0 to 1, the share of fresh images
of {name}'s own kind that are at least as unlike them. **{mark}**, as {name} itself.

After *{PAPER}* (S076).
A supervised autoencoder, in whose latent space empirical probabilities of three measures are combined.

| | |
| --- | --- |
| reads | what {name} reads, by the same selector and steps |
| `{pixels.name}` | FP32 [N, {", ".join(map(str, pixels.shape))}] |
| `similarity` | survival of T = -(ln knn + ln reconstruction + ln confidence) on the calibration images |
| `knn` | P of so large a mean distance to the {NEIGHBOURS} nearest of 512 training latents ({LATENT} values each) |
| `reconstruction` | P of so large an error of rebuilding 64 x 64 means and grains |
| `confidence` | P of so little confidence of the task head, which learns {name}'s answers and the truth |

The graph ({size / 1e6:.2f} MB, opset 17) holds everything, reference latents and distributions included. It belongs to
{name} {target.package.version}: built again when {name} is trained again.

![Performance by share rejected](rejection.png)

![Similarity by strength](deformation.png)

## Made of

{made}

## Measured on images kept out

| | |
| --- | --- |
{rows}
""")
