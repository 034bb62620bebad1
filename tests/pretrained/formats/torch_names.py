"""The arrays of tiny ResNets under torch names, written out from torchvision rather than from the name map."""

import numpy as np


def torch_resnet(
    block="basic", stem="imagenet", depths=(2, 1), widths=(4, 8), stem_width=4, classes=3, downsample="downsample"
):
    """Returns the arrays by name; an empty ``downsample`` leaves shortcuts without parameters, 0 classes the head."""
    random = np.random.default_rng(0)
    found = {}

    def conv(name, out, into, kernel):
        found[f"{name}.weight"] = random.standard_normal((out, into, kernel, kernel)).astype(np.float32)

    def norm(name, width):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{leaf}"] = random.uniform(0.5, 1.5, width).astype(np.float32)
        found[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    conv("conv1", stem_width, 3, 7 if stem == "imagenet" else 3)
    norm("bn1", stem_width)
    into, expansion = stem_width, 4 if block == "bottleneck" else 1
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for i in range(depth):
            name, out = f"layer{stage}.{i}", width * expansion
            kernels = (1, 3, 1) if block == "bottleneck" else (3, 3)
            channels = (into, width, width, out) if block == "bottleneck" else (into, width, width)
            for j, kernel in enumerate(kernels):
                conv(f"{name}.conv{j + 1}", channels[j + 1], channels[j], kernel)
                norm(f"{name}.bn{j + 1}", channels[j + 1])
            if downsample and i == 0 and (stage > 1 or into != out):
                conv(f"{name}.{downsample}.0", out, into, 1)
                norm(f"{name}.{downsample}.1", out)
            into = out
    if classes:
        found["fc.weight"] = random.standard_normal((classes, into)).astype(np.float32)
        found["fc.bias"] = random.standard_normal(classes).astype(np.float32)
    return found
