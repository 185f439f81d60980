"""What members predict together: heads against mixtures of torch's distributions."""

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily

from nettrain.parts import heads
from nettrain.parts.heads.base import equal_shares

K, N = 5, 40


def logits(outputs, scale=2.0):
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(K, N, outputs, generator=generator, dtype=torch.float64)


def mixture(head, z, shares):
    """The mixture of the members' distributions, with the members as its last dimension."""
    family = head.distribution(z.movedim(0, -2))
    return MixtureSameFamily(Categorical(probs=shares.expand(z.shape[:-1]).movedim(0, -1)), family)


def some_shares():
    """Each sample is one of another number of members."""
    taken = torch.rand(K, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) > 0.5
    taken[0] |= ~taken.any(0)
    return taken.double() / taken.sum(0)


def loss(target, **arguments):
    return heads.Loss.of(target(**arguments))


CLASSES = {
    "softmax_ce": (heads.SoftmaxCE(), 3, 3),
    "sigmoid_bce": (heads.SigmoidBCE(), 2, 1),
    "ordinal": (heads.Ordinal(), 4, 3),
    "cross-entropy": (loss(torch.nn.CrossEntropyLoss).for_target(3), 3, 3),
    "binary cross-entropy": (loss(torch.nn.BCEWithLogitsLoss).for_target(2), 2, 1),
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("shares", [None, some_shares()], ids=["all", "some"])
def test_probabilities_are_the_mean_of_those_of_the_members(name, shares):
    head, classes, outputs = CLASSES[name]
    z = logits(outputs)
    shares = equal_shares(z) if shares is None else shares
    labels = torch.arange(classes).view(-1, 1).expand(-1, N)
    expected = torch.stack([mixture(head, z, shares).log_prob(label.double()).exp() for label in labels], -1)
    torch.testing.assert_close(head.mean(head.combined(z, shares)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", [heads.IdentityMSE(), heads.Normal(), heads.Poisson()], ids=lambda head: head.name)
@pytest.mark.parametrize("shares", [None, some_shares()], ids=["all", "some"])
def test_numbers_have_the_mean_of_the_mixture_and_its_spread_where_the_family_has_one(head, shares):
    z = logits(head.outputs(0), 1.0)
    shares = equal_shares(z) if shares is None else shares
    expected, together = mixture(head, z, shares), head.distribution(head.combined(z, shares))
    torch.testing.assert_close(together.mean, expected.mean)
    if isinstance(head, heads.Normal):
        torch.testing.assert_close(together.variance, expected.variance)


def test_quantiles_are_the_means_of_the_members_quantiles():
    head, z, shares = heads.Quantile(levels=[0.1, 0.5, 0.9]), logits(3), some_shares()
    expected = (head.quantiles(z) * shares.unsqueeze(-1)).sum(0)
    torch.testing.assert_close(head.quantiles(head.combined(z, shares)), expected)


@pytest.mark.parametrize("name", CLASSES)
def test_large_logits_stay_finite_and_a_member_that_does_not_count_may_have_any(name):
    head, _, outputs = CLASSES[name]
    z = logits(outputs, 1e4).float()
    assert head.combined(z, equal_shares(z)).isfinite().all()
    z[1], shares = torch.nan, torch.tensor([0.5, 0, 0.5, 0, 0]).unsqueeze(-1)
    torch.testing.assert_close(head.combined(z, shares), head.combined(z[::2], torch.tensor([[0.5], [0.5], [0.0]])))


def test_spread_is_the_deviation_of_the_number_or_of_the_probability_of_the_common_class():
    z = logits(1)
    torch.testing.assert_close(heads.IdentityMSE().spread(z), z.squeeze(-1).std(0))
    z, head = logits(3), heads.SoftmaxCE()
    p = z.softmax(-1)
    chosen = p.mean(0).argmax(-1)
    torch.testing.assert_close(head.spread(z), p[:, torch.arange(N), chosen].std(0))


def test_a_loss_whose_link_is_unknown_has_the_mean_of_the_scores():
    head, z = loss(torch.nn.MultiMarginLoss).for_target(3), logits(3)
    torch.testing.assert_close(head.combined(z, equal_shares(z)), z.mean(0))
