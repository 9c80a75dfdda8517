"""How long does a head take to train on a frozen body, and its learning rate to find?"""
import logging
import tempfile
import warnings

import torch
from measure import QUICK, Report, taking_turns
from sides import (
    BATCH,
    TRAIN,
    fastai_learner,
    fastai_loaders,
    network,
    our_learner,
    our_loaders,
    quietly,
)

from transfer_lessons.backbones import DEFAULT_ARCH
from transfer_lessons.lr_finder import LRFind  # noqa: F401  it gives a learner lr_find
from transfer_lessons.precompute import PrecomputedLearner  # noqa: F401  and this, precompute

EPOCHS, RATE, ROUNDS, NUM_IT = 3, 3e-3, 2, 20 if QUICK else 100


def ours(frozen: bool = True):
    return our_learner(our_loaders(), network(DEFAULT_ARCH, pretrained=True), frozen)


def theirs():
    return fastai_learner(fastai_loaders(), network(DEFAULT_ARCH, pretrained=True), frozen=True)


def train(report: Report) -> None:
    """Three epochs of a head: with the images decoded and the body run once, or in every epoch."""
    learners = {}

    def cached() -> None:
        learn = ours().precompute()
        learn.fit_one_cycle(EPOCHS, RATE)
        learners["ours, cached"] = learn

    def live() -> None:
        learn = learners["ours, not cached"] = ours()
        learn.fit_one_cycle(EPOCHS, RATE)

    def fastai() -> None:
        learn = learners["fastai"] = theirs()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(EPOCHS, RATE)

    times = taking_turns({"ours, cached": quietly(cached), "ours, not cached": quietly(live),
                          "fastai": quietly(fastai)}, ROUNDS, warm_up=0)
    report.values(f"{EPOCHS} frozen epochs from files, {TRAIN} photographs", times)
    report.ratio("caching and 3 head epochs / fastai's 3 frozen epochs", times["ours, cached"],
                 times["fastai"], at_most=0.15)
    report.ratio("3 frozen epochs, not cached / fastai's", times["ours, not cached"],
                 times["fastai"])
    with learners["fastai"].no_bar():
        errors = {side: [float(learn.validate()[1])] for side, learn in learners.items()}
    report.values("error after them", errors, "fraction")
    report.ratio("error, cached / fastai's", errors["ours, cached"], errors["fastai"])


def lightning_finder(learn):
    """Lightning's range test of the same frozen network on the same images, ready to be called."""
    import pytorch_lightning as pl
    from pytorch_lightning.tuner import Tuner
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lr = learn.model, 1e-3

        def training_step(self, batch, number):
            xb, yb = batch
            return torch.nn.functional.cross_entropy(self.model(xb.float() / 255), yb)

        def configure_optimizers(self):
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], self.lr)

    loader = torch.utils.data.DataLoader(learn.dls.train.dataset, BATCH, shuffle=True,
                                         num_workers=2, drop_last=True)

    def find() -> None:
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False,
                             enable_progress_bar=False, enable_model_summary=False,
                             default_root_dir=tempfile.mkdtemp())
        Tuner(trainer).lr_find(Module(), train_dataloaders=loader, num_training=NUM_IT,
                               early_stop_threshold=None)
    return find


def find(report: Report) -> None:
    """The range test on cached activations, on images, in fastai and in Lightning."""
    learn, fastai = ours(), theirs()
    cached = learn.precompute()
    times = taking_turns({
        "ours, cached": quietly(lambda: cached.lr_find(num_it=NUM_IT)),
        "ours, not cached": quietly(lambda: learn.lr_find(num_it=NUM_IT)),
        "fastai": quietly(lambda: fastai.lr_find(num_it=NUM_IT, show_plot=False), fastai),
        "Lightning": quietly(lightning_finder(ours())),
    }, ROUNDS, warm_up=0)
    report.values(f"lr_find, {NUM_IT} batches, frozen body", times)
    report.ratio("lr_find on cached activations / fastai's", times["ours, cached"], times["fastai"],
                 at_most=0.01)
    report.ratio("lr_find on cached activations / Lightning's", times["ours, cached"],
                 times["Lightning"])
    report.ratio("lr_find on images / fastai's", times["ours, not cached"], times["fastai"])


def passes(report: Report) -> None:
    """A pass of a linear head over cached features, against scikit-learn's logistic regression."""
    from sklearn.linear_model import LogisticRegression
    n_passes = 2 if QUICK else 20
    linear = network(DEFAULT_ARCH, pretrained=True, hidden=None)
    learn = our_learner(our_loaders(), linear, frozen=True).precompute()
    x = learn.dls.train.activations.flatten(1).numpy()
    y = learn.dls.train.dataset.targets

    def regression(solver: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged: all passes were wanted
            LogisticRegression(max_iter=n_passes, tol=0, solver=solver).fit(x, y)

    times = taking_turns({
        "ours, epochs of AdamW": quietly(lambda: learn.fit(n_passes, RATE)),
        "scikit-learn, lbfgs": lambda: regression("lbfgs"),
        "scikit-learn, saga": lambda: regression("saga"),
    }, 5)
    each = {side: [1e3 * s / n_passes for s in seconds] for side, seconds in times.items()}
    report.values("a pass of a linear head over cached features", each, "ms")
    for solver in ("lbfgs", "saga"):
        report.ratio(f"head epoch / iteration of logistic regression ({solver})",
                     each["ours, epochs of AdamW"], each[f"scikit-learn, {solver}"])


def main() -> None:
    report = Report("frozen", __doc__)
    train(report)
    find(report)
    passes(report)
    report.write()


if __name__ == "__main__":
    main()
