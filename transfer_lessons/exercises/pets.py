"""Questions of lesson 17: cats and dogs, and cells of the sun."""
from __future__ import annotations

from transfer_lessons.exercises.kit import Choice, Decision, Exercise, Question

EXERCISES: list[Exercise | Decision] = []

QUESTIONS = [
    Question("fastbook reports an error of 5.4 %, a learner who followed along measured 6.5 %, both "
             "on about 1,478 images. Did the learner do something wrong?", [
        Choice("Yes: 1.1 points are a fifth of the errors.",
               "They are about 16 images. The interval of an error of 6 % on so many images is two "
               "and a half points wide, and both figures fit into it."),
        Choice("No: the two figures are the same.",
               "That two intervals overlap does not say that the networks are equally good. It says "
               "that these figures cannot tell."),
        Choice("From these figures nobody can say.",
               "A difference of one point is within what other validation images would change. To "
               "know more, compare both networks image by image.", right=True),
    ]),
    Question("Two networks have the intervals 5.0 to 7.5 % and 6.2 to 8.9 %, on the same validation "
             "images. Is one of them better?", [
        Choice("It is a tie: the intervals overlap.",
               "Much of an interval's width is which images are in the set, and that is the same for "
               "both. So the comparison image by image can find what overlapping intervals hide."),
        Choice("Look at the images on which just one of them is right.",
               "That is the paired comparison. If the first is alone in being right on 30 images and "
               "the second on 10, that is more than luck, whatever the intervals.", right=True),
        Choice("The first: its interval lies lower.",
               "It lies lower here. Whether it would on other images is the question."),
    ]),
    Question("A network judges solar cells with an accuracy of 72 %. Is that good?", [
        Choice("Yes: it is right nearly three times out of four.",
               "Whoever always answers \"functional\" is right on about 69 % of them. First ask what "
               "knowing nothing would give."),
        Choice("Hardly: always answering \"functional\" gives about 69 %.",
               "An accuracy says something only beside that of a constant answer. And ask which "
               "mistakes are left: a broken cell that passes may cost more than a good one that goes.",
               right=True),
        Choice("No: published results are above 82 %.",
               "They are, on other splits and with other methods. But to see that 72 % is little you "
               "need no publication: a constant answer is nearly as good."),
    ]),
]
