"""A Keras model's configuration → its layers in the order of the data.

    {"class_name": "Sequential", "config": {"layers": [layer, …]}}
    {"class_name": "Functional", "config": {"layers": [layer, …], "input_layers": …, "output_layers": …}}
    layer    {"class_name": "Conv2D", "config": {"name": …, "filters": 64, …}, "inbound_nodes": …}

A model may be a layer of another.  In a functional one the way is followed from its output back to its one input; a VGG has no
branches, so each layer has one source.
"""
import re
from collections import Counter
from dataclasses import dataclass

from npvgg.errors import NpvggError, UnsupportedError
from npvgg.storage import strict_json
from weights_convert.refusals import damaged, printable, quoted

SEQUENTIAL, FUNCTIONAL = ("Sequential",), ("Functional", "Model")
MOST_LAYERS = 1000


@dataclass
class Node:
    """A layer: its class, its names from the outermost model in, where Keras 3 keeps its arrays, and its options."""

    kind: str
    names: tuple
    location: str                         # "layers/functional/layers/conv2d_3"
    options: dict

    @property
    def name(self):
        """Its own."""
        return self.names[-1]

    @property
    def shown(self):
        """For a message."""
        return f"{quoted([self.name])} ({printable(self.kind, 60)})"


def nodes(text):
    """The text of a configuration → [Node, …].  BadFileError, UnsupportedError for what is not one row of layers."""
    try:
        model = strict_json.read(text)
    except ValueError as error:
        raise damaged(f"its configuration cannot be read ({printable(str(error))})") from None
    try:
        found = walked(model, (), "")
    except NpvggError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError):
        raise damaged("its configuration is not one that Keras writes") from None
    if len(found) > MOST_LAYERS:
        raise UnsupportedError(f"it has {len(found):,} layers; no VGG does")
    return found


def walked(model, names, location):
    """A model, its names and its location → [Node, …]."""
    kind, config = model["class_name"], model["config"]
    if kind not in SEQUENTIAL + FUNCTIONAL:
        raise UnsupportedError(f"its model is a {quoted([str(kind)])}, whose layers are code and not in the file; give a "
                               "Sequential or functional model")
    layers = config["layers"] if isinstance(config, dict) else config
    counts, found = Counter(), {}
    for layer in layers:
        own = snake_case(layer["class_name"])
        place = f"{own}_{counts[own]}" if counts[own] else own
        counts[own] += 1
        found[name_of(layer)] = layer, f"{location}/layers/{place}".lstrip("/")
    if len(found) != len(layers):
        raise damaged("two of its layers have the same name")
    order = list(found) if kind in SEQUENTIAL else way(config, {name: layer for name, (layer, _) in found.items()})
    steps = []
    for name in order:
        layer, place = found[name]
        if layer["class_name"] in SEQUENTIAL + FUNCTIONAL:
            steps += walked(layer, (*names, name), place)
        else:
            steps.append(Node(layer["class_name"], (*names, name), place, dict(layer["config"])))
    return steps


def name_of(layer):
    """A layer's own name; in a functional model it may stand beside the options as well.  TypeError where it is no text."""
    name = layer["config"]["name"] if "name" in layer["config"] else layer["name"]
    if not isinstance(name, str):
        raise TypeError
    return name


def way(config, layers):
    """The names of the layers from a functional model's input to its output."""
    (start, _), (name, at) = one_end(config["input_layers"], "input"), one_end(config["output_layers"], "output")
    order = [name]
    while name != start:
        name, at = source(name, layers[name], at)
        if name in order:
            raise damaged("its layers run in a circle")
        order.append(name)
    return order[::-1]


def one_end(ends, which):
    """["x", 0, 0], [["x", 0, 0]] or {"a": ["x", 0, 0]} → ("x", 0)."""
    ends = list(ends.values()) if isinstance(ends, dict) else [ends] if isinstance(ends[0], str) else ends
    if len(ends) != 1:
        raise UnsupportedError(f"it has {len(ends)} {which}s; give the network with one")
    return ends[0][0], ends[0][1]


def source(name, layer, at):
    """A layer and the number of its call → (the layer whose output it takes, which of that one's calls).

    UnsupportedError where it takes several.
    """
    inbound = layer["inbound_nodes"][at]
    if isinstance(inbound, dict):                       # Keras 3
        tensors, options = inbound["args"], inbound.get("kwargs") or {}
        tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list) else tensors
        calls = [tensor["config"].get("keras_history", (None,)) if isinstance(tensor, dict) else (None,) for tensor in tensors]
    else:
        calls, options = inbound, {key: value for call in inbound for key, value in (call[3] if len(call) > 3 else {}).items()}
    if len(calls) != 1 or calls[0][0] is None:
        raise UnsupportedError(f"its layer {quoted([name])} joins {len(calls)} branches or numbers; a VGG has none")
    if isinstance(inbound, dict) and layer["class_name"].startswith("Random") and options.get("training") is True:
        options = options | {"training": None}          # Keras 3 writes its default down, which predict() overrides
    wrong = sorted(key for key, value in options.items() if value not in (None, False) or key not in ("training", "mask"))
    if wrong:
        raise UnsupportedError(f"its layer {quoted([name])} is called with {quoted(wrong)}; no VGG's is")
    return calls[0][0], calls[0][1]


def snake_case(kind):
    """"MaxPooling2D" → "max_pooling2d", as Keras names what it saves."""
    kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
