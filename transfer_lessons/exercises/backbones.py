"""Exercises and questions of lesson 4, What a pretrained network has learned."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong


def conv_at(x, w, row, col, stride):
    size = w.shape[-1]
    top = row * stride
    left = col * stride
    patch = x[:, top:top + size, left:left + size]
    return (patch * w).sum((1, 2, 3))


def conv_by_torch(x, w, row, col, stride):
    return F.conv2d(x[None], w, stride=stride)[0, :, row, col]


def patch_at(x, w, top, left):
    return x[:, top:top + w.shape[-1], left:left + w.shape[-1]]


def image_and_filters(n_channels, height, width, n_filters, size=3):
    generator = torch.Generator().manual_seed(height)
    x = torch.rand(n_channels, height, width, generator=generator)
    w = torch.randn(n_filters, n_channels, size, size, generator=generator)
    return x, w


CONV_AT = Exercise(
    "conv_at", conv_at, idea="a convolution is multiply and add",
    expected=conv_by_torch,
    cases={
        "the top left corner": lambda: (*image_and_filters(3, 6, 6, 4), 0, 0, 1),
        "stride 2": lambda: (*image_and_filters(3, 9, 9, 2), 1, 2, 2),
        "a wide image": lambda: (*image_and_filters(3, 5, 9, 2), 1, 5, 1),
        "a grey image": lambda: (*image_and_filters(1, 7, 8, 3), 2, 1, 1),
        "a large filter, stride 3": lambda: (*image_and_filters(2, 12, 14, 3, size=5), 2, 1, 3),
    },
    wrong=[
        Wrong("no stride",
              lambda x, w, row, col, stride: (patch_at(x, w, row, col) * w).sum((1, 2, 3)),
              "row and col count positions of the feature map. The filter moves stride pixels from "
              "one to the next, so the patch begins at row * stride."),
        Wrong("flips the filter",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride, col * stride) * w.flip(-1, -2)).sum((1, 2, 3)),
              "Mathematicians turn the filter round before they multiply; deep learning does not. "
              "Multiply each pixel by the weight that lies on it."),
        Wrong("a mean",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride, col * stride) * w).mean((1, 2, 3)),
              "A convolution adds the products up; it does not divide by their number."),
        Wrong("one colour only",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride, col * stride)[0] * w[:, 0]).sum((1, 2)),
              "You used the first channel only. A filter has weights for every channel, and its "
              "activation adds them all up."),
        Wrong("channels apart",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride, col * stride) * w).sum((2, 3)),
              "You have one sum per filter and channel. A filter gives a single activation: add up "
              "the channels too."),
        Wrong("row and column exchanged",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, col * stride, row * stride) * w).sum((1, 2, 3)),
              "Rows come before columns, in the image [C, H, W] as in the feature map. Yours are "
              "exchanged."),
        Wrong("one filter",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride, col * stride) * w[0]).sum(),
              "This is the activation of the first filter. All of them look at the same patch; "
              "return one activation per filter."),
        Wrong("centred on the position",
              lambda x, w, row, col, stride: (
                  patch_at(x, w, row * stride - 1, col * stride - 1) * w).sum((1, 2, 3)),
              "You put the centre of the filter where its corner belongs. That is a convolution "
              "with padding; without, position 0 begins at pixel 0."),
    ],
    hints=["Which pixels lie under the filter at this position? The first one is row * stride.",
           "Cut the patch [C, k, k] out of x. Multiplied by w, of shape [O, C, k, k], it "
           "broadcasts over the filters.",
           "Add up everything except the filters: `.sum((1, 2, 3))`."],
    why="Each filter multiplies the same patch by its weights and adds it all up, colours "
        "included. A layer does no more than that, at every position.")


def cat_pool(maps):
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def cat_pool_one_by_one(maps):
    """The same with Python's loops and lists, as an independent oracle."""
    rows = []
    for image in maps.tolist():
        values = [[value for row in one_map for value in row] for one_map in image]
        means = [math.fsum(of_map) / len(of_map) for of_map in values]
        rows.append(means + [max(of_map) for of_map in values])
    return torch.tensor(rows)


def some_maps(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def one_spike():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 1, 2, 3] = 8.0
    return maps


CAT_POOL = Exercise(
    "cat_pool", cat_pool, idea="pooling: how much of a feature, and whether it is anywhere",
    expected=cat_pool_one_by_one,
    cases={
        "maps of 3 by 5": lambda: (some_maps(2, 4, 3, 5),),
        "as many maps as columns": lambda: (some_maps(3, 4, 2, 4),),
        "all activations negative": lambda: (-some_maps(2, 3, 4, 4).abs() - 1,),
        "one bright spot": lambda: (one_spike(),),
        "maps of 1 by 1": lambda: (some_maps(2, 5, 1, 1),),
        "a single image": lambda: (some_maps(1, 3, 6, 2),),
    },
    wrong=[
        Wrong("the wrong dimensions",
              lambda maps: torch.cat([maps.mean((1, 2)), maps.amax((1, 2))], dim=1),
              "You pooled over channels and rows, and the columns were left. The channels, "
              "dimension 1, must stay; rows and columns are dimensions 2 and 3."),
        Wrong("stacked", lambda maps: torch.stack([maps.mean((2, 3)), maps.amax((2, 3))], dim=1),
              "stack makes a new dimension, [B, 2, C]. The linear layer that follows wants one row "
              "of 2C numbers per image: torch.cat."),
        Wrong("maxima first",
              lambda maps: torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], dim=1),
              "The maxima come first here. Then a trained head, which learned the other order, "
              "would multiply each number by the wrong weight: means first."),
        Wrong("a pair of tensors",
              lambda maps: torch.cat([maps.mean((2, 3)), maps.flatten(2).max(2)], dim=1),
              "max along a dimension returns two tensors, values and indices. Use amax, or take "
              ".values."),
        Wrong("at least 0",
              lambda maps: torch.cat([maps.mean((2, 3)), maps.relu().amax((2, 3))], dim=1),
              "Your maximum starts at 0, so a map without positive activations gets 0. Not every "
              "layer ends with a ReLU: the largest of negative numbers is negative."),
        Wrong("largest in size",
              lambda maps: torch.cat([maps.mean((2, 3)), maps.abs().amax((2, 3))], dim=1),
              "You took the maximum of the absolute values. A strongly negative activation says "
              "that the feature is not there."),
        Wrong("maps of 4 by 4 only",
              lambda maps: torch.cat([maps.reshape(*maps.shape[:2], 16).mean(2),
                                      maps.reshape(*maps.shape[:2], 16).amax(2)], dim=1),
              "This works for maps of 16 positions only. Larger images give larger maps; pooling "
              "is what lets one head take them all."),
        Wrong("a sum", lambda maps: torch.cat([maps.sum((2, 3)), maps.amax((2, 3))], dim=1),
              "A sum grows with the size of the map, so another image size would change what the "
              "head sees. Take the mean."),
        Wrong("keeps the positions",
              lambda maps: torch.cat([maps.mean((2, 3), True), maps.amax((2, 3), True)], dim=1),
              "The result is [B, 2C, 1, 1]. A linear layer wants [B, 2C]: do not keep the reduced "
              "dimensions."),
    ],
    hints=["Maps are [B, C, h, w]. Over which two dimensions do you pool?",
           "mean and amax both take a pair of dimensions.",
           "torch.cat along the channels, the means before the maxima."],
    why="The mean says how much of a feature there is, the maximum whether it is anywhere. Both "
        "are one number per map, whatever the size of the image.")


def knn_accuracy(features, y):
    unit = F.normalize(features, dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)  # an image is not its own neighbour
    nearest = similarity.argmax(1)
    return (y[nearest] == y).float().mean().item()


def accuracy_one_by_one(features, y):
    """The same with Python's loops and lists, as an independent oracle."""
    rows = features.tolist()
    labels = y.tolist()
    n_right = 0
    for i, a in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        cosines = [sum(p * q for p, q in zip(a, rows[j], strict=True))
                   / (math.hypot(*a) * math.hypot(*rows[j])) for j in others]
        n_right += labels[others[cosines.index(max(cosines))]] == labels[i]
    return n_right / len(rows)


def accuracy_of(similarity, y):
    return (y[similarity.argmax(1)] == y).float().mean().item()


def cosines(features, dim=1):
    unit = F.normalize(features, dim=dim)
    return unit @ unit.T


def at_angles(degrees, lengths):
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    length = torch.tensor(lengths, dtype=torch.float64)
    return length[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def three_clouds():
    generator = torch.Generator().manual_seed(2)
    y = torch.arange(40) % 3
    features = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    features[:, 0] += 3 * (y == 0)
    features[:, 1] -= 40 * (y == 1)
    return features, y


KNN_ACCURACY = Exercise(
    "knn_accuracy", knn_accuracy, idea="features are good if neighbours share a class",
    expected=accuracy_one_by_one,
    cases={
        "three clouds of points": three_clouds,
        "neighbours of unequal length": lambda: (
            at_angles([0.0, 5.0, 40.0, 47.0], [1.0, 1.0, 9.0, 9.0]), torch.tensor([0, 0, 1, 1])),
        "all far apart": lambda: (
            at_angles([0.0, 115.0, 235.0], [1.0, 1.0, 1.0]), torch.tensor([0, 0, 1])),
        "one feature on another scale": lambda: (
            torch.tensor([[1.0, 100.0], [2.0, 101.0], [-1.0, 101.0], [-2.0, 100.0]]),
            torch.tensor([0, 0, 1, 1])),
    },
    wrong=[
        Wrong("its own neighbour", lambda features, y: accuracy_of(cosines(features), y),
              "Nothing is as similar to an image as the image itself, so it votes for itself. Take "
              "it out: put minus infinity on the diagonal."),
        Wrong("zeros on the diagonal",
              lambda features, y: accuracy_of(cosines(features).fill_diagonal_(0), y),
              "A cosine can be negative. Where all others are, 0 is the largest, and the image "
              "finds itself. Put minus infinity on the diagonal."),
        Wrong("not normalised",
              lambda features, y: accuracy_of(
                  (features @ features.T).fill_diagonal_(-torch.inf), y),
              "Without normalising, long vectors are everybody's neighbour. Divide each by its "
              "length: then the product is the cosine of the angle."),
        Wrong("distances",
              lambda features, y: accuracy_of(
                  -torch.cdist(features, features).fill_diagonal_(torch.inf), y),
              "These are distances between the ends of the vectors, so their lengths count. The "
              "cosine looks at directions alone: normalise each row first."),
        Wrong("the least similar",
              lambda features, y: accuracy_of(-cosines(features), y),
              "You took the least similar image. Cosines are large for neighbours, unlike "
              "distances: argmax."),
        Wrong("normalised per feature",
              lambda features, y: accuracy_of(
                  cosines(features, dim=0).fill_diagonal_(-torch.inf), y),
              "You normalised along dim 0, each feature over all images. Here each image must get "
              "length 1: dim 1."),
        Wrong("the error rate", lambda features, y: 1 - knn_accuracy(features, y),
              "This is the error rate. The accuracy is the fraction that is right."),
    ],
    hints=["`F.normalize(features, dim=1)` gives each row length 1. What is the product of two "
           "such rows?",
           "An image must not find itself. What can you put on the diagonal so that argmax never "
           "takes it?",
           "`y[nearest]` are the classes of the nearest neighbours."],
    why="Cosines compare directions, so no image is a neighbour just for being long. With minus "
        "infinity on the diagonal, none is its own.")

EXERCISES = [CONV_AT, CAT_POOL, KNN_ACCURACY]

QUESTIONS = [
    Question("You remove every activation function from a network. What is left?", [
        Choice("A network that learns nothing.",
               "It learns: a single linear layer on good inputs learns quite well."),
        Choice("A network that computes no more than a single linear layer.",
               "Linear after linear is linear, so its depth gains nothing.", right=True),
        Choice("The same network, only slower to train.",
               "It cannot bend any more: what needs a curve, it can never learn."),
    ]),
    Question("The eight images that activate a unit most are all faces. Is it a face detector?", [
        Choice("Yes, eight of eight is no accident.",
               "You looked at the best of many units. With enough of them even a random network "
               "has a pretty one."),
        Choice("That is not shown.",
               "One unit chosen among many proves little, and you have not seen which "
               "faces leave it cold. Compare with a random network and with shuffled labels.",
               right=True),
        Choice("No, single units never mean anything.",
               "Some do. It takes more than the top of a list to show it."),
    ]),
    Question("Head A is wrong on 31 %, head B on 36 % of 134 images. Which do you take?", [
        Choice("A: it makes fewer mistakes.",
               "Fewer by six or seven images. Another split could turn it round."),
        Choice("It is open: repeat it on several splits, each head at its best learning rate.",
               "The lesson's two heads drew level once each had a learning rate that suited "
               "it.", right=True),
        Choice("B: a more complex head will win on more data.",
               "Nothing here says that, nor which of the two is more complex."),
    ]),
]
