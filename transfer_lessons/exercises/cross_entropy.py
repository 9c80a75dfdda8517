"""Exercises and questions of lesson 3, Cross-entropy."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question, Wrong


def my_loss(logits, y):
    shifted = logits - logits.max(1, keepdim=True).values
    log_probs = shifted - shifted.exp().sum(1, keepdim=True).log()
    return -log_probs[range(len(y)), y].mean()


def my_loss_without_shift(logits, y):
    exp_logits = logits.exp()
    probabilities = exp_logits / exp_logits.sum(1, keepdim=True)
    return -probabilities[range(len(y)), y].log().mean()


def my_loss_by_naive_softmax(logits, y):
    exp_logits = logits.exp()
    log_probs = (exp_logits / exp_logits.sum(1, keepdim=True)).log()
    return -log_probs[range(len(y)), y].mean()


def my_loss_with_batch_maximum(logits, y):
    shifted = logits - logits.max()
    log_probs = shifted - shifted.exp().sum(1, keepdim=True).log()
    return -log_probs[range(len(y)), y].mean()


def some_logits(n_images, n_classes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n_images)
    return 2 * torch.randn(n_images, n_classes, generator=generator, dtype=dtype)


MY_LOSS = Exercise(
    "my_loss", my_loss, idea="cross-entropy that neither overflows nor underflows",
    expected=F.cross_entropy, gradient=True,
    cases={
        "as many images as classes": lambda: (some_logits(5, 5), torch.tensor([3, 0, 1, 1, 2])),
        "a single image": lambda: (some_logits(1, 4), torch.tensor([2])),
        "a logit 200 below the other": lambda: (torch.tensor([[0.0, 200.0]]), torch.tensor([0])),
        "rows 500 apart": lambda: (
            torch.tensor([[0.0, 1.0, 2.0], [500.0, 501.0, 503.0]]), torch.tensor([2, 0])),
        "all logits up by 10,000": lambda: (
            torch.tensor([[0.0, 0.5, 1.0], [2.0, 0.0, 1.0]]) + 10_000, torch.tensor([0, 2])),
        "a class ruled out by -inf": lambda: (
            torch.tensor([[1.0, -torch.inf, 0.0], [0.0, 2.0, 1.0]]), torch.tensor([2, 1])),
    },
    wrong=[
        Wrong("softmax, then log",
              lambda logits, y: -logits.softmax(1)[range(len(y)), y].log().mean(),
              "A small probability rounds to 0, and its logarithm is minus infinity. Compute the "
              "logarithm in one go: `x - log(sum of exponentials)`."),
        Wrong("softmax, then log of the whole table",
              lambda logits, y: -logits.softmax(1).log()[range(len(y)), y].mean(),
              "A small probability rounds to 0, and its logarithm is minus infinity, even that of "
              "classes nobody asked for, which spoils the gradient. Compute the logarithm in one "
              "go: `x - log(sum of exponentials)`."),
        Wrong("adds a little before the log",
              lambda logits, y: -(logits.softmax(1) + 1e-7).log()[range(len(y)), y].mean(),
              "The little number under the logarithm hides the infinity, and caps the loss at "
              "about 16. The worst mistakes then all cost the same, and push no longer. Compute "
              "the logarithm in one go."),
        Wrong("no shift", my_loss_without_shift,
              "The exponential of a large logit is infinity, and infinity divided by infinity is "
              "NaN. Subtract the largest logit of each row first."),
        Wrong("the naive softmax", my_loss_by_naive_softmax,
              "Two things go wrong here. The exponential of a large logit is infinity, and "
              "infinity by infinity is NaN: subtract the largest logit of each row first. And a "
              "probability of 0 has no finite logarithm: take log and exp together."),
        Wrong("the largest of the batch", my_loss_with_batch_maximum,
              "You shifted by the largest logit of the whole batch, so in the other rows all "
              "exponentials become 0. Take the maximum of each row: max over dim 1, keepdim=True."),
        Wrong("softmax over the images",
              lambda logits, y: -logits.log_softmax(0)[range(len(y)), y].mean(),
              "You normalised over dim 0, so the images compete with each other. The probabilities "
              "of each image, over dim 1, must add up to 1."),
        Wrong("a table instead of a column",
              lambda logits, y: -logits.log_softmax(1)[:, y].mean(),
              "`log_probs[:, y]` is a table of N by N: each image with the targets of all images. "
              "You want one number per row: `log_probs[range(N), y]`."),
        Wrong("grades its own guess",
              lambda logits, y: -logits.log_softmax(1).amax(1).mean(),
              "This is the loss of the predicted class, as if the network were always right. Look "
              "up the target, y."),
        Wrong("a sum",
              lambda logits, y: -logits.log_softmax(1)[range(len(y)), y].sum(),
              "This is the sum over the batch, so it grows with the batch size. Take the mean."),
        Wrong("a plain number", lambda logits, y: F.cross_entropy(logits, y).item(),
              "The values are right. But PyTorch cannot follow a plain number back to the logits, "
              "so nothing can be trained with it. Stay with tensors: no `item()`, `float()` or "
              "`math.log()`."),
        Wrong("no minus",
              lambda logits, y: logits.log_softmax(1)[range(len(y)), y].mean(),
              "The sign is missing. The logarithm of a probability is negative; a loss is small "
              "when the prediction is good."),
        Wrong("multiplies by one-hot",
              lambda logits, y: (
                  -(F.one_hot(y, logits.shape[1]) * logits.log_softmax(1)).sum(1).mean()),
              "0 times minus infinity is NaN, so a class that is ruled out spoils the loss even "
              "where it is not the target. Look the target up by its index instead."),
    ],
    hints=["Which number can you subtract from all logits of a row without changing its softmax?",
           "The logarithm of softmax is `x - log(sum(exp(x)))`. With x shifted so that its largest "
           "value is 0, nothing overflows, and the sum is at least 1.",
           "`log_probs[range(len(y)), y]` picks one log-probability per row. Minus their mean is "
           "the loss."],
    why="After the shift by each row's own maximum, every exponential is at most 1 and one of them "
        "is 1. No probability is formed that could round to 0, so 200 below costs 200.")


def logit_gradient(logits, y):
    one_hot = F.one_hot(y, logits.shape[1])
    return (logits.softmax(1) - one_hot) / len(y)


def gradient_by_autograd(logits, y):
    x = logits.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(x, y), x)[0]


def gradient_of_target_only(logits, y):
    one_hot = F.one_hot(y, logits.shape[1])
    return one_hot * (logits.softmax(1) - 1) / len(y)


def gradient_by_probability(logits, y):
    one_hot = F.one_hot(y, logits.shape[1])
    return -one_hot / logits.softmax(1) / len(y)


LOGIT_GRADIENT = Exercise(
    "logit_gradient", logit_gradient, idea="the gradient is probabilities minus one-hot",
    expected=gradient_by_autograd,
    cases={
        "seven images": lambda: (
            some_logits(7, 3, torch.float64), torch.tensor([2, 0, 1, 1, 2, 0, 0])),
        "a single image": lambda: (some_logits(1, 4, torch.float64), torch.tensor([1])),
        "equal logits": lambda: (torch.zeros(2, 5), torch.tensor([4, 0])),
        "right and certain": lambda: (torch.tensor([[50.0, 0.0, 0.0]]), torch.tensor([0])),
    },
    wrong=[
        Wrong("the wrong way",
              lambda logits, y: (F.one_hot(y, logits.shape[1]) - logits.softmax(1)) / len(y),
              "This is the step, not the gradient: training subtracts the gradient, so with yours "
              "it would climb. Probabilities minus one-hot."),
        Wrong("a sum",
              lambda logits, y: logits.softmax(1) - F.one_hot(y, logits.shape[1]),
              "This is the gradient of the sum of the losses. The mean divides by the number of "
              "images."),
        Wrong("divides by the classes too",
              lambda logits, y: (
                  (logits.softmax(1) - F.one_hot(y, logits.shape[1])) / logits.numel()),
              "The mean is over the images, N of them. You divided by N times the classes."),
        Wrong("the target only", gradient_of_target_only,
              "Only the target's logit gets a gradient. But the other logits take probability away "
              "from it: each is pushed down by its own probability."),
        Wrong("by the probability", gradient_by_probability,
              "-1 / p is the derivative by the probability of the target. The chain rule goes on, "
              "through softmax, to the logits; there most of it cancels."),
        Wrong("sigmoid",
              lambda logits, y: (logits.sigmoid() - F.one_hot(y, logits.shape[1])) / len(y),
              "That is right for yes-or-no questions. Here the classes compete, and the rows of a "
              "gradient add up to 0: take softmax."),
        Wrong("softmax over the images",
              lambda logits, y: (logits.softmax(0) - F.one_hot(y, logits.shape[1])) / len(y),
              "You normalised over dim 0, the images. The probabilities of each image, over dim 1, "
              "must add up to 1."),
    ],
    hints=["The lesson found it for the sum over a batch. What does the mean change?",
           "`F.one_hot(y, C)` gives the targets as rows of zeros with a single 1.",
           "Each row of the result adds up to 0. Does yours?"],
    why="Each logit is pushed by its error, divided by the number of images. A certain and right "
        "prediction is left alone.")


def right_but_worse_judge(answer):
    try:
        rows = torch.as_tensor(answer, dtype=torch.float64)
    except Exception:
        return "Give two rows of three numbers, such as [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]."
    if rows.shape == (2, 2):
        return "two classes"
    if rows.shape != (2, 3):
        return "not two rows of three"
    if not rows.isfinite().all():
        return "Some of these logits are infinite or NaN. Plain numbers will do."
    first, second = rows
    first_is_right = bool(first[0] > first[1:].max())
    second_is_right = bool(second[0] > second[1:].max())
    if bool(first[0] == first[1:].max()) or bool(second[0] == second[1:].max()):
        return "a tie"
    if second_is_right:
        return "both right" if first_is_right else "the other way round"
    if not first_is_right:
        return "both wrong"
    losses = -rows.log_softmax(1)[:, 0]
    return None if losses[0] > losses[1] else "the mistake costs more"


def right_but_worse():
    # The first is right with barely more than a third, the second wrong with nearly a half.
    return [[0.1, 0.0, 0.0], [3.0, 3.1, 0.0]]


RIGHT_BUT_WORSE = Decision(
    "right_but_worse", idea="loss and error rate can disagree",
    judge=right_but_worse_judge, solution=right_but_worse,
    wrong=[
        Wrong("both right", [[5.0, 0.0, 0.0], [2.0, 0.0, 0.0]],
              "Both predictions are right: class 0 has the largest logit in both rows. The second "
              "must be wrong, and still have the lower loss."),
        Wrong("both wrong", [[0.0, 5.0, 0.0], [0.0, 1.0, 0.0]],
              "Both predictions are wrong. In the first row class 0, the target, must have the "
              "largest logit."),
        Wrong("the mistake costs more", [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]],
              "One is right, the other wrong, but the wrong one has the higher loss, as one would "
              "expect. The loss depends only on the probability of class 0: how small can it be "
              "where it is still the largest of three?"),
        Wrong("the other way round", [[3.0, 3.1, 0.0], [0.1, 0.0, 0.0]],
              "The first row must be the right prediction, the second the wrong one."),
        Wrong("a tie", [[0.0, 0.0, 0.0], [3.0, 3.1, 0.0]],
              "In one row two classes share the largest logit, so it is luck which one is "
              "predicted. A small lead is enough."),
        Wrong("two classes", [[1.0, 0.0], [0.0, 1.0]],
              "With two classes it cannot be done: right means a probability above one half, wrong "
              "means below. Give each row a third logit."),
        Wrong("not two rows of three", [0.1, 0.0, 0.0],
              "Give two rows, one per image, of three logits each, such as "
              "[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]."),
    ],
    hints=["The loss of a row is `-log(p)`, with p the probability of class 0. You want a small p "
           "in the first row, a large p in the second.",
           "The first is right if its p is the largest of three. It can be just above a third.",
           "The second is wrong if another p is larger. Its own can be just below a half, if the "
           "third class gets hardly anything."],
    why="Right only asks who is first, the loss asks how much probability the target got. So the "
        "loss can rise while the error rate falls.")


def labels_above(logits, p):
    return logits.sigmoid() > p


def labels_by_odds(logits, p):
    return logits > torch.tensor(p / (1 - p)).log()


def labels_at_least_one(logits, p):
    return (logits.sigmoid() > p) | (logits == logits.amax(1, keepdim=True))


LABELS_ABOVE = Exercise(
    "labels_above", labels_above, idea="multi-label is not softmax",
    expected=labels_by_odds,
    cases={
        "no label fits": lambda: (torch.tensor([[-6.0, -5.0, -7.0]]), 0.5),
        "all labels fit": lambda: (torch.tensor([[6.0, 5.0, 7.0]]), 0.5),
        "some of them": lambda: (torch.tensor([[2.0, 0.3, -1.0], [-0.4, 1.0, 3.0]]), 0.5),
        "only if it is sure": lambda: (torch.tensor([[1.0, 2.0, 3.0], [0.2, 2.5, -3.0]]), 0.9),
        "a mere suspicion is enough": lambda: (torch.tensor([[-1.0, -3.0, -2.0, 0.05]]), 0.1),
        "large logits": lambda: (torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), 0.7),
    },
    wrong=[
        Wrong("softmax", lambda logits, p: logits.softmax(1) > p,
              "Softmax makes the labels compete: its probabilities add up to 1, so two can never "
              "both be above one half, and one is large even where no label fits. Give each "
              "label a sigmoid of its own."),
        Wrong("argmax",
              lambda logits, p: F.one_hot(logits.argmax(1), logits.shape[1]).bool(),
              "Argmax gives each image exactly one label. Here it may have several, or none."),
        Wrong("at least one", labels_at_least_one,
              "You always give the best label, even if it is unlikely. An image that deserves no "
              "label should get none."),
        Wrong("logits against p", lambda logits, p: logits > p,
              "p is a probability, but logits have no unit. Turn them into probabilities first."),
        Wrong("always one half", lambda logits, p: logits.sigmoid().round().bool(),
              "A logit above 0, or a probability that rounds to 1, means above one half, "
              "whatever p is. Compare the probability with p."),
        Wrong("the logarithm of p",
              lambda logits, p: logits > torch.tensor(p).log(),
              "`log(p)` is the logarithm of a probability. The logit that belongs to p is the "
              "logarithm of its odds, `log(p / (1 - p))`."),
        Wrong("overflows", lambda logits, p: logits.exp() / (1 + logits.exp()) > p,
              "The exponential of a large logit is infinity, and infinity divided by infinity is "
              "NaN, which is above nothing. torch.sigmoid avoids that."),
    ],
    hints=["Each label is a yes-or-no question of its own.",
           "Which function turns the logit of a yes-or-no question into a probability?"],
    why="Each label has its own sigmoid and is compared with p alone, so any number of labels can "
        "be given, also none.")

EXERCISES = [MY_LOSS, LOGIT_GRADIENT, RIGHT_BUT_WORSE, LABELS_ABOVE]

QUESTIONS = [
    Question("A network for 100 classes with a new head starts with a loss of 9. Is something "
             "broken?", [
                 Choice("Yes: before training the loss must be `log(100)`, about 4.6.",
                        "That is the loss of equal probabilities. A random head does not give "
                        "those: its logits are random but far apart."),
                 Choice("Not necessarily: a random head is often overconfident.",
                        "It is confident and knows nothing, which costs more than `log(100)`. In "
                        "the first steps the loss should fall quickly; if it does not, look for "
                        "the cause.", right=True),
                 Choice("No: the first loss says nothing.",
                        "It says a little. If it is infinite or NaN, look for the cause before you "
                        "train for an hour."),
             ]),
    Question("The validation loss rises from one epoch to the next. Can the error rate have "
             "fallen?", [
                 Choice("No: a higher loss means more mistakes.",
                        "The loss judges confidence, the error rate does not. One very confident "
                        "mistake can outweigh several images that are now right."),
                 Choice("Yes: a few mistakes have become more confident.",
                        "The two measure different things, so look at both.", right=True),
                 Choice("Only if something is wrong with the validation set.",
                        "It happens with perfectly good data, often late in training."),
             ]),
    Question("You add 10 to all logits of an image. What happens to its loss?", [
                 Choice("It rises.", "All exponentials grow by the same factor, which cancels when "
                                     "softmax divides by their sum."),
                 Choice("It falls, because the target's logit is larger.",
                        "The others grew by as much. Only the lead over them counts."),
                 Choice("Nothing.", "Softmax sees differences only.", right=True),
             ]),
]
