"""Exercises on networks: heads, activations, gradients through many layers, initial weights."""

import math

from nettrain.exercises.answers import Exercise, choice, numbers
from nettrain.parts.activations import gain, sigmoid, slope_gain, tanh

EXERCISES: dict[str, Exercise] = {
    "likelihood_1": numbers(
        "loss",
        lambda: [-math.log(0.8)],
        2e-3,
        "It is minus the natural logarithm of the probability of the true class.",
        "And e to the power of minus that is 0.8 again.",
        [
            (lambda: -math.log10(0.8), "The logarithm is the natural one."),
            (lambda: -math.log2(0.8), "The logarithm is the natural one."),
        ],
    ),
    "likelihood_2": numbers(
        "d1 d2 d3",
        lambda: [1 / 4 - 1, 1 / 4, 1 / 2],
        2e-3,
        "e to the power of z is (1, 1, 2): what are the probabilities? Then prediction minus target.",
        "They add up to 0: what is given to one class is taken from the others.",
    ),
    "likelihood_3": numbers(
        "probability",
        lambda: [0.748],  # seed 0, measured
        0.015,
        "Take test_loss of the run, and e to the power of minus it.",
        "Half of the flowers have a higher one than that, roughly.",
    ),
    "likelihood_4": choice(
        "b",
        a="It becomes 0 where the prediction is right with certainty, as the cross-entropy does.",
        b="The gradient of the cross-entropy is prediction minus target, as large as the error.",
        c="Both need the same.",
    ),
    "activations_1": numbers(
        "slope",
        lambda: [1 - 0.8**2],
        1e-3,
        "The derivative of tanh can be written with the value of tanh alone: see the table.",
        "Nothing has to be computed anew on the way back: the value of the way forward is enough.",
    ),
    "activations_2": numbers(
        "loss",
        lambda: [0.27],
        0.03,
        "Put alpha = 1 into the formula: which function is it?",
        "With alpha = 1 both pieces are x: the identity.",
    ),
    "activations_3": choice(
        "a",
        a="The last layer is a linear classifier on 0s and 1s that the layers before it make of x.",
        b="At 0 nettrain takes 0, too, and hardly any number is exactly 0.",
        c="It does nothing without them: the first layers stay as they were.",
    ),
    "vanishing_gradients_1": numbers(
        "layers",
        lambda: [math.ceil(math.log(1e-3) / math.log(gain(sigmoid) * slope_gain(sigmoid)))],
        0,
        "Which power of the factor per layer, 0.39, is below 0.001?",
        "Eight layers, and a thousandth is left.",
        [(lambda: 7, "Nearly: 0.39 to the power of 7 is still a little more than a thousandth.")],
    ),
    "vanishing_gradients_2": numbers(
        "factor",
        lambda: [slope_gain(sigmoid)],
        0.02,
        "The factor is kappa times the root in the table's third column; now kappa is 1.",
        "Without kappa half of it again is lost in each layer.",
    ),
    "vanishing_gradients_3": numbers(
        "layers",
        lambda: [2],
        0,
        "Let the program count: try one more and one less, and look at the training loss of the last epoch.",
        "From three on the training loss is hardly better than guessing.",
    ),
    "vanishing_gradients_4": choice(
        "b",
        a="They are small, but not 0.",
        b="There are rules that give each layer its own step length; here there is one for all.",
        c="The gradients are what they are; the rate only multiplies them.",
    ),
    "linear_network_1": numbers(
        "slope intercept",
        lambda: [3 * 2, 3 * 1 - 2],
        1e-6,
        "Put the first equation into the second.",
        "Two layers, one straight line.",
    ),
    "linear_network_2": numbers(
        "weights",
        lambda: [1 * 16 + 16 + 16 * 16 + 16 + 16 + 1],
        0,
        "Each layer has inputs times outputs weights, and a bias for each output.",
        "32 in the first layer, 272 in the second, 17 in the last.",
        [(lambda: 16 + 16 * 16 + 16, "Those are the matrices; each layer has biases, too.")],
    ),
    "linear_network_3": choice(
        "b",
        a="However many there are, their product is one matrix.",
        b="Its way of learning is another one, but not what it can express.",
        c="The losses of the table agree to ten digits.",
    ),
    "initialisation_1": numbers(
        "deviation",
        lambda: [gain(tanh) / math.sqrt(100)],
        5e-3,
        "It is kappa of tanh over the root of the number of inputs.",
        "About 0.16.",
        [(lambda: 1 / math.sqrt(100), "That keeps the scale of the identity; tanh has a kappa above 1.")],
    ),
    "initialisation_2": numbers(
        "deviation",
        lambda: [0.5**8],
        1e-2,
        "Each layer multiplies the standard deviation by the same number.",
        "After eight layers 0.4 % of the signal is left.",
    ),
    "initialisation_3": numbers(
        "loss",
        lambda: [math.log(10)],
        5e-3,
        "Which gradients are not 0 if all weights are?",
        "However long it trains, only the last bias learns: the shares of the classes.",
    ),
    "initialisation_4": choice(
        "a",
        a="What has to be broken is the likeness of the units of a layer, and the weights do that.",
        b="They have: the sum of Delta over the batch.",
        c="Without them each layer's map would go through the origin.",
    ),
}
