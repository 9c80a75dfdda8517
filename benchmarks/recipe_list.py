"""The recipes: each is a function of a task that returns a trained learner.

The first few are compared on every data set, size and seed. Each of the others changes one thing of
a recipe that it is compared with, on fewer data and seeds.
"""
import math
from collections.abc import Callable
from functools import partial

from measure import QUICK
from recipe_tasks import PRESIZE, Task
from sides import fastai_learner
from torch import nn

from transfer_lessons.all import Learner, create_head, cross_entropy, valley, vision_learner
from transfer_lessons.backbones import n_features

EPOCHS = 1 if QUICK else 4
HEAD_STEPS = 4 if QUICK else 200
HEAD_LR = 3e-3
VIEWS = 4


# The recipes that are compared everywhere, with every seed.

def ours(task: Task):
    """What `vision_learner` and `learn.fine_tune` do when told nothing else."""
    learn = vision_learner(task.loaders())
    learn.fine_tune(EPOCHS)
    return learn


def ours_with_fastais_constants(task: Task):
    """`learn.fine_tune` with fastai's head, stages and learning rates."""
    learn = vision_learner(task.loaders(), hidden=512)
    learn.fine_tune(EPOCHS, recipe="fastai")
    return learn


def fastai(task: Task, presize: float = PRESIZE):
    """fastai's own `fine_tune`: the same network, weights, images, batches and epochs."""
    learn = fastai_learner(task.fastai_loaders(presize), task.network(hidden=512), frozen=True)
    learn.epoch_rows = []
    learn.logger = learn.epoch_rows.append
    with learn.no_bar():
        learn.fine_tune(EPOCHS)
    return learn


def head_alone(task: Task, hidden: int | None = None, dropout: float = 0.0, lr: float = HEAD_LR,
               **loaders):
    """A head trained until it converges, on cached activations of a few augmented views."""
    learn = new_learner(task, hidden, dropout, **loaders)
    train_head(learn, lr)
    return learn


def head_alone_frozen(task: Task):
    """A head trained for as many epochs as `fine_tune` takes, behind a frozen body, uncached."""
    learn = new_learner(task)
    learn.freeze()
    learn.fit_one_cycle(EPOCHS + 1, HEAD_LR)
    return learn


# What they and the variants are made of.

def new_learner(task: Task, hidden: int | None = None, dropout: float = 0.0,
                loss_func: Callable = cross_entropy, **loaders) -> Learner:
    """A learner of the pretrained network with a head of its own."""
    model = task.network(hidden)
    if dropout > 0:
        pool, linear = create_head(n_features(model[0]), len(task.vocab), hidden=None)
        model[1] = nn.Sequential(pool, nn.Dropout(dropout), linear)
    return Learner(task.loaders(**loaders), model, loss_func)


def train_head(learn: Learner, lr: float | None = HEAD_LR) -> None:
    """Train the head for a number of steps, not epochs; None asks `lr_find` for the rate."""
    epochs = math.ceil(HEAD_STEPS / len(learn.dls.train))
    learn.freeze()
    is_augmented = learn.dls.train.augment is not None
    head = learn.precompute(views=min(VIEWS, epochs) if is_augmented else None)
    if lr is None:
        lr = head.lr_find(suggest_funcs=valley).valley or HEAD_LR
    head.fit_one_cycle(epochs, lr)
    learn.recorder.history.extend(head.recorder.history)


def two_stages(task: Task, body_lr: float | None = 2e-3, lr: float | None = HEAD_LR,
               lr_mult: float = 1, freeze_to: int = -2, train_batchnorm: bool = True,
               epochs: int = EPOCHS, n_steps: int = 0, pct_start: float = 0.3,
               wd: float | None = None, **options):
    """A head trained until it converges, then layers of the body with it, and no way back.

    Args:
        task: what to learn
        body_lr: of head and body, once the body trains too; None asks `lr_find` then
        lr: of the head alone; None asks `lr_find`
        lr_mult: the earliest layers that train learn so many times slower
        freeze_to: the first layer group that trains in the second stage
        train_batchnorm: False keeps the statistics and weights of BatchNorm
        epochs: of the second stage
        n_steps: more epochs where they are not as many steps
        pct_start: fraction of its steps that warm up
        wd: its weight decay; None keeps the optimizer's
        options: of `new_learner`
    """
    learn = new_learner(task, **options)
    train_head(learn, lr)
    learn.freeze_to(freeze_to)
    if not train_batchnorm:
        for module in learn.model[0].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)
    if body_lr is None:
        body_lr = learn.lr_find(suggest_funcs=valley).valley or 2e-3
    epochs = max(epochs, math.ceil(n_steps / len(learn.dls.train)))
    learn.fit_one_cycle(epochs, slice(body_lr / lr_mult, body_lr), pct_start=pct_start, div=5,
                        wd=wd)
    return learn


SMOOTH = nn.CrossEntropyLoss(label_smoothing=0.1)

MAIN = {
    "fastai": fastai,
    "head alone": head_alone,
    "ours": ours,
    "ours, fastai's constants": ours_with_fastais_constants,
    "head alone, frozen": head_alone_frozen,
}

# Which head, trained how? Compared with "head alone".
HEADS = {
    "head: hidden layer of 512": partial(head_alone, hidden=512),
    "head: hidden layer of 64": partial(head_alone, hidden=64),
    "head: dropout 0.5": partial(head_alone, dropout=0.5),
    "head: learning rate 1e-3": partial(head_alone, lr=1e-3),
    "head: learning rate 1e-2": partial(head_alone, lr=1e-2),
    "head: learning rate by lr_find": partial(head_alone, lr=None),
    "head: batch size 64": partial(head_alone, bs=64),
    "head: not augmented": partial(head_alone, augment=False),
    "head: label smoothing 0.1": partial(head_alone, loss_func=SMOOTH),
}

# Which second stage, that trains the body too? These are run everywhere, to choose one of them.
STAGES = {
    f"body: {layers}, {lr:.0e}, BatchNorm {kept}": partial(
        two_stages, body_lr=lr, freeze_to=freeze_to, train_batchnorm=kept == "trains")
    for layers, freeze_to in (("late half", -2), ("every layer", 0))
    for lr in (1e-4, 3e-4, 1e-3, 2e-3)
    for kept in ("trains", "kept")
}

# What else could it be? Compared with "two stages".
BODIES = {
    "body: every layer, early ones 10 times slower": partial(two_stages, freeze_to=0, lr_mult=10),
    "body: every layer at fastai's learning rates": partial(
        two_stages, body_lr=1e-3, freeze_to=0, lr_mult=100),
    "body: 10 times slower than the head": partial(two_stages, lr_mult=10),
    "body: learning rate 4e-3": partial(two_stages, body_lr=4e-3),
    "body: both rates by lr_find": partial(two_stages, body_lr=None, lr=None),
    "body: batch size 16": partial(two_stages, bs=16),
    "body: batch size 64": partial(two_stages, bs=64),
    "body: half the epochs": partial(two_stages, epochs=math.ceil(EPOCHS / 2)),
    "body: twice the epochs": partial(two_stages, epochs=2 * EPOCHS),
    "body: learning rate 1e-3, twice the epochs": partial(
        two_stages, body_lr=1e-3, epochs=2 * EPOCHS),
    "body: 100 steps at least": partial(two_stages, n_steps=100),
    "body: 200 steps at least": partial(two_stages, n_steps=200),
    "body: hardly a warm-up": partial(two_stages, pct_start=0.05),
    "body: warm-up of half the steps": partial(two_stages, pct_start=0.5),
    "body: not augmented": partial(two_stages, augment=False),
    "body: label smoothing 0.1": partial(two_stages, loss_func=SMOOTH),
    "body: no weight decay": partial(two_stages, wd=0.0),
    "body: weight decay 0.1": partial(two_stages, wd=0.1),
    "body: every layer, 3e-4, BatchNorm kept, 100 steps at least": partial(
        two_stages, body_lr=3e-4, freeze_to=0, train_batchnorm=False, n_steps=100),
    "body: every layer, 3e-4, BatchNorm kept, twice the epochs": partial(
        two_stages, body_lr=3e-4, freeze_to=0, train_batchnorm=False, epochs=2 * EPOCHS),
    "body: every layer, 3e-4, BatchNorm kept, label smoothing": partial(
        two_stages, body_lr=3e-4, freeze_to=0, train_batchnorm=False, loss_func=SMOOTH),
    "body: every layer, 1e-3, BatchNorm kept, early ones 10 times slower": partial(
        two_stages, body_lr=1e-3, freeze_to=0, train_batchnorm=False, lr_mult=10),
}

# Is fastai treated well? Compared with "fastai".
THEIRS = {"fastai: images not read larger": partial(fastai, presize=1.0)}

VARIANTS = {**STAGES, **HEADS, **BODIES, **THEIRS}
RECIPES = {**MAIN, **VARIANTS}
TWO_STAGES = "body: late half, 2e-03, BatchNorm trains"
COMPARED_WITH = {**dict.fromkeys([*STAGES, *HEADS], "head alone"),
                 **dict.fromkeys(BODIES, TWO_STAGES), **dict.fromkeys(THEIRS, "fastai")}
