"""Exercises and questions of lesson 5, How far should each weight move?"""
from __future__ import annotations

import timm.optim
import torch
from torch import nn

from transfer_lessons.exercises.kit import Choice, Exercise, Question, Wrong


def will_explode(lr, curvatures):
    return any(abs(1 - lr * curvature) > 1 for curvature in curvatures)


def explodes_on_the_way(lr, curvatures):
    """Whether a direction is farther from the bottom after 200 steps: an independent oracle."""
    for curvature in curvatures:
        distance = 1.0
        for _ in range(200):
            distance -= lr * curvature * distance
        if abs(distance) > 1:
            return True
    return False


WILL_EXPLODE = Exercise(
    "will_explode", will_explode, idea="the steepest direction limits the learning rate",
    expected=explodes_on_the_way,
    cases={
        "the lesson's valley": lambda: (0.3, [0.19, 3.73]),
        "faster": lambda: (0.5, [0.19, 3.73]),
        "and a little faster": lambda: (0.55, [0.19, 3.73]),
        "one steep direction of three": lambda: (0.7, [1.0, 1.0, 4.0]),
        "a very steep direction": lambda: (0.5, [0.5, 9.0]),
        "three directions": lambda: (0.5, [1.0, 2.0, 3.0]),
        "exactly 2 / curvature": lambda: (0.5, [4.0, 1.0]),
        "a level direction": lambda: (0.5, [0.0, 1.0]),
        "a hilltop: curvature below 0": lambda: (0.5, [-0.5, 1.0]),
    },
    wrong=[
        Wrong("beyond 1 / curvature", lambda lr, curvatures: lr > 1 / max(curvatures),
              "At 1 / curvature a step lands on the floor. Beyond that it lands on the other side, "
              "but lower: that still converges. Growth begins at 2 / curvature."),
        Wrong("the flattest direction", lambda lr, curvatures: lr > 2 / min(curvatures),
              "You asked the flattest direction, which allows the most. The steepest one explodes "
              "first."),
        Wrong("the mean curvature",
              lambda lr, curvatures: lr * sum(curvatures) / len(curvatures) > 2,
              "One steep direction is enough, however level the others are. Ask every direction."),
        Wrong("the sum of the curvatures", lambda lr, curvatures: lr * sum(curvatures) > 2,
              "Directions do not add up: each is multiplied by its own `1 - lr * curvature`. Ask "
              "them one by one."),
        Wrong("at the limit too",
              lambda lr, curvatures: any(abs(1 - lr * c) >= 1 for c in curvatures),
              "A factor of exactly 1 or -1 neither grows nor shrinks: it stays, or jumps from wall "
              "to wall for ever. Explode means grow: >, not >=."),
        Wrong("no hilltops", lambda lr, curvatures: any(lr * c > 2 for c in curvatures),
              "With a curvature below 0 you stand on a hilltop: every step leads farther down, "
              "away from it. `1 - lr * curvature` is then above 1."),
        Wrong("all directions",
              lambda lr, curvatures: all(abs(1 - lr * c) > 1 for c in curvatures),
              "You ask for all directions to explode. One is enough to spoil the loss: any."),
        Wrong("no absolute value",
              lambda lr, curvatures: any(1 - lr * c > 1 for c in curvatures),
              "A factor of -1.05 grows too: from wall to wall, each time a little higher. Compare "
              "its absolute value with 1."),
    ],
    hints=["A step multiplies the distance in each direction by `1 - lr * curvature`. When does "
           "the distance grow?",
           "The factor may be negative: then the step lands on the other side. Take `abs(...)`.",
           "One direction that grows is enough: `any(...)`."],
    why="Each direction has its own factor, `1 - lr * curvature`. If the size of any of them is "
        "above 1, the distance in that direction grows with every step.")


def lion_step(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    exp_avg = state.get("exp_avg", torch.zeros_like(weights))
    direction = (betas[0] * exp_avg + (1 - betas[0]) * gradients).sign()
    state["exp_avg"] = betas[1] * exp_avg + (1 - betas[1]) * gradients
    return weights - lr * (direction + weight_decay * weights)


def lion_of_timm(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    if "opt" not in state:
        state["weights"] = nn.Parameter(weights.clone())
        state["opt"] = timm.optim.Lion([state["weights"]], lr=lr, betas=betas,
                                       weight_decay=weight_decay)
    state["weights"].grad = gradients.clone()
    state["opt"].step()
    return state["weights"].detach().clone()


def lion_average_first(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    exp_avg = state.get("exp_avg", torch.zeros_like(weights))
    state["exp_avg"] = betas[1] * exp_avg + (1 - betas[1]) * gradients
    direction = (betas[0] * state["exp_avg"] + (1 - betas[0]) * gradients).sign()
    return weights - lr * (direction + weight_decay * weights)


def lion_without_sign(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    exp_avg = state.get("exp_avg", torch.zeros_like(weights))
    direction = betas[0] * exp_avg + (1 - betas[0]) * gradients
    state["exp_avg"] = betas[1] * exp_avg + (1 - betas[1]) * gradients
    return weights - lr * (direction + weight_decay * weights)


def lion_one_average(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    exp_avg = state.get("exp_avg", torch.zeros_like(weights))
    state["exp_avg"] = betas[0] * exp_avg + (1 - betas[0]) * gradients
    return weights - lr * (state["exp_avg"].sign() + weight_decay * weights)


def lion_betas_exchanged(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    return lion_step(weights, gradients, state, lr, (betas[1], betas[0]), weight_decay)


def lion_forgetful(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    return lion_step(weights, gradients, {}, lr, betas, weight_decay)


def lion_decay_inside(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    return lion_step(weights, gradients + weight_decay * weights, state, lr, betas)


def lion_decay_without_lr(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    return lion_step(weights, gradients, state, lr, betas) - weight_decay * weights


def lion_uphill(weights, gradients, state, lr, betas=(0.9, 0.99), weight_decay=0.0):
    return lion_step(weights, -gradients, state, lr, betas, weight_decay)


def all_steps(step_func, weights, gradients, options):
    """The weights after every step [steps, weights], with a memory of their own."""
    state = {}
    path = []
    for step_gradients in gradients:
        weights = step_func(weights, step_gradients, state, **options)
        path.append(weights)
    return torch.stack(path)


def steps_and_gradients(n_steps, scale=1.0, **options):
    generator = torch.Generator().manual_seed(n_steps)
    weights = torch.randn(6, generator=generator, dtype=torch.float64)
    gradients = scale * torch.randn(n_steps, 6, generator=generator, dtype=torch.float64)
    return weights, gradients, {"lr": 0.1, **options}


LION_STEP = Exercise(
    "lion_step", lion_step, idea="an optimizer, from the formula in a paper",
    expected=lion_of_timm, observe=all_steps,
    cases={
        "one step": lambda: steps_and_gradients(1),
        "twelve steps": lambda: steps_and_gradients(12),
        "gradients a thousand times as large": lambda: steps_and_gradients(5, scale=1000.0),
        "other betas": lambda: steps_and_gradients(10, betas=(0.6, 0.8)),
        "weight decay": lambda: steps_and_gradients(8, weight_decay=0.1),
        "weight decay alone": lambda: steps_and_gradients(4, scale=0.0, weight_decay=0.5),
    },
    wrong=[
        Wrong("the average first", lion_average_first,
              "You updated the average before you used it, so the gradient counts twice. The paper "
              "takes the direction from the old average, and updates it afterwards."),
        Wrong("no sign", lion_without_sign,
              "Without the sign, weights with large gradients take large steps again. The sign "
              "makes every step as long as the learning rate."),
        Wrong("one average for both", lion_one_average,
              "You keep what you step along, and never use the second beta. The stored average "
              "changes by betas[1]; the direction mixes it with the gradient by betas[0]."),
        Wrong("betas exchanged", lion_betas_exchanged,
              "betas[0] belongs to the direction, betas[1] to the stored average: yours are "
              "exchanged."),
        Wrong("no memory", lion_forgetful,
              "The first step is right, then it follows the newest gradient alone. Store the "
              "average in state, so that the next step finds it."),
        Wrong("decay in the gradient", lion_decay_inside,
              "The decay went through the sign, which makes it as strong as any gradient, or "
              "nothing. Keep it outside, as AdamW does."),
        Wrong("decay without learning rate", lion_decay_without_lr,
              "The learning rate multiplies the decay too: `lr * weight_decay * weights`. "
              "Otherwise a schedule that ends near 0 would still pull the weights to 0."),
        Wrong("uphill", lion_uphill,
              "It steps along the gradient, and the loss rises. Subtract."),
    ],
    hints=["`state.get('exp_avg', torch.zeros_like(weights))` is the old average, 0 at the start.",
           "First the direction, from the old average and the gradient; then the new average.",
           "The step is `lr * (direction + weight_decay * weights)`."],
    why="The direction looks at the newest gradient a little more than the memory does, and its "
        "sign makes all steps equally long: like Adam's, without a second average.")


def names_without_decay(model):
    return [name for name, parameter in model.named_parameters() if parameter.ndim <= 1]


def names_by_timm(model):
    groups = timm.optim.param_groups_weight_decay(model, weight_decay=0.01)
    spared = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    return [name for name, parameter in model.named_parameters() if id(parameter) in spared]


def names_where(model, is_spared):
    return [name for name, parameter in model.named_parameters() if is_spared(name, parameter)]


def names_in_layers(model, kinds):
    return [f"{path}.{name}" for path, layer in model.named_modules() if isinstance(layer, kinds)
            for name, _ in layer.named_parameters(recurse=False)]


def names_of_norms_and_biases(model):
    in_norms = names_in_layers(model, nn.BatchNorm2d)
    return names_where(model, lambda name, p: name in in_norms or name.endswith("bias"))


def small_cnn():
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def transformer_parts():
    return nn.ModuleDict({"norm": nn.LayerNorm(6), "project": nn.Linear(6, 6),
                          "norm_out": nn.Linear(6, 2)})


def with_temperature():
    model = nn.Sequential(nn.Linear(4, 3))
    model.temperature = nn.Parameter(torch.ones(()))
    return model


NAMES_WITHOUT_DECAY = Exercise(
    "names_without_decay", names_without_decay, idea="which parameters should not decay",
    expected=names_by_timm,
    observe=lambda answer, model: sorted(answer(model)),
    cases={
        "convolution, BatchNorm, head": lambda: (small_cnn(),),
        "LayerNorm, and a matrix called norm_out": lambda: (transformer_parts(),),
        "a filter of one pixel": lambda: (nn.Sequential(nn.Conv2d(5, 1, 1)),),
        "a single number, a temperature": lambda: (with_temperature(),),
    },
    wrong=[
        Wrong("biases only", lambda model: names_where(model, lambda name, p: "bias" in name),
              "Biases are spared, but the weights of BatchNorm and LayerNorm still decay, and turn "
              "their features off. Ask for the number of dimensions, not for a name."),
        Wrong("BatchNorm and biases", names_of_norms_and_biases,
              "This knows BatchNorm2d, but not LayerNorm, nor a single number such as a "
              "temperature. The number of dimensions covers them all."),
        Wrong("norms only",
              lambda model: names_in_layers(model, (nn.BatchNorm2d, nn.LayerNorm)),
              "The norms are spared, but not the biases of the other layers. They only shift an "
              "output, so they should not decay either."),
        Wrong("by its name",
              lambda model: names_where(model, lambda name, p: "bias" in name or "norm" in name),
              "Names are chosen by people. In nn.Sequential a BatchNorm is called 1, and a matrix "
              "may be called `norm_out`. Ask for the number of dimensions."),
        Wrong("squeezed", lambda model: names_where(model, lambda name, p: p.squeeze().ndim <= 1),
              "A filter of one pixel is still a filter. Squeezing takes away its dimensions of "
              "size 1, and then it looks like a vector."),
        Wrong("exactly one dimension",
              lambda model: names_where(model, lambda name, p: p.ndim == 1),
              "A single number has no dimension at all, and should not decay either: at most one "
              "dimension."),
        Wrong("those that decay", lambda model: names_where(model, lambda name, p: p.ndim > 1),
              "These are the matrices and filters, the ones that should decay. The others are "
              "asked for."),
    ],
    hints=["`model.named_parameters()` gives pairs of name and parameter.",
           "The lesson's rule asks for the number of dimensions: parameter.ndim."],
    why="Biases, weights of norms and single numbers have at most one dimension, whatever they are "
        "called and whichever layer they are in.")

EXERCISES = [WILL_EXPLODE, LION_STEP, NAMES_WITHOUT_DECAY]

QUESTIONS = [
    Question("With a constant learning rate the loss fell fast. Now it has stopped falling, well "
             "above the best. What do you try?", [
                 Choice("A higher learning rate, to get out of the place where it is stuck.",
                        "It is not stuck, it is restless: each batch pulls another way. A higher "
                        "learning rate jitters more."),
                 Choice("A lower learning rate.",
                        "The jitter falls with the learning rate. Start high, end low.",
                        right=True),
                 Choice("More steps at the same learning rate.",
                        "The lesson gave it 800 steps: it stayed where it was."),
             ]),
    Question("SGD trains well at learning rate 0.2. You add momentum 0.9. Which learning rate "
             "makes its steps about as long as before?", [
                 Choice("0.2: momentum smooths, but adds no length.",
                        "That is Adam's momentum, which averages. SGD's velocity adds gradients "
                        "up."),
                 Choice("2: momentum brakes, so it needs more.",
                        "It is the other way round: steady gradients add up to ten times one."),
                 Choice("0.02", "A steady gradient counts 1 / (1 - 0.9) = 10 times.",
                        right=True),
             ]),
    Question("AdamW with betas[0] = 0.95, and a gradient that stays the same. How long is a "
             "step?", [
        Choice("As long as the learning rate.",
               "Adam averages gradients and divides by their size.", right=True),
        Choice("20 times the learning rate, 1 / (1 - 0.95).",
               "That is the sum of SGD's velocity. Adam's average of equal gradients is the "
               "gradient itself."),
        Choice("It depends on how large the gradient is.",
               "That is SGD. Adam divides by the size, so it cancels."),
    ]),
]
