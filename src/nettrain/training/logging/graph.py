"""The graph of a model for TensorBoard: its parameters, its operations, and which feeds which."""

import torch
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import fx, nn


def model_graph(model: nn.Module) -> bytes:
    """A serialised GraphDef, as an event holds it.

    A module whose forward pass torch.fx cannot follow (it decides by the values of tensors, say) is shown as its
    submodules, without the edges between them.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # anything that a forward pass of somebody's module may do with a proxy
        leaves = {name: module for name, module in model.named_modules() if name and not any(module.children())}
        nodes = [NodeDef(name=_scoped(name), op=type(module).__name__) for name, module in leaves.items()]
    else:
        nodes = _nodes(graph, dict(model.named_parameters()))
    return GraphDef(node=nodes, versions=VersionDef(producer=22)).SerializeToString()


def _nodes(graph: fx.Graph, parameters: dict[str, nn.Parameter]) -> list[NodeDef]:
    names: dict[fx.Node, str] = {}
    nodes = []
    for node in graph.nodes:
        parameter_nodes = [n for n in node.all_input_nodes if n.op == "get_attr"]
        if node.op == "get_attr":  # a box for each layer, which keeps the order of layers and activations visible
            name = "/".join(str(node.target).rsplit(".", 1))
        elif node.op == "call_module":
            name = _scoped(str(node.target))
        elif parameter_nodes:  # an operation lies where its parameters do
            name = f"{names[parameter_nodes[0]].rpartition('/')[0]}/{node.name}".lstrip("/")
        else:
            name = node.name
        names[node] = name if name not in names.values() else f"{name}_{node.name}"
        made = NodeDef(name=names[node], op=_operation(node), input=[names[n] for n in node.all_input_nodes])
        if str(node.target) in parameters:
            made.attr["_output_shapes"].CopyFrom(_shape(parameters[str(node.target)].shape))
        nodes.append(made)
    return nodes


def _operation(node: fx.Node) -> str:
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    if node.op == "call_module" and node.graph.owning_module is not None:
        return type(node.graph.owning_module.get_submodule(str(node.target))).__name__
    return {"placeholder": "Input", "get_attr": "Parameter", "output": "Output"}.get(node.op, str(node.target))


def _shape(size: torch.Size) -> AttrValue:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in size])
    return AttrValue(list=AttrValue.ListValue(shape=[shape]))


def _scoped(name: str) -> str:
    return name.replace(".", "/")
