"""A model that trains in a fraction of a second, for the tests of the loop."""
from torch import nn


def small_model(n_classes: int = 3, dropout: float = 0.2) -> nn.Sequential:
    """Two convolutions with BatchNorm, and a head with dropout: three layer groups."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Conv2d(4, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU())
    return nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                             nn.Dropout(dropout), nn.Linear(6, n_classes)))
