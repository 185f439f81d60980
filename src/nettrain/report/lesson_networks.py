"""What happens inside of the networks of some settings: activations, and gradients on their way back."""

from collections.abc import Sequence

import numpy as np
import torch

from nettrain.errors import ConfigError
from nettrain.figures.layer_numbers import LayerNumbers
from nettrain.parts.activations import gain, slope_gain
from nettrain.report.pictures import Picture
from nettrain.report.setting import Setting, most, over_seeds
from nettrain.report.starts import first_gradients, training_batch
from nettrain.results.run_folder import RunFolder


def layer_gradients(settings: Sequence[Setting]) -> list[Picture]:
    """The norm of each layer's gradient before the first update, measured and predicted."""
    measured, predicted = {}, {}
    for setting in settings:
        norms = np.array([list(first_gradients(run).values()) for run in setting.runs])
        if norms.shape[1] < 3:
            raise ConfigError("it is for networks of three layers or more.")
        if not norms.all():  # a logarithmic axis has no 0
            continue
        measured[setting.label] = norms
        factor = _backward_factor(setting.first)
        last = np.median(norms[:, -2])
        if last > 0 and factor is not None:
            predicted[setting.label] = last * factor ** np.arange(norms.shape[1] - 2, -1, -1)
    if not measured:
        raise ConfigError("all gradients are 0.")
    caption = f"the norm of the gradient of each layer's weights before the first update: {over_seeds(most(settings))}"
    caption += "; dashed: what the activation and the scale of the weights predict, from the last hidden layer back"
    title = "Each layer's gradient before the first update"
    return [Picture("layer_gradients", caption, "by_layer", (measured, predicted, "norm of the gradient", title))]


def _backward_factor(run: RunFolder) -> float | None:
    """By how much a hidden layer multiplies the gradient on its way back, while the signals keep their scale."""
    scale = run.config.model.get("init_scale", 1.0)
    activation = run.activation
    return gain(activation) * slope_gain(activation) if scale == 1 else None


def activations(settings: Sequence[Setting]) -> list[Picture]:
    """The activations of the settings, and their derivatives."""
    x = torch.linspace(-4, 4, 801, dtype=torch.float64, requires_grad=True)
    values, slopes = {}, {}
    for setting in settings:
        f = setting.first.activation
        values[setting.label] = f(x).detach().numpy()
        slopes[setting.label] = torch.autograd.grad(f(x).sum(), x)[0].numpy()
    at = x.detach().numpy()
    return [
        Picture("activations", "the activations", "overlaid", (at, values, "x", "f(x)", "Activations")),
        Picture("activation_slopes", "their derivatives", "overlaid", (at, slopes, "x", "f'(x)", "Their derivatives")),
    ]


def backpropagation(settings: Sequence[Setting]) -> list[Picture]:
    """The numbers of a small network before its first update."""
    run = settings[0].first
    x, y = training_batch(run, 2)
    rows = len(run.data.splits["train"])
    if rows > 2 or not isinstance(x, torch.Tensor) or len(run.first_weights) > 20:
        raise ConfigError("it is for networks of at most 20 weights, with two training samples.")
    w, objective = run.first_weights, run.objective
    _, g = objective.gradient(w, x, y)
    parameters, gradients = objective.layout.views(w), objective.layout.views(g)
    activation, outputs = run.activation, [x]
    pre = []
    for name in _layer_names(parameters):
        a = outputs[-1] @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]
        pre.append(a)
        outputs.append(activation(a))
    z = pre[-1].clone().requires_grad_()
    (delta,) = torch.autograd.grad(run.head.loss(z, y).mean(), z)
    layers, deltas = [], [delta]
    for depth in range(len(pre) - 1, 0, -1):
        a = pre[depth - 1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(activation(a).sum(), a)
        deltas.insert(0, deltas[0] @ parameters[f"{_layer_names(parameters)[depth]}.weight"] * slope)
    for depth, name in enumerate(_layer_names(parameters)):
        output = pre[depth] if depth == len(pre) - 1 else outputs[depth + 1]
        tensors = (
            parameters[f"{name}.weight"],
            parameters[f"{name}.bias"],
            output.T,
            gradients[f"{name}.weight"],
            gradients[f"{name}.bias"],
            deltas[depth].T,
        )
        layers.append(LayerNumbers(*(t.detach().double().numpy() for t in tensors)))
    caption = "the network before its first update: numbers forward, and the derivatives of the loss backward"
    return [Picture("backpropagation", caption, "network", (x.T.numpy(), layers, "The first update, by hand"))]


def _layer_names(parameters: dict[str, torch.Tensor]) -> list[str]:
    return [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
