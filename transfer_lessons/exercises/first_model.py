"""Questions of lesson 1, A working classifier in six lines. It has no exercises."""
from __future__ import annotations

from transfer_lessons.exercises.kit import Choice, Question

EXERCISES: list = []

QUESTIONS = [
    Question("From one epoch to the next the training loss falls and the validation loss rises. "
             "What do you see?", [
                 Choice("The network is still learning: the training loss falls.",
                        "It is learning its training images. The validation loss says that this "
                        "does not carry over to others."),
                 Choice("A first sign of overfitting.",
                        "It learns details that help nowhere else. Lesson 10 shows when to "
                        "worry about it.", right=True),
                 Choice("The validation set is too easy.",
                        "Then its loss would be low. It is rising."),
             ]),
    Question("One training ends with an error rate of 26 %, another with 23 %, both on the same "
             "163 validation images. Is the second one better?", [
                 Choice("Yes, by three points.",
                        "Three points are five images here. The 95 % interval of each error rate "
                        "spans more than ten points."),
                 Choice("That is not shown: it may well be noise.",
                        "With so few images, three or four points are within the noise.",
                        right=True),
                 Choice("No: a difference under ten points is never real.",
                        "With more images it may be. How sure you can be depends on their number."),
             ]),
    Question("You show the network a photo of your breakfast. It predicts a class with 97 % "
             "confidence. Is there a 97 % chance that it is right?", [
                 Choice("Yes, confidence is the probability of being right.",
                        "Only for a calibrated network, and only for images like those it was "
                        "trained on."),
                 Choice("No: it must name one of its classes, even where none fits.",
                        "It can be very confident about nonsense.", right=True),
                 Choice("No, the chance is 97 % of the validation accuracy.",
                        "The two do not multiply like that, and the validation set says nothing "
                        "about breakfasts."),
             ]),
]
