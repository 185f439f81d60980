"""Models: ordinary modules, whose parameters may be one flat vector, or K of them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.parts import activations
from nettrain.parts.models import MLP, DenseNetwork, Entry, Linear, Module, Polynomial
from nettrain.random import Noise
from nettrain.vector import Layout, flatten

ROWS: dict[str, Any] = {
    "linear": Linear().build(4, 3, activations.tanh),
    "mlp": MLP(hidden=[6, 5], dropout=0.3).build(4, 3, activations.relu),
    "polynomial": Polynomial(degree=3).build(1, 2, activations.identity),
}
each_row_module = pytest.mark.parametrize("name", ROWS)


def inputs(module: nn.Module, *rows: int) -> Tensor:
    features = 1 if module is ROWS["polynomial"] else 4
    return torch.randn(*rows, 9, features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_mlp_is_the_sequential_of_its_layers() -> None:
    network = MLP(hidden=[6, 5]).build(4, 3, activations.tanh)
    reference = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    for mine, its in zip(reference.parameters(), network.parameters(), strict=True):
        mine.data = torch.randn_like(its)
        its.data = mine.data.clone()
    x = torch.randn(7, 4)
    assert torch.equal(network(x), reference(x))


def test_linear_is_one_affine_map_whatever_the_activation() -> None:
    network = Linear().build(4, 3, activations.relu)
    layer = nn.Linear(4, 3)
    layer.load_state_dict({key.removeprefix("layers.0."): value for key, value in network.state_dict().items()})
    x = torch.randn(7, 4)
    assert torch.equal(network(x), layer(x))


@each_row_module
@pytest.mark.parametrize("shared", [True, False], ids=["one batch for all", "a batch for each"])
def test_rows_are_single_runs(name: str, shared: bool) -> None:
    module = ROWS[name].double()
    layout = Layout.of(module)
    w = torch.randn(3, layout.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = inputs(ROWS[name]) if shared else inputs(ROWS[name], 3)
    keys = torch.tensor([11, 12, 13])
    for noise in (None, Noise(keys.view(3, 1, 1), 0.3)):
        stacked = module.logits(layout.views(w), x, noise)
        assert stacked.shape[0] == 3
        for k in range(3):
            alone = None if noise is None else Noise(int(keys[k]), 0.3)
            single = module.logits(layout.views(w[k]), x if shared else x[k], alone)
            torch.testing.assert_close(stacked[k], single, rtol=1e-13, atol=1e-13)


@each_row_module
def test_gradients_of_rows_are_those_of_single_runs(name: str) -> None:
    module = ROWS[name].double()
    layout, x = Layout.of(module), inputs(ROWS[name])
    w = torch.randn(3, layout.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def gradient(w: Tensor) -> Tensor:
        w = w.clone().requires_grad_()
        return torch.autograd.grad(module.logits(layout.views(w), x).square().sum(), w)[0]

    torch.testing.assert_close(gradient(w), torch.stack([gradient(row) for row in w]), rtol=1e-12, atol=1e-12)


def test_noise_drops_hidden_units_but_neither_inputs_nor_outputs() -> None:
    network = DenseNetwork([50, 3], activations.identity, Entry(4))
    parameters = {
        "layers.0.weight": torch.ones(50, 4),
        "layers.0.bias": torch.zeros(50),
        "layers.1.weight": torch.ones(3, 50),
        "layers.1.bias": torch.zeros(3),
    }
    z = network.logits(parameters, torch.ones(20, 4), Noise(5, 0.5))
    units = z / 8  # each kept hidden unit adds 4 / (1 - rate) to every output
    torch.testing.assert_close(units, units.round())
    assert (z == z[:, :1]).all()
    assert units[:, 0].unique().numel() > 3
    assert torch.equal(network.logits(parameters, torch.ones(2, 4)), torch.full((2, 3), 200.0))


def test_each_hidden_layer_has_a_mask_of_its_own() -> None:
    network = DenseNetwork([100, 100, 100], activations.identity, Entry(100))
    parameters = {key: torch.eye(100) if p.dim() == 2 else torch.zeros(100) for key, p in network.named_parameters()}
    passed = network.logits(parameters, torch.ones(100, 100), Noise(5, 0.5)) > 0
    assert passed.double().mean().item() == pytest.approx(0.25, abs=0.02)  # both masks; 0.5 if they were the same


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_polynomial_is_numpys(degree: int) -> None:
    model = Polynomial(degree=degree).build(1, 1, activations.identity).double()
    w = flatten(model)
    assert w.shape == (degree + 1,)
    x = torch.linspace(-2, 2, 20, dtype=torch.float64)
    np.testing.assert_allclose(model(x[:, None]).detach()[:, 0], np.polyval(w.numpy(), x.numpy()), rtol=1e-12)


def test_polynomial_of_several_inputs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model=polynomial.*3 features"):
        Polynomial().build(3, 1, activations.identity)


@pytest.mark.parametrize("name", ["identity", "step", "sigmoid", "relu", "leaky_relu", "tanh", "gelu", "silu", "elu"])
def test_initialisation_keeps_the_size_of_signals_through_ten_layers(name: str) -> None:
    torch.manual_seed(0)
    activation = getattr(activations, name)
    network = MLP(hidden=[400] * 10).build(30, 400, activation)
    x, sizes = torch.randn(200, 30), []
    for depth, layer in enumerate(network.layers):  # type: ignore[arg-type]
        x = layer(x if depth == 0 else activation(x))
        sizes.append(x.square().mean().item())
    assert sizes[0] == pytest.approx(1, abs=0.2)
    assert all(0.5 < size < 2 for size in sizes[:-1])
    assert sizes[-1] == pytest.approx(0.01, rel=1)  # the last layer starts at a tenth


def test_biases_start_at_zero_and_weights_depend_on_the_seed() -> None:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return MLP().build(4, 3, activations.relu)

    first = build(0)
    assert all(not p.any() for key, p in first.named_parameters() if key.endswith("bias"))
    assert torch.equal(flatten(first), flatten(build(0)))
    assert not torch.equal(flatten(first), flatten(build(1)))


def test_parameters_of_an_mlp() -> None:
    assert Layout.of(MLP(hidden=[10, 20]).build(4, 3, activations.relu)).size == (4 * 10 + 10) + (10 * 20 + 20) + 63
    assert Layout.of(MLP(hidden=[]).build(4, 3, activations.relu)).size == 15


def test_module_is_given_the_sizes_that_its_constructor_asks_for() -> None:
    module = Module(_target_="torch.nn.Linear").build(4, 3, activations.relu)
    assert isinstance(module, nn.Linear)
    assert (module.in_features, module.out_features) == (4, 3)


def test_module_passes_the_other_keys_on_and_they_come_first() -> None:
    config = Module(_target_="torch.nn.Linear")
    config.bias, config.in_features = False, 9  # type: ignore[attr-defined]  # as Hydra gives further keys
    module = config.build(4, 3, activations.relu)
    assert isinstance(module, nn.Linear)
    assert (module.in_features, module.out_features, module.bias) == (9, 3, None)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("torch.nn.Liner", "Liner"),
        ("no_such_package.Net", "no_such_package"),
        ("torch.nn.Conv2d", "in_channels"),
        ("fractions.Fraction", "no torch.nn.Module"),
        ("nonsense", "nonsense"),
        ("???", r"\?\?\?"),
    ],
)
def test_a_module_that_cannot_be_built_is_a_mistake_in_the_config(target: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Module(_target_=target).build(4, 3, activations.relu)
    assert str(caught.value).startswith(f"model._target_={target}: ")
    assert "\n" not in str(caught.value)
