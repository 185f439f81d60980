"""Networks beyond the MLP: their layers are torch's, and K runs at once are K runs one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Input
from nettrain.objective import Objective
from nettrain.parts import activations
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import CNN, GRU, LSTM, ResMLP, RowModule, Transformer, functional
from nettrain.random import Noise
from nettrain.vector import Layout, constants, flatten

IMAGE, ROWS_OF_PIXELS, WORDS = Input((2, 6, 6)), Input((5, 3)), Input((5,), "ids", 7)
BOTH = {"features": Input((4,)), "words": WORDS, "colour": Input((), "ids", 3)}
NETWORKS = {
    "lenet": (CNN(channels=[4, 6], hidden=[5], dropout=0.3), IMAGE),
    "one channel": (CNN(channels=[4], hidden=[]), Input((6, 6))),
    "resnet": (CNN(channels=[4, 6], blocks=2, norm="batch", flatten=False, hidden=[]), IMAGE),
    "resnet without norms": (CNN(channels=[4, 6], blocks=1), IMAGE),
    "group": (CNN(channels=[4, 8], norm="group", groups=2), IMAGE),
    "layer": (CNN(channels=[4, 6], norm="layer", pool=1), IMAGE),
    "gru": (GRU(hidden=4, layers=2, bidirectional=True, dropout=0.3), ROWS_OF_PIXELS),
    "lstm": (LSTM(hidden=4, layers=2, bidirectional=True, dropout=0.3), ROWS_OF_PIXELS),
    "gru of ids": (GRU(hidden=4, embedding=3), WORDS),
    "transformer": (Transformer(width=8, heads=2, dropout=0.3), ROWS_OF_PIXELS),
    "transformer of ids": (Transformer(width=8, heads=2, pooling="cls", positions="sinusoidal"), WORDS),
    "transformer of 2017": (Transformer(width=8, heads=4, norm_first=False, pooling="cls"), WORDS),
    "resmlp": (ResMLP(width=6, hidden=8, dropout=0.3), Input((4,))),
    "resmlp of a dictionary": (ResMLP(width=6, hidden=8, embedding=2, norm="batch"), BOTH),
    "resmlp without norms": (ResMLP(width=6, hidden=8, norm="none"), IMAGE),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(name: str) -> RowModule:
    config, inputs = NETWORKS[name]
    torch.manual_seed(0)
    return config.build(inputs, 3, activations.tanh).double()


def samples(inputs, *rows: int):
    if isinstance(inputs, dict):
        return {name: samples(input, *rows) for name, input in inputs.items()}
    shape = *rows, 5, *inputs.shape
    if inputs.kind == "ids":
        return torch.randint(inputs.vocabulary, shape, generator=generator(1))
    return torch.randn(shape, generator=generator(2), dtype=torch.float64)


def row(x, k: int):
    return {name: value[k] for name, value in x.items()} if isinstance(x, dict) else x[k]


def objective(model: nn.Module, inputs, rows: int | None = None) -> Objective:
    buffers = constants(model)
    if rows:
        buffers = {
            name: torch.stack([t + 0.1 * k if t.is_floating_point() else t for k in range(rows)])
            for name, t in buffers.items()
        }
    return Objective(model, SoftmaxCE(), inputs=inputs, buffers={name: t.clone() for name, t in buffers.items()})


@each_network
@pytest.mark.parametrize("shared", [True, False], ids=["one batch for all", "a batch for each"])
def test_rows_are_single_runs_in_value_gradient_and_statistics(name: str, shared: bool) -> None:
    model, inputs = built(name), NETWORKS[name][1]
    w = flatten(model) + 0.3 * torch.randn(3, Layout.of(model).size, dtype=torch.float64, generator=generator(3))
    x, y = samples(inputs) if shared else samples(inputs, 3), torch.tensor([0, 1, 2, 0, 1])
    together, keys, rate = objective(model, inputs, 3), torch.tensor([11, 12, 13]), torch.tensor([0.3, 0.0, 0.6])
    noise = Noise(keys.view(3, 1, 1), rate.double().view(3, 1, 1))
    before = {key: value.clone() for key, value in together.buffers.items()}
    z, g = together.gradient(w, x, y, noise)
    evaluated = together.logits(w, x)
    for k in range(3):
        alone = objective(model, inputs)
        alone.buffers = {key: value[k].clone() for key, value in before.items()}
        of_row = x if shared else row(x, k)
        z_alone, g_alone = alone.gradient(w[k], of_row, y, Noise(int(keys[k]), float(rate[k].double())))
        torch.testing.assert_close(z[k], z_alone, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(g[k], g_alone, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(evaluated[k], alone.logits(w[k], of_row), rtol=1e-11, atol=1e-12)
        for key, value in alone.buffers.items():
            torch.testing.assert_close(together.buffers[key][k], value, rtol=1e-11, atol=1e-12)
            assert key.split(".")[-1] not in ("running_mean", "num_batches_tracked") or not torch.equal(
                value, before[key][k]
            )


@each_network
def test_the_gradient_is_that_of_the_value(name: str) -> None:
    """By differences, of the loss with the noise of training."""
    model, inputs = built(name), NETWORKS[name][1]
    of, w, noise = objective(model, inputs), flatten(model), Noise(5, 0.3)
    x, y = samples(inputs), torch.tensor([0, 1, 2, 0, 1])
    g = of.gradient(w, x, y, noise)[1].clone()
    for seed in range(3):
        direction = torch.randn(len(w), dtype=torch.float64, generator=generator(seed))
        ends = [float(of.value(w + s * direction, x, y, noise)) for s in (1e-6, -1e-6)]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(g @ direction), rel=1e-5, abs=1e-7)


@each_network
def test_the_hessian_exists(name: str) -> None:
    model, inputs = built(name), NETWORKS[name][1]
    of, x, y = objective(model, inputs), samples(inputs), torch.tensor([0, 1, 2, 0, 1])
    w = flatten(model).requires_grad_()
    (g,) = torch.autograd.grad(of.value(w, x, y), w, create_graph=True)
    (product,) = torch.autograd.grad(g.square().sum() / 2, w)
    step = 1e-5 * g.detach()
    ends = [of.gradient(w.detach() + s * step, x, y)[1].clone() for s in (1, -1)]
    torch.testing.assert_close((ends[0] - ends[1]) / 2e-5, product, rtol=1e-5, atol=1e-7)


@each_network
def test_layers_are_named_as_their_parameters_and_the_module_evaluates(name: str) -> None:
    model, inputs = built(name), NETWORKS[name][1]
    model.train()
    x = samples(inputs)
    outputs = dict(model.layer_outputs({**dict(model.named_parameters()), **dict(model.named_buffers())}, x))
    assert list(outputs)[-1] == "linear"
    assert all(
        any(key.startswith(f"{layer}") or layer.startswith("recurrent") for key in model.state_dict())
        for layer in outputs
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(model(x), outputs["linear"])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Reference(nn.Module):
    """LeNet as everybody writes it."""

    def __init__(self, norm, f=torch.tanh) -> None:
        super().__init__()
        self.f = f
        norms = {
            "none": lambda n: nn.Identity(),
            "batch": nn.BatchNorm2d,
            "group": lambda n: nn.GroupNorm(2, n),
            "layer": lambda n: nn.GroupNorm(1, n),
        }
        self.conv1, self.norm1 = nn.Conv2d(2, 4, 3, padding=1, bias=norm == "none"), norms[norm](4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, padding=1, bias=norm == "none"), norms[norm](6)
        self.hidden, self.linear = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.f(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(self.f(self.norm2(self.conv2(x))), 2)
        return self.linear(self.f(self.hidden(x.flatten(1))))


def same_as_torch(ours: RowModule, reference: nn.Module, x: Tensor) -> None:
    """z, gradient and buffers of a module of torch's with the same weights, in training and then in evaluation."""
    reference.double()
    mine, its = ours.state_dict(), reference.state_dict()
    assert [tuple(value.shape) for value in mine.values()] == [tuple(value.shape) for value in its.values()]
    reference.load_state_dict(dict(zip(its, (value.clone() for value in mine.values()), strict=True)))
    inputs = Input(tuple(x.shape[1:]), "numbers" if x.is_floating_point() else "ids", 7)
    of, y = objective(ours, inputs), torch.arange(len(x)) % 3
    z, g = of.gradient(flatten(ours), x, y, Noise(0, 0.0))
    expected = reference.train()(x)
    F.cross_entropy(expected, y).backward()
    torch.testing.assert_close(z, expected.detach(), rtol=1e-11, atol=1e-12)
    gradient = torch.cat([p.grad.flatten() for p in reference.parameters()])
    torch.testing.assert_close(g, gradient, rtol=1e-10, atol=1e-12)
    for mine_, its_ in zip(of.buffers.values(), reference.buffers(), strict=True):
        torch.testing.assert_close(mine_, its_, rtol=1e-12, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(of.logits(flatten(ours), x), reference.eval()(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "batch", "group", "layer"])
def test_a_lenet_is_torch_s(norm: str) -> None:
    ours = CNN(channels=[4, 6], hidden=[5], norm=norm, groups=2).build(IMAGE, 3, activations.tanh).double()
    same_as_torch(ours, Reference(norm), samples(IMAGE))


def test_relu_behind_pooling_is_relu_before_it_also_where_numbers_are_equal() -> None:
    ours = CNN(channels=[4, 6], hidden=[5]).build(IMAGE, 3, activations.Activation("relu")).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_((2 * parameter).round() / 2)
    same_as_torch(ours, Reference("none", F.relu), samples(IMAGE).round())


class Recurrent(nn.Module):
    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.recurrent, self.linear = recurrent, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.recurrent(x)
        last = last[0] if isinstance(last, tuple) else last
        return self.linear(last[-2:].movedim(0, 1).flatten(1) if self.recurrent.bidirectional else last[-1])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("part", "layer"), [(GRU, nn.GRU), (LSTM, nn.LSTM)])
def test_recurrent_networks_are_torch_s(part, layer, bidirectional: bool) -> None:
    ours = part(hidden=4, layers=2, bidirectional=bidirectional).build(ROWS_OF_PIXELS, 3, activations.tanh).double()
    reference = Recurrent(layer(3, 4, 2, batch_first=True, bidirectional=bidirectional), 8 if bidirectional else 4)
    same_as_torch(ours, reference, samples(ROWS_OF_PIXELS))


class Encoder(nn.Module):
    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(5, 8))
        self.embedding = nn.Embedding(7, 8)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, torch.tanh, batch_first=True, norm_first=norm_first)
            for _ in range(2)
        )
        if norm_first:
            self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) + self.positions
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x) if hasattr(self, "norm") else x
        return self.linear(x.mean(1))


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_is_torch_s(norm_first: bool) -> None:
    config = Transformer(width=8, heads=2, norm_first=norm_first)
    same_as_torch(config.build(WORDS, 3, activations.tanh).double(), Encoder(norm_first), samples(WORDS))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_norms_of_vectors_are_torch_s(norm) -> None:
    x = torch.randn(5, 4, dtype=torch.float64, generator=generator(0))
    layer = norm(4).double()
    with torch.no_grad():
        layer.weight.normal_(generator=generator(1))
        layer.bias.normal_(generator=generator(2))
    if norm is nn.LayerNorm:
        torch.testing.assert_close(functional.layer_norm(x, layer.weight, layer.bias), layer(x))
        return
    running = torch.zeros(4).double(), torch.ones(4).double(), torch.tensor(0)
    for training in (True, True, False):
        ours = functional.batch_norm_vectors(x, layer.weight, layer.bias, running, training)
        torch.testing.assert_close(ours, layer.train(training)(x))
    torch.testing.assert_close(running, (layer.running_mean, layer.running_var, layer.num_batches_tracked))


def test_dropout_is_between_layers_and_before_the_last_in_training_alone() -> None:
    for name in ("lenet", "gru", "lstm", "transformer", "resmlp"):
        model, inputs = built(name), NETWORKS[name][1]
        of, w, x = objective(model, inputs), flatten(model), samples(inputs)
        drawn = {float(of.logits(w, x, Noise(key, 0.5)).sum()) for key in range(5)}
        assert len(drawn) == 5, name
        assert torch.equal(of.logits(w, x, Noise(1, 0.0)), of.logits(w, x)), name


def test_a_large_network_starts_with_signals_of_size_one() -> None:
    for config, inputs in [
        (CNN(channels=[64, 64, 64], pool=1), Input((3, 8, 8))),
        (CNN(channels=[32, 32, 32], blocks=3, kernel=3), Input((3, 8, 8))),
        (ResMLP(width=256, hidden=256, blocks=8), Input((50,))),
    ]:
        torch.manual_seed(0)
        model = config.build(inputs, 10, activations.relu)
        x = torch.randn(100, *inputs.shape)
        sizes = {
            name: float(z.detach().square().mean().sqrt())
            for name, z in model.layer_outputs(dict(model.named_parameters()), x)
        }
        assert all(0.3 < size < 3.5 for name, size in sizes.items() if name != "linear"), sizes
        assert sizes["linear"] < 0.5


MISTAKES = {
    "kernel": (CNN(channels=[4, 4, 4], kernel=5), Input((1, 8, 8)), r"model\.kernel=5: stages\.1 .* 4 x 4 x 4"),
    "pool": (CNN(channels=[4], pool=9), Input((1, 8, 8)), r"model\.pool=9: stages\.0 .* 4 x 8 x 8"),
    "stem": (CNN(channels=[4], kernel=9, blocks=1), Input((1, 8, 8)), r"model\.kernel=9: stem.* 1 x 8 x 8"),
    "stride": (CNN(channels=[4] * 4, blocks=1), Input((1, 8, 8)), r"model\.kernel=3: stages\.3 .* 4 x 2 x 2"),
    "groups": (CNN(channels=[8, 6], norm="group"), Input((1, 8, 8)), r"model\.groups=4: .* 6 channels of stages\.1"),
    "no stages": (CNN(channels=[]), Input((1, 8, 8)), r"model\.channels=\[\]"),
    "features": (CNN(), 4, "model=cnn: it takes images.*4 features"),
    "a sequence": (CNN(), Input((8,), "ids", 3), "model=cnn: it takes images.*8 ids below 3"),
    "ids in a picture": (CNN(), Input((1, 8, 8), "ids", 3), "model=cnn: it takes images.*ids"),
    "two tensors": (CNN(), BOTH, "model=cnn: it takes images.*several tensors"),
    "nothing to read": (GRU(), Input((0,), "ids", 3), "model=gru: it takes sequences.*empty"),
    "no sequence": (LSTM(), 4, "model=lstm: it takes sequences.*4 features"),
    "an image": (Transformer(), Input((1, 8, 8), "bytes"), "model=transformer: it takes sequences.*1 x 8 x 8 bytes"),
    "heads": (Transformer(width=64, heads=5), WORDS, r"model\.heads=5: .*model\.width=64"),
    "no width": (Transformer(width=4, heads=2, mlp_ratio=0.1), WORDS, r"model\.mlp_ratio=0\.1"),
    "categories": (ResMLP(), Input((4,), vocabularies=(5, 3)), "model=resmlp: .*categories to be embedded"),
    "nothing": (ResMLP(), Input((0,)), "model=resmlp: .*empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_is_one_sentence_with_the_layer_and_the_shapes(mistake: str) -> None:
    config, inputs, said = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=said) as caught:
        config.build(inputs, 3, activations.tanh)
    assert "\n" not in str(caught.value)


def test_images_in_any_layout_become_vectors():
    x = torch.randn(3, 4, 2, 5).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(functional.vectors(x, 2), x.contiguous().unflatten(1, (2, 2)).flatten(2).transpose(0, 1))
