"""The model of a config, tried on a few rows."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nettrain.config.build import build_activation
from nettrain.config.schema import Config
from nettrain.data.encoding import Encoder
from nettrain.errors import ConfigError, first_line
from nettrain.inputs import Inputs, described, is_vector, one_of
from nettrain.optimizers.parameter_groups import freeze
from nettrain.parts.heads import Head
from nettrain.parts.models import NO_EMBEDDING, Module, RowModule
from nettrain.registry import values_of
from nettrain.samples import example
from nettrain.targets import misfit
from nettrain.vector import trainable
from nettrain.wording import joined, listed


def build_model(config: Config, encoder: Encoder, head: Head, module: nn.Module | None = None) -> nn.Module:
    """The model for these features and this head, or a copy of `module`; a foreign one is tried on a few rows."""
    inputs, outputs = encoder.inputs, head.outputs(len(encoder.classes))
    model: nn.Module
    ids = any(input.vocabularies for input in (inputs.values() if isinstance(inputs, dict) else [inputs]))
    if ids and isinstance(config.model, Module):
        raise ConfigError(f"model=module: x holds categories to be embedded, which it has no place for{NO_EMBEDDING}.")
    try:
        if module is not None:
            model = copy.deepcopy(module)
        else:
            sizes = one_of(inputs).size if is_vector(inputs) and not ids else inputs
            model = config.model.build(sizes, outputs, build_activation(config.activation))
    except (MemoryError, RuntimeError) as error:
        if "alloc" not in str(error):
            raise
        sentence = f"model={config.model.name}: its parameters do not fit into memory; choose a smaller network."
        raise ConfigError(sentence) from error
    _refuse_hooks(module or model, config)
    model.to(config.dtype)
    freeze(model, config.groups)
    if not trainable(model):
        raise ConfigError(_nothing_to_train(model, config))
    if not isinstance(model, RowModule):
        _try(model, inputs, outputs, config)
    return model


def _refuse_hooks(model: nn.Module, config: Config) -> None:
    """Raise `ConfigError` for a parameter with a backward hook: it would not see the flat vector's gradient."""
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise ConfigError(
                f"model._target_={config.model._target_}: its parameter {name} has a backward hook, which would not be "
                "called, since all parameters are one vector; leave it out (requires_grad_(False) freezes a parameter)."
            )


def _nothing_to_train(model: nn.Module, config: Config) -> str:
    names = [name for name, _ in model.named_parameters()]
    patterns = [pattern for pattern, changes in (config.groups or {}).items() if changes.get("freeze")]
    if names and patterns:
        return (
            f"groups: {joined(patterns)} {'freezes' if len(patterns) == 1 else 'freeze'} all parameters of the model "
            f"({listed(names, 6)}), so that none is left to train; freeze some of them."
        )
    frozen = ", all of which are frozen (requires_grad)" if names else ""
    return f"model._target_={config.model._target_}: the module has no parameters to train{frozen}."


def _try(model: nn.Module, inputs: Inputs, outputs: int, config: Config) -> None:
    target, too_small = config.model._target_, list[str]()
    model.eval()
    try:
        with torch.no_grad(), _watched_embeddings(model, too_small):
            z = model(example(inputs, 2, config.dtype))
    except Exception as error:
        node = {key: value for key, value in values_of(config.model).items() if key != "name"}
        node["_partial_"] = True  # what is missing was filled in
        if sentence := misfit("model", node, error):
            raise ConfigError(sentence) from error
        rows = f"{one_of(inputs).size} features" if is_vector(inputs) else described(inputs)
        why = first_line(error)
        if isinstance(error, KeyError) and isinstance(inputs, dict) and error.args[:1] and error.args[0] not in inputs:
            why = f"x has no {why}; it is a dictionary with the keys {joined([repr(name) for name in inputs])}"
        elif isinstance(error, IndexError) and too_small:
            why = too_small[0]
        raise ConfigError(f"model._target_={target}: it fails on a batch of 2 rows with {rows}: {why}.") from error
    fits = [(2, outputs)] if outputs > 1 else [(2, 1), (2,)]
    if not isinstance(z, Tensor) or z.shape not in fits:
        result = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ConfigError(
            f"model._target_={target}: for a batch of 2 rows it returned {result}, but the head needs the shape (2, "
            f"{outputs})."
        )


@contextmanager
def _watched_embeddings(model: nn.Module, too_small: list[str]) -> Iterator[None]:
    """Within it the embeddings of a model note for which ids they are too small."""

    def look(name: str, layer: Any, arguments: tuple[Any, ...]) -> None:
        ids = arguments[0] if arguments else None
        if isinstance(ids, Tensor) and ids.numel() and int(ids.max()) >= layer.num_embeddings:
            too_small.append(
                f"its layer {name or type(layer).__name__} has num_embeddings={layer.num_embeddings}, for the ids 0 to "
                f"{layer.num_embeddings - 1}, and is given the id {int(ids.max())}"
            )

    embeddings = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    handles = [layer.register_forward_pre_hook(partial(look, name)) for name, layer in embeddings]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
