"""Exercises and questions of lesson 8, the training loop."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question, Wrong
from transfer_lessons.recorder import Recorder


def one_epoch(model, batches, opt, loss_func):
    """Train on every batch once; returns the mean loss per image, a plain number."""
    model.train()
    total = 0.0
    n_images = 0
    for xb, yb in batches:
        loss = loss_func(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() * len(yb)
        n_images += len(yb)
    return total / n_images


def one_epoch_but(clear="before backward", train=True, weight=len, number=Tensor.item, last=False):
    """`one_epoch` with one part replaced."""
    def wrong(model, batches, opt, loss_func):
        if train:
            model.train()
        if clear == "before the loop":
            opt.zero_grad()
        total = 0.0
        n = 0
        for xb, yb in batches:
            loss = loss_func(model(xb), yb)
            if clear == "before backward":
                opt.zero_grad()
            loss.backward()
            if clear == "before step":
                opt.zero_grad()
            opt.step()
            if clear == "after step":
                opt.zero_grad()
            total = 0.0 if last else total
            n = 0 if last else n
            total = total + number(loss) * weight(yb)
            n += weight(yb)
        return total / n
    return wrong


def one_epoch_counting_first(model, batches, opt, loss_func):
    """Goes through the batches twice, which a generator does not allow."""
    n_images = sum(len(yb) for _, yb in batches)
    model.train()
    total = 0.0
    for xb, yb in batches:
        loss = loss_func(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() * len(yb)
    return total / n_images if total else 0.0


class Once:
    """Batches that can be gone through once, as a generator's; then, perhaps, an error."""
    def __init__(self, batches, error=None):
        self.batches = iter(batches)
        self.error = error

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.batches)
        except StopIteration:
            raise self.error or StopIteration from None

    def __repr__(self):
        return "batches to go through once" + (", then an error" if self.error else "")


class SmallNet(nn.Sequential):
    """A network with BatchNorm that is written in a few words."""
    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))

    def __repr__(self):
        return f"a network in {'training' if self.training else 'evaluation'} mode"


def small_training(sizes, stale=False, mode=True, generator=False):
    """A small network with BatchNorm, batches of these sizes, an optimizer and a loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = SmallNet()
        batches = [(torch.randn(size, 3), torch.randint(3, (size,))) for size in sizes]
    if stale:
        F.cross_entropy(model(batches[0][0]), batches[0][1]).backward()
    model.train(mode)
    opt = torch.optim.SGD(model.parameters(), lr=0.5)
    return model, Once(batches) if generator else batches, opt, F.cross_entropy


def watch_epoch(answer, model, batches, opt, loss_func):
    """What an epoch returns, and what it does to the network."""
    value = answer(model, batches, opt, loss_func)
    if value is None:
        return None
    keeps_graph = isinstance(value, Tensor) and value.requires_grad
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return {"loss": value.item() if isinstance(value, Tensor) else value,
            "norm of the weights": weights.norm().item(),
            "of BatchNorm's mean": model[1].running_mean.norm().item(),
            "trains": model.training,
            "keeps graph": keeps_graph}


ONE_EPOCH = Exercise(
    "one_epoch", one_epoch, idea="the six lines of a training step, and what may not be left out",
    cases={"two batches": lambda: small_training([6, 6]),
           "a small last batch": lambda: small_training([8, 8, 2]),
           "gradients left over from before": lambda: small_training([6, 6], stale=True),
           "a network in evaluation mode": lambda: small_training([6, 6], mode=False),
           "batches from a generator": lambda: small_training([6, 6], generator=True)},
    observe=watch_epoch, may_change_inputs=True,
    wrong=[
        Wrong("no zero_grad", one_epoch_but(clear="never"),
              "PyTorch adds each gradient to the last one, and here nothing clears them: "
              "momentum 1. Call opt.zero_grad() once per batch."),
        Wrong("cleared once", one_epoch_but(clear="before the loop"),
              "You clear the gradients before the loop, but not between the batches, so from the "
              "second batch on they add up. Move opt.zero_grad() into the loop."),
        Wrong("cleared before the step", one_epoch_but(clear="before step"),
              "You clear the gradients between backward and step. The step finds none, and the "
              "weights never move. Clear before backward, or after the step."),
        Wrong("cleared too late for the first batch", one_epoch_but(clear="after step"),
              "All is well if the gradients are clear when it starts. Somebody may have left some: "
              "clear them before the first backward, not only after each step."),
        Wrong("the mean of the batches' means", one_epoch_but(weight=lambda yb: 1),
              "You averaged the batches' mean losses. The last batch is smaller, so its images "
              "count more. Multiply each loss by len(yb), and divide by the number of images."),
        Wrong("the graph is kept", one_epoch_but(number=lambda loss: loss),
              "The value is right, but it is a tensor that holds on to the graph of every batch: "
              "memory grows with each step. Add loss.item(), a plain number."),
        Wrong("no train()", one_epoch_but(train=False),
              "A network that came in evaluation mode stayed in it: BatchNorm used its old "
              "statistics and did not learn new ones. Begin with model.train()."),
        Wrong("the last loss", one_epoch_but(last=True),
              "You returned the loss of the last batch. Add up the losses of all images, and "
              "divide by their number."),
        Wrong("through the batches twice", one_epoch_counting_first,
              "You go through the batches once to count, and once to train. A loader may be a "
              "generator, and then nothing is left the second time. Count on the way."),
    ],
    hints=["A step: logits, loss, clear the gradients, backward, step. And the network's mode?",
           "loss is a mean over the batch. How do you get the sum over its images, as a number?",
           "total += loss.item() * len(yb), and n_images += len(yb); then total / n_images.",
           "opt.zero_grad() belongs into the loop, before loss.backward()."],
    why="Clearing right before backward needs no promise about what was there before, and "
        "weighting each batch by its size makes every image count once.")


def evaluate(model, batches):
    """Error rate on all images at once; every module is left in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    n_wrong = 0
    n_images = 0
    try:
        model.eval()
        with torch.no_grad():
            for xb, yb in batches:
                logits = model(xb)
                is_right = (logits.argmax(1) == yb) & ~logits.isnan().any(1)
                n_wrong += int((~is_right).sum())
                n_images += len(yb)
    finally:
        for module, mode in modes:
            module.training = mode
    return n_wrong / n_images


def put_back(model, modes, restore):
    """Give modules their modes back: "each", as the "first" one, by "train", or not at all."""
    if restore == "train":
        model.train()
    elif restore == "first":
        model.train(modes[0][1])
    elif restore == "each":
        for module, mode in modes:
            module.training = mode


def evaluate_but(restore="each", always=True, gradients=False, dim=1, nan_wrong=True, weight=len):
    """`evaluate` with one part replaced."""
    def wrong(model, batches):
        modes = [(module, module.training) for module in model.modules()]
        total = 0.0
        n = 0
        try:
            model.eval()
            with torch.set_grad_enabled(gradients):
                for xb, yb in batches:
                    logits = model(xb)
                    is_right = logits.argmax(dim) == yb
                    if nan_wrong:
                        is_right &= ~logits.isnan().any(1)
                    total += (~is_right).float().mean().item() * weight(yb)
                    n += weight(yb)
        except OSError:
            if always:
                put_back(model, modes, restore)
            raise
        put_back(model, modes, restore)
        return total / n
    return wrong


def evaluate_without_modes(model, batches):
    """Never calls eval()."""
    with torch.no_grad():
        outputs = [(model(xb), yb) for xb, yb in batches]
    logits, targets = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return 1 - ((logits.argmax(1) == targets) & ~logits.isnan().any(1)).float().mean().item()


def evaluate_and_stay_without_gradients(model, batches):
    """Switches gradients off for whoever comes next, too."""
    torch.set_grad_enabled(False)
    return evaluate(model, batches)


class Watched(nn.Module):
    """A frozen BatchNorm and a head; it remembers whether gradients were recorded."""
    def __init__(self):
        super().__init__()
        self.body = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 3)
        self.recorded = []

    def forward(self, x):
        """Logits of three classes."""
        self.recorded.append(torch.is_grad_enabled())
        return self.head(self.body(x))

    def modes(self):
        """Of the whole, the body and the head."""
        return " ".join("train" if module.training else "eval" for module in self.modules())

    def __repr__(self):
        return f"a network with body and head, modes: {self.modes()}"


def small_evaluation(sizes, body_mode=False, head_mode=True, n_nan=0, breaks=False):
    """A watched network in these modes, and batches of these sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Watched()
        model.body.running_mean += 2 * torch.randn(3)
        batches = [(3 * torch.randn(size, 3), torch.randint(3, (size,))) for size in sizes]
    for xb, yb in batches[:1]:
        xb[:n_nan] = float("nan")
        yb[:n_nan] = 0
    model.train(head_mode)
    model.body.train(body_mode)
    return model, Once(batches, OSError("the disk is gone")) if breaks else batches


def watch_evaluation(answer, model, batches):
    """The error rate, or that the loader's error came through; and what became of the network."""
    with torch.enable_grad():
        try:
            outcome = answer(model, batches)
        except OSError as error:
            outcome = str(error)
        still_on = torch.is_grad_enabled()
    if outcome is None:
        return None
    return {"error rate": outcome,
            "modes": model.modes(),
            "gradients: recorded": any(model.recorded),
            "on afterwards": still_on,
            "BatchNorm's mean": model.body.running_mean.norm().item()}


EVALUATE = Exercise(
    "evaluate", evaluate, idea="evaluation leaves no trace: modes, statistics, gradients",
    cases={"a frozen body, a head that trains": lambda: small_evaluation([9, 9]),
           "everything in training mode": lambda: small_evaluation([9, 9], True, True),
           "everything in evaluation mode": lambda: small_evaluation([9, 9], False, False),
           "a small last batch": lambda: small_evaluation([9, 9, 2], False, False),
           "a batch of three": lambda: small_evaluation([3, 9, 3]),
           "two images with NaN logits": lambda: small_evaluation([9, 9], n_nan=2),
           "the loader fails on the way": lambda: small_evaluation([9], breaks=True)},
    observe=watch_evaluation, may_change_inputs=True,
    wrong=[
        Wrong("ends with train()", evaluate_but(restore="train"),
              "You end with model.train(), so the frozen BatchNorm wakes up, and the next training "
              "damages it. Note each module's mode first, and put that one back."),
        Wrong("one mode for all", evaluate_but(restore="first"),
              "You put the mode of the whole model back, but its parts had modes of their own: the "
              "frozen body was in evaluation mode while the model trained. Note each module's."),
        Wrong("stays in evaluation mode", evaluate_but(restore="none"),
              "The network stays in evaluation mode. Whoever trains on finds dropout off and "
              "BatchNorm still. Put each module's mode back."),
        Wrong("no eval()", evaluate_without_modes,
              "Without model.eval(), BatchNorm normalises with each batch's own statistics, and "
              "moves its running ones. The error rate is another one, and the network is "
              "damaged."),
        Wrong("records gradients", evaluate_but(gradients=True),
              "The number is right, but a graph is recorded for each batch, which costs time and "
              "memory. eval() does not prevent that: put the loop into torch.no_grad()."),
        Wrong("switches gradients off for good", evaluate_and_stay_without_gradients,
              "torch.set_grad_enabled(False) stays in force after your function: nothing can be "
              "trained any more. Use `with torch.no_grad():`, which ends."),
        Wrong("argmax over the batch", evaluate_but(dim=0),
              "argmax(0) looks down the batch: which image has the largest logit of each class? "
              "The predicted class of each image is argmax(1)."),
        Wrong("no finally", evaluate_but(always=False),
              "Where the loader fails, or somebody presses Ctrl-C, the modes are not put back. Put "
              "that into a `finally:`, which runs whatever happens."),
        Wrong("NaN is class 0", evaluate_but(nan_wrong=False),
              "argmax of NaN logits is some class all the same, and here it was the target by "
              "luck. A network that says nothing is not right: count images with NaN logits as "
              "wrong."),
        Wrong("the mean of the batches' rates", evaluate_but(weight=lambda yb: 1),
              "You averaged the batches' error rates. The last batch is smaller, so its images "
              "count more. Count the mistakes, and divide once at the end."),
    ],
    hints=["Before you change a mode, note the mode of each module: [(m, m.training) for m in "
           "model.modules()].",
           "Two switches: model.eval() for the layers, torch.no_grad() for the graph.",
           "try: ... finally: puts the modes back even where the loader fails.",
           "An image is right if logits.argmax(1) == yb and no logit is NaN: "
           "logits.isnan().any(1)."],
    why="What you switch, you switch back, each module for itself, whatever ends the loop. And an "
        "error rate counts images, once each.")

GOOD_TURNS = {20: 0.01, 28: 0.03, 36: 0.1, 42: 0.003}  # step: learning rate


def my_drive(drive):
    """Steps of about three until the loss clearly rises, then far back. The brink was guessed."""
    return 0.05, drive({20: 0.01, 28: 0.03, 36: 0.1, 42: 0.003})


def means_of_five(losses):
    """The mean of each loss and the four before it, from the fifth on."""
    return np.convolve(losses, np.full(5, 0.2), mode="valid")


def why_no_drive(answer):
    """A sentence about an answer that is no prediction with a record; else None."""
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Recorder):
        return ("my_drive must be a pair: your prediction, and what drive() returns. Try "
                "my_drive = (0.1, drive()).")
    guess, record = answer
    if isinstance(guess, bool) or not isinstance(guess, int | float) or not guess > 0:
        return "The prediction must be a learning rate, such as 0.1. Try my_drive = (0.1, drive())."
    if len(record.losses) < 90:
        return f"It was stopped after {len(record.losses)} steps. Let it go to its end."
    return None


def judge_turns(lrs, losses):
    """The first mistake in a drive, and the brink: the learning rate at which the loss burst."""
    means = means_of_five(losses)
    bursts = np.flatnonzero(means > 1.2 * means[0])
    if len(set(lrs)) == 1:
        return "never turned", None
    if max(lrs) <= lrs[0]:
        return "only down", None
    if len(bursts) == 0:
        return "too careful", None
    start = int(bursts[0]) + 4  # the last of the five steps whose mean was too high
    brink = max(lrs[max(start - 8, 0):start + 1])
    if max(new / old for old, new in zip(lrs[:start], lrs[1:start + 1], strict=True)) > 12:
        return "a leap", brink
    if lrs[-1] > brink / 3:
        return "left high", brink
    return "back too late" if means[-1] > means[0] else None, brink


def judge_drive(answer, drive):
    """Judges what the recorder holds: the turns, the loss after them, and the prediction."""
    if sentence := why_no_drive(answer):
        return sentence
    guess, record = answer
    mistake, brink = judge_turns([max(rates) for rates in record.lrs], record.losses)
    if mistake is None and guess < brink / 10:
        return "predicted too low"
    if mistake is None and guess > brink * 10:
        return "predicted too high"
    return mistake


def small_drive():
    """A drive without images and without a hand: it makes the turns it is given."""
    def drive(turns):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(2000, 800, generator=generator).relu()
        noise = 6 * torch.randn(2000, 8, generator=generator)
        targets = (features @ torch.randn(800, 8, generator=generator) + noise).argmax(1)
        weights = torch.zeros(800, 8, requires_grad=True)
        opt = torch.optim.AdamW([weights], lr=3e-3)
        recorder = Recorder()
        for step in range(124):
            opt.param_groups[0]["lr"] = turns.get(step, opt.param_groups[0]["lr"])
            rows = torch.randint(2000, (16,), generator=generator)
            loss = F.cross_entropy(features[rows] @ weights, targets[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            recorder.end_step(loss.item(), opt)
        return recorder
    return drive


MY_DRIVE = Decision(
    "my_drive", idea="what too high a learning rate looks like while it happens, and the way back",
    judge=judge_drive, solution=my_drive, about=small_drive,
    wrong=[
        Wrong("never turned", lambda drive: (0.03, drive({})),
              "The learning rate was the same at every step. Run drive() in a live notebook, and "
              "move the slider while it trains."),
        Wrong("only down", lambda drive: (0.03, drive({30: 1e-4})),
              "You only turned it down. That is safe, and shows nothing about where the brink is. "
              "Turn it up, by a factor of three at a time, until the loss rises."),
        Wrong("too careful", lambda drive: (0.03, drive({24: 0.004, 40: 0.005, 60: 0.001})),
              "The loss never rose above its start, so the brink is higher than anything you "
              "tried. Turn further up: at some learning rate it must burst."),
        Wrong("a leap", lambda drive: (0.03, drive({40: 1.0, 44: 0.001})),
              "You leapt more than tenfold in one step. The brink lies somewhere in between, but "
              "where? Go up by about three at a time, and wait ten steps each time."),
        Wrong("left high", lambda drive: (0.03, drive({24: 0.01, 36: 0.03, 48: 0.1})),
              "You found the brink and stayed above it: each further step undoes more of what was "
              "learned. Once the loss rises, turn well below, by ten or more."),
        Wrong("back too late", lambda drive: (0.03, drive(
            {20: 0.01, 28: 0.03, 36: 0.1, 44: 0.3, 52: 1.0, 60: 3.0, 116: 0.001})),
              "You turned back, but the loss did not: too much was destroyed, or too few steps "
              "were left. Turn back as soon as the loss has risen for some five steps."),
        Wrong("predicted too low", lambda drive: (1e-5, drive(GOOD_TURNS)),
              "A fine drive, but your prediction was more than ten times too low. A new head on "
              "a frozen body bears a good deal; learning rates as low as yours are for "
              "pretrained layers."),
        Wrong("predicted too high", lambda drive: (9.0, drive(GOOD_TURNS)),
              "A fine drive, but your prediction was more than ten times too high. With AdamW "
              "each step moves each weight by about the learning rate, whatever the gradient: "
              "that adds up."),
    ],
    hints=["Let it fall for some twenty steps first, so that you see what is normal.",
           "Then up by a factor of three, wait ten steps, and look: does the loss still fall?",
           "It jumps about at every batch. It has burst where five losses in a row are on average "
           "a fifth higher than the first five were.",
           "Then turn back at once, to a tenth of that or less, and let it recover."],
    why="Small factors tell where the brink is to within three. Turned back at once, a network "
        "recovers; the longer it stays above the brink, the more steps that takes.")

EXERCISES = [ONE_EPOCH, EVALUATE, MY_DRIVE]

QUESTIONS = [
    Question("You care about the error rate. Why does training not make the error rate itself "
             "small, by its gradient?", [
        Choice("It would take too long to compute.",
               "It costs next to nothing, less than the loss does. The trouble is its gradient."),
        Choice("Its gradient is zero almost everywhere.",
               "A small change of a weight usually changes no prediction, so the error "
               "rate does "
               "not say in which direction to go. The loss does.", right=True),
        Choice("The loss and the error rate have the same gradient anyway.",
               "They do not: with the highest learning rate of this lesson the loss exploded, and "
               "the error rate hardly moved.")]),
    Question("You call model.eval(), run some images through, and call backward(). What happens?", [
        Choice("There are no gradients: eval() switches them off.",
               "That is the usual mix-up. eval() changes what layers such as dropout and "
               "BatchNorm do. torch.no_grad() switches the recording off."),
        Choice("There are gradients, as in training mode.",
               "The mode and the gradients are two switches, and evaluation needs both.",
               right=True),
        Choice("An error: a model in evaluation mode cannot run backward.",
               "It can. Lesson 11 uses that, to see where a trained network looked.")]),
    Question("You forgot zero_grad. At a low learning rate, the loss falls *faster* than with it. "
             "Is that an improvement?", [
        Choice("Yes, as long as the learning rate is low.",
               "It looks like one, but nothing slows it down: it runs past the bottom and up the "
               "other side. And ten times the learning rate ends far up."),
        Choice("No: it is momentum 1, a ball without friction.",
               "Gradients add up for ever, so it never settles. If you want momentum, choose "
               "it on purpose, below 1.", right=True),
        Choice("No: the sum of gradients points in random directions.",
               "Each gradient in the sum was a good direction at its time. What is wrong is "
               "that the old ones are never forgotten.")]),
]
