"""The one part of GEMEL that is trained: image features to prefix vectors of the language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FeatureMapper(nn.Module):
    """One linear layer (arXiv 2306.12725, section 3.2), in fp32 whatever the language model's precision.

    In fp16 most of its weights could not move: at a learning rate of 1e-6 a step is smaller than their spacing.

    Args:
        image_width: Columns of an image feature.
        width: Columns of the language model's input vectors.
        prefix_length: Vectors an image.
    """

    def __init__(self, image_width: int, width: int, prefix_length: int) -> None:
        super().__init__()
        self.width, self.prefix_length = width, prefix_length
        self.linear = nn.Linear(image_width, prefix_length * width, dtype=torch.float32)

    def forward(self, images: Tensor) -> Tensor:
        """Prefix vectors [n, prefix_length, width], float32, of image features [n, image_width]."""
        flat: Tensor = self.linear(images.float())  # [n, prefix_length * width]
        return flat.view(-1, self.prefix_length, self.width)
