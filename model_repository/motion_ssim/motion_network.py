"""ResNet-18 of the motion gate: one score per slice as the mean of the scores of its places, and its ONNX export."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 32
"""Pixels between two places of the network's score map."""
BORDER = 3
"""Pixels at the edge that scikit-image leaves out of the mean SSIM (half of its window of 7)."""
WINDOW = 7
CONTRAST = 0.03**2
"""SSIM's window and its constant C2 for data of range 1: local contrast far below it does not count."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut, as in ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def features(image: Tensor) -> Tensor:
    """Four channels: the image, its root, its detail and its contrast in the window and on the scale of SSIM.

    Ghosts and noise in the air are faint, yet set the SSIM there: the root lifts them, and dividing by the local
    contrast as SSIM does shows the network what SSIM will compare.
    """
    pad = WINDOW // 2
    mean = functional.avg_pool2d(image, WINDOW, 1, pad, count_include_pad=False)
    square = functional.avg_pool2d(image * image, WINDOW, 1, pad, count_include_pad=False)
    variance = torch.relu(square - mean * mean)
    detail = (image - mean) / torch.sqrt(variance + 0.25 * CONTRAST)
    contrast = 0.25 * torch.log((variance + 0.01 * CONTRAST) / CONTRAST)
    return torch.cat([image, torch.sqrt(image + 1e-4), 0.5 * detail, contrast], dim=1)


class MotionNet(nn.Module):
    """ResNet-18 (eight basic blocks in four stages) of narrower width, any image size.

    The head is a 1×1 convolution and a sigmoid at every place; the score of the slice is their mean weighted by
    the pixels that each place covers, which is what the mean of an SSIM map is. Input (N, 1, H, W) in [0, 1].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, width, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(4):
            outputs = width * 2**stage
            blocks.append(BasicBlock(channels, outputs, 1 if stage == 0 else 2))
            blocks.append(BasicBlock(outputs, outputs, 1))
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.head.bias, 2.0)

    def score_map(self, image: Tensor) -> Tensor:
        """SSIM of each place, shape (N, 1, ceil(H/32), ceil(W/32))."""
        return self.score_features(features(image))

    def score_features(self, x: Tensor) -> Tensor:
        """`score_map` of what `features` made of the image."""
        x = functional.relu(self.norm(self.stem(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        return torch.sigmoid(self.head(self.blocks(x)))

    def forward(self, image: Tensor) -> Tensor:
        scores = self.score_map(image)
        inner = torch.ones_like(image)[:, :, BORDER:-BORDER, BORDER:-BORDER]
        reach = BORDER + STRIDE - 1
        weight = functional.avg_pool2d(functional.pad(inner, (BORDER, reach, BORDER, reach)), STRIDE, STRIDE)
        return ((scores * weight).sum((2, 3)) / weight.sum((2, 3))).reshape(-1, 1)


def export(net: MotionNet, path: Path) -> None:
    """Write the network as ONNX (opset 17, IR 8): `image` FP32 (N, 1, H, W) → `ssim` FP32 (N, 1)."""
    import onnx

    net = net.float().eval().to(memory_format=torch.contiguous_format)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        net,
        (torch.zeros(2, 1, 256, 224),),
        str(path),
        input_names=["image"],
        output_names=["ssim"],
        dynamic_axes={"image": {0: "batch", 2: "rows", 3: "columns"}, "ssim": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    graph = onnx.load(str(path))
    graph.ir_version = 8
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))
