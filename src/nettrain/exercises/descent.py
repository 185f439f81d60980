"""Exercises on losses and the ways down: from the parabola to adaptive steps."""

import math

import numpy as np

from nettrain.data import load
from nettrain.data.shipped import Line, Quadratic
from nettrain.exercises import rules
from nettrain.exercises.answers import Exercise, choice, numbers
from nettrain.exercises.gradients import backward, last_bias_gradient
from nettrain.exercises.programs import written


def _least_squares() -> list[float]:
    data = load(Quadratic(data_seed=5), 0)
    rows = data.splits["train"]
    return np.polyfit(data.x[rows, 0], data.y[rows], 2).tolist()


def _largest_rate() -> float:
    data = load(Line(val_fraction=0, test_fraction=0.5), 0)
    x = data.x[data.splits["train"], 0]
    hessian = 2 * np.array([[np.mean(x * x), x.mean()], [x.mean(), 1]])
    return float(2 / np.linalg.eigvalsh(hessian)[-1])


EXERCISES: dict[str, Exercise] = {
    "parabola_1": numbers(
        "w1 w2 w3",
        lambda: np.linalg.solve([[1, -1, 1], [0, 0, 1], [4, 2, 1]], [4, 1, 1]).tolist(),
        1e-9,
        "Each point gives an equation; begin with the one at x = 0.",
        "Three points and three weights: there is exactly one such parabola. With more points there is none in "
        "general, and least squares takes the nearest.",
    ),
    "parabola_2": numbers(
        "w1 w2 w3",
        _least_squares,
        6e-3,
        "The run ends with a table; take what it found, and give three digits.",
        "These are the weights of least squares for these points; the true ones are the same as before.",
    ),
    "parabola_3": choice(
        "b",
        a="The weights have stopped moving long before: look at the picture of the weights.",
        b="With noise the best parabola for these 64 points is another one than the one they were made with. The more "
        "points there are, the nearer it is.",
        c="They come within 0.005 of least squares with this very learning rate.",
    ),
    "gradient_descent_1": numbers(
        "w",
        lambda: [(1 - 0.1 * 6) ** 2],
        1e-6,
        "What is the derivative of 3 w^2? Make one update, then the second from where you are.",
        "Each update multiplies w by 1 - 0.1 * 6 = 0.4.",
        [
            (lambda: 1 - 0.1 * 6, "That is after one update; there are two."),
            (lambda: 1 - 2 * 0.1 * 6, "The gradient of the second update is that at the new w, not at the first one."),
        ],
    ),
    "gradient_descent_2": numbers(
        "lr",
        lambda: [_largest_rate()],
        0.025,
        "Try values around 2 / lambda_max, such as 0.38 and 0.44, and look whether the loss of the last epochs falls.",
        "It is 2 / lambda_max of the training samples of this seed.",
    ),
    "gradient_descent_3": choice(
        "c",
        a="The learning rate is the same in all updates of this page.",
        b="The noise is in the loss itself: gradient descent goes to the least loss of these points, noise and all.",
        c="Each direction has its own factor, 1 - eta lambda: small for the steep one, near 1 for the flat one.",
    ),
    "backpropagation_1": numbers(
        "dv dw",
        lambda: [2 * 0.5 * 0.5, 2 * 0.5 * 3 * 0.25 * 2],
        1e-6,
        "sigma(0) is 1/2 and sigma'(0) is 1/4; z is 1.5, and the derivative of the loss by z is 2 (z - y).",
        "The derivative by w takes a factor for each thing between w and the loss: 2 (z - y), v, sigma', x.",
    ),
    "backpropagation_2": numbers(
        "c2",
        last_bias_gradient,
        2e-3,
        "An update is w - eta g, so g is (before - after) / eta, with eta = 0.5. c2 is the last of the seven weights.",
        "It is also the sum of the two numbers of Delta_2.",
    ),
    "backpropagation_3": backward,
    "backpropagation_4": choice(
        "b",
        a="Which derivatives are large plays no part in the order.",
        b="From the back a vector times a matrix at each layer does; from the front it would be matrix times "
        "matrix, for each weight of its own. The result would be the same.",
        c="They do: everything behind a layer is a factor of its derivative.",
    ),
    "counting_updates_1": numbers(
        "per_epoch in_all",
        lambda: [math.ceil(1000 / 30), 5 * math.ceil(1000 / 30)],
        0,
        "30 does not divide 1,000: what becomes of the samples that are left over?",
        "33 batches of 30, and one with the last 10.",
    ),
    "counting_updates_2": numbers(
        "bs",
        lambda: [max(b for b in range(1, 65) if 4 * math.ceil(64 / b) == 20)],
        0,
        "How many updates must an epoch have? Which batch sizes give as many, once the last batch may be smaller?",
        "Four batches of this size and a smaller one.",
        [
            (lambda: 13, "That makes 20 updates, too, but a larger one does as well."),
            (lambda: 14, "That makes 20 updates, too, but a larger one does as well."),
        ],
    ),
    "counting_updates_3": choice(
        "b",
        a="The updates are as many, but a gradient over one sample is not one over eight.",
        b="It costs eight times as many gradients of samples, and has less noise for it.",
        c="Each of its epochs sees all samples, and it has 80 of them.",
    ),
    "batch_size_1": numbers(
        "variance",
        lambda: [1 / 16],
        1e-3,
        "The variance of a mean of b independent numbers is that of one of them, divided by b.",
        "The standard deviation is a quarter: four times less noise for sixteen times the price.",
        [(lambda: 0.25, "That is the standard deviation.")],
    ),
    "batch_size_2": numbers(
        "lr",
        lambda: [0.01],
        1e-3,
        "The size of the cloud around the minimum grows with the learning rate, and 60 epochs are 3,840 updates.",
        "It has enough updates to arrive, and wanders least.",
    ),
    "batch_size_3": choice(
        "a",
        a="Each sample pulls towards its own best weights, also where the pulls cancel on average.",
        b="It has the most of the three: 64 in each epoch.",
        c="On average it is the gradient of the loss, exactly.",
    ),
    "learning_rate_decay_1": numbers(
        "lr",
        lambda: [0.3 * 0.5 ** math.floor(25 / 10)],
        1e-3,
        "How many whole times have s = 10 epochs passed?",
        "It was halved after 10 and after 20 epochs.",
        [(lambda: 0.3 * 0.5**2.5, "The exponent is rounded down: this schedule has stairs.")],
    ),
    "learning_rate_decay_2": numbers(
        "decay",
        lambda: [(4 - 1) / 90],
        0.01,
        "Solve 1 / (1 + 90 k) = 1/4 for k.",
        "With this k the rate is a half after 30 epochs, a third after 60, a quarter after 90.",
    ),
    "learning_rate_decay_3": choice(
        "b",
        a="The smaller the rate, the less noise comes through.",
        b="Large steps bring it near, small ones let it come to rest.",
        c="A small rate does not diverge.",
    ),
    "momentum_1": numbers(
        "step",
        lambda: [0.1 / (1 - 0.8)],
        1e-3,
        "b grows until what it loses, (1 - mu) b, is what is added.",
        "b goes to 1 / (1 - mu) = 5.",
        [(lambda: 1 / (1 - 0.8), "That is b; the step is eta b.")],
    ),
    "momentum_2": numbers(
        "lr",
        lambda: [0.02 / (1 - 0.9)],
        1e-3,
        "Its memory is (1 - beta) times ours, so that its learning rate has to be larger.",
        "A learning rate means nothing without the form it is used in.",
        [(lambda: 0.02 * (1 - 0.9), "The other way round: the average is smaller than the sum.")],
    ),
    "momentum_3": numbers(
        "mu",
        lambda: [(1 - math.sqrt(0.1 * 0.1)) ** 2],
        2e-3,
        "Put eta lambda into the formula of the page.",
        "Then the error shrinks by the root of this, 0.9, per update, and by 0.99 without momentum.",
        [(lambda: 1 - math.sqrt(0.1 * 0.1), "The bracket is squared.")],
    ),
    "momentum_4": choice(
        "c",
        a="They are the longest of all: 100 times eta g in the long run.",
        b="It does not: its loss falls in the long run, however slowly.",
        c="The error shrinks by the root of mu per update, and the root of 0.99 is 0.995.",
    ),
    "adaptive_1": numbers(
        "step",
        lambda: [0.01 / math.sqrt(1 - 0.99)],
        1e-3,
        "v begins at 0, so that after one update it is (1 - alpha) g^2. What is its root?",
        "Ten times eta, whatever the gradient is.",
        [(lambda: 0.01, "That is AdaGrad's first step; RMSProp's v has only a hundredth of g^2 yet.")],
    ),
    "adaptive_2": written(rules.ADAGRAD),
    "adaptive_3": written(rules.ADAM),
    "adaptive_4": numbers(
        "lr",
        lambda: [10],
        1e-3,
        "AdaGrad's steps become shorter and shorter: what does that mean for the rate it should begin with?",
        "Its steps shrink like one over the root of the number of updates, so it can begin with large ones.",
    ),
    "adaptive_5": choice(
        "b",
        a="They are not: the page leaves the measures in their own units.",
        b="g / sqrt(g^2) is the sign of g; with Adam's correction both averages are g and g^2 at first.",
        c="No rule of this page knows a curvature.",
    ),
}
