"""Training by hand: the batches and gradients of a run, an optimizer of torch's, and a loop."""

import torch
from beside import configured
from torch import nn

from nettrain.preparation.prepare import prepare
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.stack.stack import Stack
from nettrain.training.trainer import Trainer

CPU = torch.device("cpu")


def prepared(folder, *overrides):
    run = prepare(configured("quiet=true", "tensorboard=false", "precision=float64", *overrides), folder)
    folder.mkdir(parents=True)
    return run


def trained(folder, *overrides):
    """The parameters by name that a run alone ends with."""
    Trainer([prepared(folder, *overrides)], CPU).run()
    return last(folder)


def trained_together(folder, *common, rows):
    """The parameters that the rows of a stack end with."""
    runs = [prepared(folder / str(i), *common, *row.split()) for i, row in enumerate(rows)]
    Trainer(runs, CPU).run()
    return [last(run.folder) for run in runs]


def last(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pt")["model"]


def by_hand(folder, *overrides, make, scheduler=None, epochs=None):
    """The parameters that `make(named parameters)`, an optimizer of torch's, ends with on the batches of that run."""
    run = prepared(folder, *overrides)
    stack = Stack([run], CPU)
    w, views = stack.w, stack.objective.layout.views(torch.atleast_2d(stack.w)[0])
    named = {name: nn.Parameter(view.clone()) for name, view in views.items()}
    optimizer = make(named)
    schedule = scheduler(optimizer) if scheduler else None
    for epoch in range(epochs or run.config.epochs):
        for x, y in stack.batches.of_epoch(epoch):

            def closure(x=x, y=y):
                for name, view in views.items():
                    view.copy_(named[name].detach())
                z, g = stack.objective.gradient(w, x, y)
                gradients = stack.objective.layout.views(torch.atleast_2d(g)[0])
                for name, parameter in named.items():
                    parameter.grad = gradients[name].clone()
                return stack.objective.mean_loss(z, y).reshape(())

            if isinstance(optimizer, torch.optim.LBFGS):
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        if schedule:
            schedule.step()
    return {name: parameter.detach() for name, parameter in named.items()}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name, tensor in other.items():
        assert torch.equal(one[name], tensor), (name, float((one[name] - tensor).abs().max()))
