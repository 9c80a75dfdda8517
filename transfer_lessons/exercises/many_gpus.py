"""Questions of lesson 18: many GPUs, one training."""
from __future__ import annotations

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question

EXERCISES: list[Exercise | Decision] = []

QUESTIONS = [
    Question("Two processes train on half of each batch, and average the gradients. The network has "
             "BatchNorm. Is it the training of one process?", [
        Choice("Yes: the gradient of a mean is the mean of the gradients.",
               "It is, if both halves go through the same function. In training BatchNorm uses the "
               "mean and variance of the images it sees, and half a batch has others."),
        Choice("No: half a batch has other means and variances.",
               "So the ranks have to exchange those as well. Then, up to rounding, it is the same "
               "training.", right=True),
        Choice("No: averaging loses half of the gradient.",
               "Averaging loses nothing: each half is a mean over its images, and the mean of both is "
               "that of all."),
    ]),
    Question("With twice the batch for twice the GPUs, your program trains 1.9 times as many images "
             "per second. Does a training take half the time, and come out the same?", [
        Choice("Yes, nearly: the efficiency is 95 %.",
               "An epoch takes half the time, and has half as many steps. At the same learning rate "
               "those steps get less far: it is another training."),
        Choice("An epoch does, but with half the steps it is another training.",
               "Raise the learning rate, warm it up, and look at the validation error: only the time "
               "to an error counts.", right=True),
        Choice("No: the exchange takes up what is gained.",
               "At 1.9 times the exchange takes up little. The trouble is not speed."),
    ]),
    Question("One GPU with its 16 cores spends its time decoding photographs. The disk is at a tenth "
             "of what it can do. What do 32 such GPUs bring?", [
        Choice("32 times the speed: each brings cores of its own.",
               "Until the disk decides. There is one for all of them, and it can feed about ten."),
        Choice("Nothing: the exchange of gradients grows with the number of GPUs.",
               "What each GPU sends hardly grows: at most twice the gradients, however many take "
               "part."),
        Choice("About ten times the speed: then the disk decides.",
               "The slowest part sets the pace, and the disk does not grow with the GPUs. Store the "
               "photographs smaller, or cache features, and it goes on.", right=True),
    ]),
]
