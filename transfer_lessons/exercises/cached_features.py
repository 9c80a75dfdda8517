"""Exercises and questions of lesson 12: frozen is free."""
from __future__ import annotations

import copy
from functools import partial

import numpy as np
import torch
from torch import nn

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong

# Run the body once


class ShuffledBatches:
    """Images and their numbers as targets: in another order at each pass, the last batch smaller."""
    def __init__(self, images, bs):
        self.images = images
        self.bs = bs
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self):
        order = torch.randperm(len(self.images), generator=self.generator)
        for rows in order.split(self.bs):
            yield self.images[rows], rows

    def __repr__(self):
        return f"{len(self.images)} images in batches of {self.bs}, shuffled at each pass"


class Body(nn.Sequential):
    def __repr__(self):
        return "a small body"


def small_body():
    """A body in training mode, but for a BatchNorm that somebody has put to rest."""
    generator = torch.Generator().manual_seed(1)
    linear = nn.utils.skip_init(nn.Linear, 3, 4)  # draws no random numbers
    resting = nn.BatchNorm1d(4).eval()
    body = Body(linear, nn.BatchNorm1d(4), nn.ReLU(), resting)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return body


def body_and_batches(n, bs):
    """Arguments of `cache_features`."""
    images = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    return small_body(), ShuffledBatches(images, bs)


def cache_features(body, dl):
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    features, targets = [], []
    with torch.no_grad():
        for xb, yb in dl:
            features.append(body(xb))
            targets.append(yb)
    for module, was_training in modes:
        module.training = was_training
    return torch.cat(features), torch.cat(targets)


def what_caching_does(answer, body, dl):
    """What `cache_features` returns, and what it leaves behind."""
    result = answer(body, dl)
    if result is None:
        return None
    features, targets = result
    modes = " ".join("train" if layer.training else "eval" for layer in body)
    return {"layers left in": modes, "graph": features.requires_grad,
            "running mean": body[1].running_mean, "targets": targets, "features": features}


def _in_the_mode_it_has(body, dl):
    with torch.no_grad():
        batches = [(body(xb), yb) for xb, yb in dl]
    return torch.cat([features for features, _ in batches]), torch.cat([yb for _, yb in batches])


def _left_in_eval(body, dl):
    return _in_the_mode_it_has(body.eval(), dl)


def _all_to_train(body, dl):
    found = cache_features(body, dl)
    body.train()
    return found


def _with_graph(body, dl):
    batches = list(dl)
    _, targets = cache_features(copy.deepcopy(body), batches)
    features = [copy.deepcopy(body).eval()(xb) for xb, _ in batches]
    return torch.cat(features), targets


def _two_passes(body, dl):
    features, _ = cache_features(body, dl)
    return features, torch.cat([yb for _, yb in dl])


def _full_batches_only(body, dl):
    return cache_features(body, [(xb, yb) for xb, yb in dl if len(xb) == dl.bs])


def _stacked(body, dl):
    batches = [cache_features(body, [batch]) for batch in dl]
    return torch.stack([xb for xb, _ in batches]), torch.stack([yb for _, yb in batches])


CACHE = Exercise(
    "cache_features", cache_features,
    idea="a frozen body runs once over every image, in evaluation mode, without gradients",
    cases={"three full batches": lambda: body_and_batches(6, 2),
           "the last batch is smaller": lambda: body_and_batches(7, 3),
           "all images in one batch": lambda: body_and_batches(4, 4)},
    observe=what_caching_does, may_change_inputs=True,
    wrong=[
        Wrong("in the mode it has", _in_the_mode_it_has,
              "The body ran in training mode: BatchNorm took the statistics of each batch, and moved "
              "its running ones. Call body.eval() first."),
        Wrong("left in evaluation mode", _left_in_eval,
              "The features are right, but the body is left in evaluation mode, and whoever trains "
              "it next does not know. Note each module's `training` first, and put it back."),
        Wrong("train() at the end", _all_to_train,
              "body.train() switches every module, also the BatchNorm that was in evaluation mode "
              "before. Note each module's `training`, and put back exactly that."),
        Wrong("with the graph", _with_graph,
              "The features still hang on the graph of the body, so each batch's intermediate "
              "results stay in memory. Run the body under torch.no_grad()."),
        Wrong("two passes", _two_passes,
              "The features come from one pass and the targets from another, and the loader shuffles "
              "at each: the targets belong to other images. Take both from the same batch."),
        Wrong("full batches only", _full_batches_only,
              "The images of the incomplete last batch are missing, and they would be missing in "
              "every epoch from now on. Keep every batch, whatever its size."),
        Wrong("first batch only", lambda body, dl: cache_features(body, [next(iter(dl))]),
              "Only the first batch is there. A `return` inside the loop ends it at once: put it "
              "behind the loop."),
        Wrong("stacked", _stacked,
              "torch.stack adds a dimension of batches, and fails where the last one is smaller. "
              "torch.cat puts batches end to end: [images, features]."),
    ],
    hints=["In which mode does BatchNorm give every image the same features, whatever else is in "
           "its batch?",
           "Collect features and targets in two lists in the same pass, and join them with torch.cat.",
           "Before body.eval(), note (module, module.training) for every module in body.modules()."],
    why="In evaluation mode, features depend on the image alone, so they hold for every epoch. One "
        "pass keeps features and targets together, and the modules go back to what they were.")

# When is the cache stale?

EVENTS = ["nothing happens", "one weight changes by a little", "two weights change places",
          "a batch runs in training mode", "the last layer trains a step",
          "another layer takes the last one's place", "the weights are loaded into a new body",
          "the body is frozen"]


def body_and_event(event):
    return small_body().eval(), event


def after_event(body, event):
    """The body after an event: itself, or, where weights are loaded, a new one."""
    images = torch.arange(12.0).view(4, 3)
    weight = body[0].weight.data
    if event == "one weight changes by a little":
        weight[0, 0] += 1e-6
    elif event == "two weights change places":
        weight[0] = weight[0].flip(0)
    elif event == "a batch runs in training mode":
        body.train()(images)
        body.eval()
    elif event == "the last layer trains a step":
        body[3].bias.data += 0.5
    elif event == "another layer takes the last one's place":
        body[3] = nn.BatchNorm1d(4).eval()
    elif event == "the weights are loaded into a new body":
        body = copy.deepcopy(body)
    elif event == "the body is frozen":
        body.requires_grad_(False)
    return body


def fingerprint(body):
    return b"".join(values.numpy().tobytes() for values in body.state_dict().values())


def is_changed(answer, body, event):
    """Whether a fingerprint changes with an event."""
    before = answer(body)
    after = answer(after_event(body, event))
    return "the same fingerprint" if _are_same(before, after) else "another fingerprint"


def _are_same(a, b):
    if a is None:
        raise TypeError("fingerprint returned nothing")
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(_are_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_are_same, a, b))
    return bool(a == b)


FINGERPRINT = Exercise(
    "fingerprint", fingerprint,
    idea="a cache is stale when any weight or buffer of the frozen body changed, and only then",
    cases={event: partial(body_and_event, event) for event in EVENTS},
    observe=is_changed, may_change_inputs=True,
    wrong=[
        Wrong("parameters alone", lambda body: [p.detach().clone() for p in body.parameters()],
              "BatchNorm's running statistics are buffers, not parameters. A batch in training mode "
              "moves them, and every feature with them. body.state_dict() has both."),
        Wrong("the state itself", lambda body: body.state_dict(),
              "A state_dict holds the tensors themselves, no copies: when the body changes, your "
              "fingerprint changes with it, and the two are always equal. Copy or hash the values."),
        Wrong("a sum", lambda body: sum(v.double().sum() for v in body.state_dict().values()).item(),
              "The sum of all values stays the same when two of them change places. Hash the bytes, "
              "so that the order counts."),
        Wrong("rounded", lambda body: [v.double().round(decimals=3).tolist()
                                       for v in body.state_dict().values()],
              "Rounded values miss a small change, and training is made of small changes. Take the "
              "values to the last bit."),
        Wrong("the object", lambda body: id(body),
              "id() and hash() tell which object it is, not what it holds: training changes the "
              "values in place, and a body with the same weights loaded is another object."),
        Wrong("names and shapes", lambda body: [(name, tuple(v.shape))
                                                for name, v in body.state_dict().items()],
              "Names and shapes say which architecture it is. They never change in training, and so "
              "fastai 0.7 took stale files for fresh ones. Take the values too."),
        Wrong("the first layer", lambda body: next(body.parameters()).detach().clone(),
              "Only the first layer is looked at. In fine-tuning it is often the late layers that "
              "train. Go through the whole state_dict."),
        Wrong("with the flags", lambda body: (
                  fingerprint(body), str([p.requires_grad for p in body.parameters()])),
              "requires_grad says what may train next. Features do not depend on it, so this calls a "
              "fresh cache stale. Take values alone."),
    ],
    hints=["What do the features of an image depend on? BatchNorm has more than parameters.",
           "body.state_dict() has the parameters and the buffers. A reference to a tensor changes "
           "with the tensor.",
           "values.numpy().tobytes() is a copy of the values, to the last bit."],
    why="Parameters and buffers, to the last bit, are all that a frozen body's output depends on. "
        "Neither where they are in memory nor what may train next matters. hashlib.sha256 of these "
        "bytes would do as well, and is short.")

# After how many epochs is the cache paid for?


def break_even(body, read, views=1):
    saved_per_epoch = body - read
    if saved_per_epoch <= 0:
        return np.inf
    return np.ceil(views * body / saved_per_epoch)


BREAK_EVEN = Exercise(
    "break_even", break_even,
    idea="a cache costs one pass per view, and saves the body's time in each epoch",
    cases={"reading is nearly free": lambda: (10.0, 0.1),
           "to the point": lambda: (10.0, 5.0, 1),
           "three views": lambda: (10.0, 4.0, 3),
           "just over two epochs": lambda: (11.0, 6.0),
           "nearly three epochs": lambda: (8.0, 5.0),
           "reading takes longer": lambda: (2.0, 5.0),
           "as long": lambda: (3.0, 3.0, 2)},
    wrong=[
        Wrong("reading is free", lambda body, read, views=1: views,
              "Each epoch on the cache has to read it: an epoch saves body - read, not all of body."),
        Wrong("views ignored", lambda body, read, views=1: break_even(body, read),
              "The body runs once per view before the first epoch. Multiply the price of the cache "
              "by the number of views."),
        Wrong("rounded down", lambda body, read, views=1: (
                  views * body // (body - read) if body > read else np.inf),
              "Rounded down, the cache is not yet paid for. It is paid for at the first whole epoch "
              "in which it costs no more: round up."),
        Wrong("rounded", lambda body, read, views=1: (
                  round(views * body / (body - read)) if body > read else np.inf),
              "round() goes to the nearest epoch, at times one before the cache is paid for. Round "
              "up, with np.ceil."),
        Wrong("never is forgotten", lambda body, read, views=1: (
                  np.ceil(views * body / (body - read))),
              "Where reading takes as long as the body or longer, nothing is ever saved, and the "
              "formula divides by zero or gives less than nothing. Return np.inf there."),
        Wrong("one more", lambda body, read, views=1: (
                  np.floor(views * body / (body - read)) + 1 if body > read else np.inf),
              "Where the costs are equal at the end of an epoch, the cache is paid for: that epoch "
              "counts. Round up, which leaves whole numbers as they are."),
    ],
    hints=["The head takes the same time on both sides, so leave it out. What does the cache cost "
           "before the first epoch, and what does it save in each?",
           "It costs views * body, and saves body - read per epoch.",
           "Divide, round up, and think of the case in which nothing is saved."],
    why="Live, n epochs take n * body; cached, views * body + n * read. The head trains in both, so "
        "it drops out. The first whole n at which the second is no more is the quotient, rounded up.")

EXERCISES = [CACHE, FINGERPRINT, BREAK_EVEN]

QUESTIONS = [
    Question("The head begins with dropout. May its output be cached too?", [
        Choice("Yes: dropout has no parameters, so nothing in it can become stale.",
               "It has no parameters, but it is random. A cache would repeat one random selection in "
               "every epoch, and that is no dropout."),
        Choice("No: it gives another output each time, and so must run in every step.",
               "Only what is deterministic can be cached. The cut comes before the first random "
               "layer.", right=True),
    ]),
    Question("You trained a head on cached features. Now you unfreeze the body's last block, train, "
             "and freeze it again. What about the cache?", [
        Choice("It holds: the body is frozen, as when the cache was made.",
               "Frozen, but another body. The flags are the same, the weights are not, and the error "
               "you read off the cache belongs to no network that exists."),
        Choice("It is stale: make it again.",
               "The features come from weights that are gone. It does not matter whether the body may "
               "train now; it matters whether it has changed.", right=True),
    ]),
    Question("Why does `precompute` cut behind the pooling, and not between body and head?", [
        Choice("Pooling gives the same each time, and leaves far fewer values per image to store.",
               "It has nothing to learn and nothing random, so it may go before the cut; and for each "
               "channel it leaves one value instead of a whole map.", right=True),
        Choice("The head would learn something else from feature maps.",
               "It would learn the same: pooling comes next in either case."),
    ]),
]
