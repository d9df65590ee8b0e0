"""ResNet-18 of the motion gate: a slice's score is the mean of the scores of its places; ONNX export and import."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
"""Pixels between two places of the network's score map."""
NECK = 32
"""Channels on the way down from the last stage to the fine score map."""
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

    The last stage scores every 32×32 pixels. What it saw goes down to the second stage's grid, as in a feature
    pyramid, and corrects the score there every 8×8 pixels, before a sigmoid. The score of the slice is the mean of
    its places weighted by the pixels that each covers, which is what the mean of an SSIM map is. Input (N, 1, H, W)
    in [0, 1].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, width, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        channels = width
        for stage in range(4):
            outputs = width * 2**stage
            first = BasicBlock(channels, outputs, 1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, BasicBlock(outputs, outputs, 1)))
            channels = outputs
        self.stages = nn.ModuleList(stages)
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.head.bias, 2.0)
        self.down = nn.ModuleList([nn.Conv2d(width * 2**stage, NECK, 1) for stage in (1, 2, 3)])
        self.fine = nn.Conv2d(NECK, NECK, 3, 1, 1)
        self.correction = nn.Conv2d(NECK, 1, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def score_map(self, image: Tensor) -> Tensor:
        """SSIM of each place, shape (N, 1, ceil(H/8), ceil(W/8))."""
        return self.score_features(features(image))

    def score_features(self, x: Tensor) -> Tensor:
        """`score_map` of what `features` made of the image."""
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(x))), 3, 2, 1)
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        coarse, passed = self.head(x), self.down[2](x)
        for level in (2, 1):
            coarse = _twice(coarse, seen[level])
            passed = functional.relu(self.down[level - 1](seen[level]) + _twice(passed, seen[level]))
        return torch.sigmoid(coarse + self.correction(functional.relu(self.fine(passed))))

    def forward(self, image: Tensor) -> Tensor:
        scores = self.score_map(image)
        inner = torch.ones_like(image)[:, :, BORDER:-BORDER, BORDER:-BORDER]
        reach = BORDER + STRIDE - 1
        weight = functional.avg_pool2d(functional.pad(inner, (BORDER, reach, BORDER, reach)), STRIDE, STRIDE)
        return ((scores * weight).sum((2, 3)) / weight.sum((2, 3))).reshape(-1, 1)


def _twice(x: Tensor, like: Tensor) -> Tensor:
    """Each place as four, cut to the size of `like`."""
    return functional.interpolate(x, scale_factor=2.0)[:, :, : like.shape[2], : like.shape[3]]


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


def load_exported(net: MotionNet, path: Path, images: Tensor) -> None:
    """Put the weights of an exported file back into `net`, so that training can go on from it.

    The export folds each normalisation into its convolution. Here each gets the statistics that `images` have at
    its place and the scale and shift that undo them, so that the network gives what the file gave, in both modes.
    """
    import onnx
    from onnx import numpy_helper

    named = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in onnx.load(str(path)).graph.initializer}
    net.load_state_dict({name: named.pop(name) for name in net.state_dict() if name in named}, strict=False)
    arrays = list(named.values())
    folded = iter(zip(arrays[::2], arrays[1::2], strict=True))
    body = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    layers = [m for m in body if not (isinstance(m, nn.Conv2d) and m.bias is not None)]
    hooks = []
    for conv, norm in zip(layers[::2], layers[1::2], strict=True):
        conv.weight.data, bias = next(folded)
        hooks.append(norm.register_forward_pre_hook(_unfold(bias)))
    with torch.no_grad():
        net.eval()(images)
    for hook in hooks:
        hook.remove()
    net.train()


def _unfold(bias: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data = torch.sqrt(variance + norm.eps)
        norm.bias.data = bias + mean

    return hook
