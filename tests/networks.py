"""Tiny ONNX networks, written byte by byte: tests need no library that makes networks."""

import struct
from collections.abc import Sequence

# onnx.proto3: TensorProto.DataType by Triton's names
ELEMENTS = {
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "STRING": 8, "BOOL": 9,
    "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13,
}  # fmt: skip
FLOAT = ELEMENTS["FP32"]
Shape = Sequence[int | str]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor_info(name: str, element: int, shape: Shape) -> bytes:
    dims = b"".join(block(1, number(1, d) if isinstance(d, int) else block(2, d)) for d in shape)
    return block(1, name) + block(2, block(1, number(1, element) + block(2, dims)))


def node(op: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    names = b"".join(block(1, name) for name in inputs) + b"".join(block(2, name) for name in outputs)
    return names + block(4, op)


def constant(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    dims = b"".join(number(1, d) for d in shape)
    return dims + number(2, FLOAT) + block(8, name) + block(9, struct.pack(f"<{len(values)}f", *values))


def integers(name: str, values: Sequence[int]) -> bytes:
    return number(1, len(values)) + number(2, ELEMENTS["INT64"]) + block(8, name) + block(
        9, struct.pack(f"<{len(values)}q", *values)
    )  # fmt: skip


def network(
    nodes: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes], constants: Sequence[bytes] = ()
) -> bytes:
    """A ModelProto of opset 13."""
    graph = b"".join(block(1, item) for item in nodes) + block(2, "g")
    graph += b"".join(block(5, item) for item in constants)
    graph += b"".join(block(11, item) for item in inputs) + b"".join(block(12, item) for item in outputs)
    return number(1, 7) + block(7, graph) + block(8, number(2, 13))


def of_mean(
    names: Sequence[str], weights: Sequence[float], biases: Sequence[float], apart: Sequence[str] = ()
) -> bytes:
    """image [N,1,H,W] → names[0] [N,k]: weight · the image's mean + bias for each of k; names[1], where it is there,
    [N,1]: their sum; `apart` [N,1] each: the k one by one, instead of all that."""
    k = len(biases)
    nodes = [
        node("GlobalAveragePool", ["image"], ["pooled"]), node("Flatten", ["pooled"], ["mean"]),
        node("MatMul", ["mean", "weights"], ["weighed"]), node("Add", ["weighed", "biases"], [names[0]]),
        *(node("MatMul", [names[0], "ones"], [name]) for name in names[1:]),
        *(node("MatMul", [names[0], f"pick_{name}"], [name]) for name in apart),
    ]  # fmt: skip
    singles = [tensor_info(name, FLOAT, ["n", 1]) for name in (*names[1:], *apart)]
    outputs = singles if apart else [tensor_info(names[0], FLOAT, ["n", k]), *singles]
    constants = [
        constant("weights", [1, k], weights), constant("biases", [k], biases), constant("ones", [k, 1], [1.0] * k),
        *(constant(f"pick_{name}", [k, 1], [float(m == n) for m in range(k)]) for n, name in enumerate(apart)),
    ]  # fmt: skip
    return network(nodes, [tensor_info("image", FLOAT, ["n", 1, "h", "w"])], outputs, constants)


def of_points(name: str, points: Sequence[Sequence[float]], axes: Sequence[str]) -> bytes:
    """image [N,1,axes] → name [N,points,coordinates]: these points, whatever the image."""
    flat = [value for point in points for value in point]
    nodes = [
        node("GlobalAveragePool", ["image"], ["pooled"]), node("Flatten", ["pooled"], ["mean"]),
        node("MatMul", ["mean", "weights"], ["weighed"]), node("Add", ["weighed", "biases"], ["flat"]),
        node("Reshape", ["flat", "shape"], [name]),
    ]  # fmt: skip
    constants = [
        constant("weights", [1, len(flat)], [0.0] * len(flat)), constant("biases", [len(flat)], flat),
        integers("shape", [-1, len(points), len(points[0])]),
    ]  # fmt: skip
    output = tensor_info(name, FLOAT, ["n", len(points), len(points[0])])
    return network(nodes, [tensor_info("image", FLOAT, ["n", 1, *axes])], [output], constants)


def of_pixels(
    channels: dict[str, tuple[Sequence[float], Sequence[float]]], axes: Sequence[str] = ("h", "w"),
    mean_of: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """image [N,1,axes] → for each name [N,k,axes]: weight · the pixel + bias, for each of its k weights and biases; and
    `mean_of` them, by name, [N,k,1,…]."""
    nodes = [node("Conv", ["image", f"{name}_w", f"{name}_b"], [name]) for name in channels]
    constants = [
        part
        for name, (weights, biases) in channels.items()
        for part in (
            constant(f"{name}_w", [len(weights), 1, *(1 for _ in axes)], weights),
            constant(f"{name}_b", [len(biases)], biases),
        )
    ]
    outputs = [tensor_info(name, FLOAT, ["n", len(weights), *axes]) for name, (weights, _) in channels.items()]
    for name, mean in (mean_of or {}).items():
        nodes.append(node("GlobalAveragePool", [name], [mean]))
        outputs.append(tensor_info(mean, FLOAT, ["n", len(channels[name][0]), *(1 for _ in axes)]))
    return network(nodes, [tensor_info("image", FLOAT, ["n", 1, *axes])], outputs, constants)
