"""Of benchmarks.first_weights, in an environment with PyTorch: the features of the published EfficientNet-Lite0.

    python benchmarks/first_weights_torch.py IMAGES.npy WEIGHTS.pth FEATURES.npz

IMAGES are uint8 [B, H, W, 3]; writes float32 c3, c4 and c5 [B, H / s, W / s, channels]. Imports nothing of ours: the
network is that of the package efficientnet-lite-pytorch, and PyTorch itself reads the file.
"""

import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet


def main() -> None:
    images, weights, output = sys.argv[1:]
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=False))
    network.eval()
    x = (torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).float() - 127) / 128
    features = []
    with torch.no_grad():
        x = network._swish(network._bn0(network._conv_stem(x)))
        for block in network._blocks:
            x = block(x)
            features.append(x.permute(0, 2, 3, 1).numpy())
    # The last blocks of strides 8, 16 and 32.
    np.savez(output, c3=features[4], c4=features[10], c5=features[15])


if __name__ == "__main__":
    main()
