"""Exercises and questions of lesson 6, Freezing: what may change, and what must not."""
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong
from transfer_lessons.freezing import spread_lrs

ADVICE_MODE = ("BatchNorm's statistics move with every forward pass in training mode, whatever "
               "`requires_grad` says. Put the body into evaluation mode: `body.eval()`.")


def what_changes(requires_grad, zero_gradient, lr, weight_decay, training):
    has_reason = weight_decay > 0 or not zero_gradient
    weights_move = requires_grad and lr > 0 and has_reason
    statistics_move = training
    return weights_move, statistics_move


def what_really_changes(requires_grad, zero_gradient, lr, weight_decay, training):
    """One step of AdamW on a linear layer with BatchNorm, and a look at what moved."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        head = nn.Linear(4, 2)
        images = torch.randn(8, 3)
    layer.requires_grad_(requires_grad)
    layer.train(training)
    weights = [parameter.clone() for parameter in layer.parameters()]
    statistics = layer[1].running_mean.clone()
    optimizer = torch.optim.AdamW([*layer.parameters(), *head.parameters()], lr=lr,
                                  weight_decay=weight_decay)
    F.cross_entropy(head(layer(images)), torch.arange(8) % 2).backward()
    for parameter in layer.parameters():
        if zero_gradient and parameter.grad is not None:
            parameter.grad.zero_()
    optimizer.step()
    moved = [not torch.equal(p, old) for p, old in zip(layer.parameters(), weights, strict=True)]
    return any(moved), not torch.equal(layer[1].running_mean, statistics)


def two_answers(answer, *switches):
    weights_move, statistics_move = answer(*switches)
    return bool(weights_move), bool(statistics_move)


WHAT_CHANGES = Exercise(
    "what_changes", what_changes, idea="which switch stops weights, and which stops statistics",
    expected=what_really_changes, observe=two_answers,
    cases={
        "everything trains": lambda: (True, False, 0.01, 0.01, True),
        "evaluation mode": lambda: (True, False, 0.01, 0.0, False),
        "zero gradient, with decay": lambda: (True, True, 0.01, 0.01, True),
        "zero gradient, no decay": lambda: (True, True, 0.01, 0.0, True),
        "zero gradient, decay, evaluation mode": lambda: (True, True, 0.01, 0.01, False),
        "learning rate 0, with decay": lambda: (True, False, 0.0, 0.01, True),
        "no requires_grad, with decay": lambda: (False, False, 0.01, 0.01, True),
        "no requires_grad, evaluation mode": lambda: (False, False, 0.01, 0.01, False),
    },
    wrong=[
        Wrong("statistics follow the flag",
              lambda flag, zero, lr, decay, training: (
                  flag and lr > 0 and (decay > 0 or not zero), training and flag),
              "`requires_grad` belongs to parameters, and statistics are none. They move with "
              "every forward pass in training mode."),
        Wrong("evaluation mode stops the weights",
              lambda flag, zero, lr, decay, training: (
                  flag and lr > 0 and (decay > 0 or not zero) and training, training),
              "`eval()` changes what BatchNorm and dropout do. Gradients are computed as before, "
              "and the optimizer moves the weights."),
        Wrong("a gradient of zero stops the weights",
              lambda flag, zero, lr, decay, training: (flag and lr > 0 and not zero, training),
              "AdamW's weight decay shrinks every weight that has a gradient, even a gradient of "
              "zero. Only without decay does it stay."),
        Wrong("learning rate 0 stops the statistics",
              lambda flag, zero, lr, decay, training: (
                  flag and lr > 0 and (decay > 0 or not zero), training and lr > 0),
              "The learning rate belongs to the optimizer, and the optimizer never sees the "
              "statistics. The forward pass moves them."),
        Wrong("a gradient of zero stops the statistics",
              lambda flag, zero, lr, decay, training: (
                  flag and lr > 0 and (decay > 0 or not zero), training and not zero),
              "Statistics move in the forward pass, before there is any gradient."),
        Wrong("decay moves frozen weights",
              lambda flag, zero, lr, decay, training: (
                  lr > 0 and (decay > 0 or (flag and not zero)), training),
              "Without `requires_grad` the gradient is None, and the optimizer skips the "
              "parameter, decay included. None is not zero."),
        Wrong("the flag decides alone",
              lambda flag, zero, lr, decay, training: (flag, training),
              "`requires_grad` allows a weight to move. It also takes a learning rate above 0, and "
              "something to move it: a gradient or weight decay."),
        Wrong("decay without learning rate",
              lambda flag, zero, lr, decay, training: (
                  flag and (decay > 0 or (lr > 0 and not zero)), training),
              "AdamW multiplies its decay by the learning rate, so at learning rate 0 it takes off "
              "nothing."),
    ],
    hints=["Take the two apart: who moves weights, and who moves statistics?",
           "Statistics move in the forward pass. Which switch does a forward pass know?",
           "A weight needs three things: `requires_grad`, a learning rate above 0, and either a "
           "gradient that is not zero or weight decay."],
    why="The optimizer moves weights, the forward pass moves statistics. Each has its own "
        "switches, so holding a layer still takes two of them.")


def freeze_body(model):
    body = model[0]
    for parameter in body.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    body.eval()


def freeze_flags(model):
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
        parameter.grad = None


def freeze_some_modes(model, modules):
    freeze_flags(model)
    for module in modules:
        if isinstance(module, nn.BatchNorm1d):
            module.eval()


def freeze_attribute(model):
    model[0].requires_grad = False


def freeze_with_gradients(model):
    model[0].requires_grad_(False)
    model[0].eval()


def freeze_all(model):
    model.requires_grad_(False)
    model[0].eval()


def freeze_and_eval_all(model):
    freeze_flags(model)
    model.eval()


def body_of(names):
    """A body of six features from names of layers; a list among them is a block."""
    makers = {"Linear": lambda: nn.Linear(6, 6), "BatchNorm": lambda: nn.BatchNorm1d(6),
              "Dropout": lambda: nn.Dropout(0.5), "ReLU": nn.ReLU}
    return nn.Sequential(*[body_of(name) if isinstance(name, list) else makers[name]()
                           for name in names])


def train_after(freeze, names, gradients_left_over=False):
    """Freeze a body in training mode, take two steps of AdamW, and say what has changed."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        head = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
                             nn.Linear(8, 3))
        model = nn.Sequential(body_of(names), head)
        images = torch.randn(12, 6)
        targets = torch.arange(12) % 3
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        model.train()
        if gradients_left_over:
            F.cross_entropy(model(images), targets).backward()
        freeze(model)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        for _ in range(2):
            loss = F.cross_entropy(model(images), targets)
            if loss.requires_grad:
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        changed = {name for name, value in model.state_dict().items()
                   if not torch.equal(value, before[name])}
        is_steady = torch.equal(model[0](images[:1].repeat(12, 1))[0], model[0](images)[0])
    in_body = {name for name in changed if name.startswith("0.")}
    statistics = {name for name in in_body if "running" in name or "num_batches" in name}
    return {"weights": "moved" if in_body - statistics else "still",
            "statistics": "moved" if statistics else "still",
            "output": "steady" if is_steady else "random", "head": state_of(head)}


def state_of(head):
    if not any(parameter.requires_grad for parameter in head.parameters()):
        return "frozen"
    return "learns" if all(module.training for module in head.modules()) else "in evaluation mode"


FREEZE_BODY = Exercise(
    "freeze_body", freeze_body, idea="a freeze that holds: flags, gradients and mode",
    observe=train_after,
    cases={
        "a body with BatchNorm": lambda: (["Linear", "BatchNorm", "ReLU"],),
        "BatchNorm inside a block": lambda: (["Linear", "ReLU", ["Linear", ["BatchNorm"]]],),
        "a body with dropout": lambda: (["Linear", "Dropout", "ReLU"],),
        "gradients left over from before": lambda: (["Linear", "BatchNorm"], True),
    },
    wrong=[
        Wrong("an attribute of the module", freeze_attribute,
              "`body.requires_grad = False` only gives the module an attribute that nobody reads; "
              "the body trains on. Parameters have `requires_grad`: `body.requires_grad_(False)`, "
              "with an underscore, sets it on all of them. The body also needs evaluation mode."),
        Wrong("evaluation mode only", lambda model: model[0].eval(),
              "The statistics stay, but the weights move: `eval()` does not stop gradients. "
              "(Neither does `body.requires_grad = False`.) Switch `requires_grad` off for each "
              "parameter."),
        Wrong("flags and gradients only", freeze_flags,
              "No weight moves. But the body is still in training mode. " + ADVICE_MODE),
        Wrong("flags only", lambda model: model[0].requires_grad_(False),
              "Two things are missing. Left-over gradients are still applied, so set them to None. "
              + ADVICE_MODE),
        Wrong("left-over gradients", freeze_with_gradients,
              "A gradient from before is still there, and the optimizer applies it in its next "
              "step, frozen or not. Set parameter.grad = None."),
        Wrong("BatchNorm at the top only", lambda model: freeze_some_modes(model, model[0]),
              "You looked through the body's own children, but BatchNorm may sit inside a block. "
              "`body.eval()` reaches everything, dropout too."),
        Wrong("BatchNorm but not dropout",
              lambda model: freeze_some_modes(model, model[0].modules()),
              "BatchNorm rests, but the body's dropout still sets random features to 0. "
              "`body.eval()` reaches both."),
        Wrong("the head too", freeze_all,
              "Nothing trains any more: the head is frozen too. Freeze `model[0]`, the body, "
              "alone."),
        Wrong("evaluation mode for all", freeze_and_eval_all,
              "The body is frozen, but the head is in evaluation mode too: it trains without its "
              "dropout, and with statistics that never move. Only the body should rest."),
    ],
    hints=["The lesson has four switches. One belongs to parameters, another to modules; you need "
           "both.",
           "`body.eval()` reaches every layer inside, however deep.",
           "What does an optimizer do with a gradient that was there before you froze?"],
    why="`requires_grad` holds the weights, None drops old gradients, and evaluation mode holds "
        "statistics and dropout. The head stays as it was.")


def lr_per_group(first, last, n):
    if n == 1:
        return [last]  # a single group is the head
    factor = (last / first) ** (1 / (n - 1))
    return [first * factor**i for i in range(n)]


LR_PER_GROUP = Exercise(
    "lr_per_group", lr_per_group, idea="learning rates are compared by factors",
    expected=lambda first, last, n: spread_lrs(slice(first, last), n),
    observe=lambda answer, first, last, n: [float(lr) for lr in answer(first, last, n)],
    atol=0.0,
    cases={
        "three groups": lambda: (1e-6, 1e-4, 3),
        "two groups": lambda: (1e-5, 1e-2, 2),
        "five groups": lambda: (2e-6, 2e-3, 5),
        "the head alone": lambda: (1e-5, 1e-3, 1),
    },
    wrong=[
        Wrong("evenly spaced", lambda first, last, n: np.linspace(first, last, n),
              "These are evenly spaced, so the middle is half of the largest. Multiply by the same "
              "factor from group to group instead of adding."),
        Wrong("the head slowest", lambda first, last, n: lr_per_group(first, last, n)[::-1],
              "The order is turned round: the early layers would learn fastest. They come first, "
              "with the smallest learning rate."),
        Wrong("never arrives",
              lambda first, last, n: [first * (last / first) ** (i / n) for i in range(n)],
              "n groups have n - 1 gaps between them. With n gaps the head never gets the last "
              "learning rate."),
        Wrong("a tenth each time",
              lambda first, last, n: [last / 10 ** (n - 1 - i) for i in range(n)],
              "A tenth from group to group fits only where first and last ask for it. Compute the "
              "factor from the two."),
        Wrong("divides by zero",
              lambda first, last, n: [first * (last / first) ** (i / (n - 1)) for i in range(n)],
              "A single group has no gap, and you divide by the number of gaps. A single group is "
              "the head: it gets the last learning rate."),
        Wrong("one group gets the first", lambda first, last, n: np.geomspace(first, last, n),
              "With a single group NumPy gives the first value. A single group is the head, so it "
              "should learn at the last learning rate."),
        Wrong("rounded",
              lambda first, last, n: [round(lr, 4) for lr in lr_per_group(first, last, n)],
              "Rounded to four digits, a small learning rate becomes 0, and those layers would not "
              "learn at all. Round only what you print."),
    ],
    hints=["From one group to the next, learning rates are multiplied by the same factor.",
           "n groups have n - 1 gaps, all of them together make last / first; 1 group has none."],
    why="Each group learns the same factor faster than the one before, so the middle of 1e-6 and "
        "1e-4 is 1e-5.")

EXERCISES = [WHAT_CHANGES, FREEZE_BODY, LR_PER_GROUP]

QUESTIONS = [
    Question("You trained the head at 3e-3. You unfreeze the body, train on at 3e-3, and the error "
             "jumps up. Why?", [
                 Choice("The pretrained weights do not suit this task.",
                        "The head did well on them a moment ago."),
                 Choice("That learning rate is too high for pretrained layers.",
                        "It suits random weights. Early layers need little change, so give "
                        "them a smaller one.", right=True),
                 Choice("More parameters always overfit.",
                        "Overfitting takes a while, and shows in the training loss first. This "
                        "came at once."),
             ]),
    Question("The early half of the body has less than a tenth of the parameters. How much of a "
             "step's time does it save to freeze it?", [
                 Choice("Less than a tenth: time follows the parameters.",
                        "Early layers have few, but apply each of them at many places of large "
                        "feature maps."),
                 Choice("Much more: the backward pass need not enter it.",
                        "Its few parameters are used at many places, and walking back through them "
                        "takes time. The bars above show how much.", right=True),
                 Choice("Nothing: the forward pass must go through it anyway.",
                        "That much is true, but the backward pass stops at the first layer that "
                        "trains, and it takes longer than the forward pass."),
             ]),
    Question("What lies midway between the learning rates 1e-6 and 1e-4?", [
        Choice("5e-5", "That is about the mean: fifty times the first, and only half of the last."),
        Choice("1e-5", "Ten times the first, a tenth of the last.", right=True),
        Choice("Any value: the optimizer evens it out.",
               "A factor of ten in the learning rate is a factor of ten in the steps."),
    ]),
]
