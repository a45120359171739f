"""Where Keras keeps the arrays of its layers.

    block1_conv1/block1_conv1_W_1:0                             Keras 1
    block1_conv1/block1_conv1/kernel:0                          Keras 2; kernel without :0 since Keras 3
    vgg16/block1_conv1/kernel:0                                 of a model inside a model
    model_weights/block1_conv1/block1_conv1/kernel:0            a whole model, model.save("x.h5")
    layers/conv2d_3/vars/0                                      Keras 3, model.save_weights("x.weights.h5") and .keras
    layers/functional/layers/conv2d_3/vars/0                    of a model inside a model

In Keras 3's layout a layer has the name of its class with the count of that class in its model, and the group's attribute
`name`, since Keras 3.5, its own.  Arrays of the optimiser and the state of random numbers are left out.
"""
import re

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.refusals import quoted

WHOLE = "model_weights/"
FIELD = r"(?P<field>W|b|kernel|bias|gamma|beta|moving_mean|moving_variance)(?:_\d+)?(?::0)?"
LEGACY = re.compile(rf"(?:.*/)?(?P<layer>[^/]+)/(?:(?P=layer)_)?{FIELD}")
OF_A_LAYER = re.compile(rf"(?:[^/]*/)*(?:[^/]*_)?{FIELD}")
KERAS_3 = re.compile(r"(?:.*/)?(?P<layer>[^/]+)/vars/(?P<number>\d)")
FIELDS = {"W": "kernel", "b": "bias", "0": "kernel", "1": "bias"}
OPTIMISER = ("optimizer", "optimizer_weights")
RANDOM_STATE = "seed_generator"
OLDER_CONTAINER = "_layer_checkpoint_dependencies/"     # of Keras 2.12, "layers/" since
BY_CLASS = re.compile(r"(?P<kind>conv2d|dense)(?:_(?P<number>\d{1,6}))?")
BATCH_NORM = re.compile(r"(?:.*/)?(?:batch_normalization[^/]*/vars/\d|[^/]*moving_(?:mean|variance)[^/]*)")
BY_BLOCK = re.compile(r"block\d_conv\d/kernel")


class Arrays:
    """The arrays of an HDF5 file by the layers that they belong to."""

    def __init__(self, arrays, attributes):
        self.other = [path for path in arrays if path.partition("/")[0] in OPTIMISER or RANDOM_STATE in path.split("/")]
        self.attributes = {group.replace(OLDER_CONTAINER, "layers/"): texts for group, texts in attributes.items()}
        self.arrays = {}
        for path in (path for path in arrays if path not in self.other):
            place = path.replace(OLDER_CONTAINER, "layers/").removeprefix(WHOLE)
            if place in self.arrays:
                raise BadFileError(f"it has {quoted([place])} twice, once as the weights of a whole model; save it again")
            self.arrays[place] = arrays[path]
        self.used = set()
        self.is_by_class = any(KERAS_3.fullmatch(path) for path in self.arrays)

    def of(self, node, fields):
        """{field: array} of a layer, whose arrays are those `fields` in this order.  BadFileError where one is missing."""
        paths = self.numbered(node, fields) if self.is_by_class else self.named(node)
        missing = [field for field in fields if field not in paths]
        if missing:
            raise BadFileError(f"it lacks the {missing[0]} of its layer {quoted([node.name])}; save the model again")
        self.used |= {paths[field] for field in fields}
        return {field: self.arrays[paths[field]] for field in fields}

    def numbered(self, node, fields):
        """{field: path} in Keras 3's layout."""
        group = f"{node.location}/vars"
        name = self.attributes.get(group, {}).get("name", node.name)
        if name != node.name:
            raise BadFileError(f"it keeps the weights of {quoted([name])} where those of {quoted([node.name])} belong; save "
                               "the model again")
        return {field: f"{group}/{number}" for number, field in enumerate(fields) if f"{group}/{number}" in self.arrays}

    def named(self, node):
        """{field: path} in the layouts before Keras 3's, where a group is a layer of the outermost model."""
        outermost, *inner = node.names
        paths = {}
        for path in self.arrays:
            match = OF_A_LAYER.fullmatch(path)
            if not match or not path.startswith(f"{outermost}/") or inner and path.split("/")[-2] != inner[-1]:
                continue
            field = FIELDS.get(match["field"], match["field"])
            if field in paths:
                raise BadFileError(f"it has two arrays {quoted([paths[field], path])} for its layer {quoted([node.name])}; "
                                   "give the layers of the inner models different names and save it again")
            paths[field] = path
        return paths

    def unused(self):
        """{path: array} of what no layer has asked for."""
        return {path: array for path, array in self.arrays.items() if path not in self.used}

    def by_name(self, remarks):
        """{"block1_conv1/kernel": array, …} of a file without a configuration; what was taken for granted goes to `remarks`."""
        tensors = {}
        for path, array in self.arrays.items():
            key = self.key_of(path)
            if key in tensors:
                raise BadFileError(f"it has {quoted([key])} twice, in models inside one another; give the whole model, a "
                                   ".keras or an .h5 that model.save wrote")
            tensors[key] = array
        norms = [path for path in self.arrays if BATCH_NORM.fullmatch(path)]
        if norms:
            raise UnsupportedError(f"it has batch norm ({quoted(norms[:1])}), whose place and ε weights alone do not show; "
                                   "give the whole model, a .keras or an .h5 that model.save wrote")
        return renumbered(tensors, remarks)

    def key_of(self, path):
        """The path of an array → "block1_conv1/kernel"; what is named otherwise keeps its path."""
        modern = KERAS_3.fullmatch(path)
        if modern:
            group = path.rpartition("/")[0]
            name = self.attributes.get(group, {}).get("name", modern["layer"])
            return f"{name}/{FIELDS.get(modern['number'], modern['number'])}"
        legacy = LEGACY.fullmatch(path)
        return f"{legacy['layer']}/{FIELDS.get(legacy['field'], legacy['field'])}" if legacy else path


def renumbered(tensors, remarks):
    """Layers that a session has numbered, conv2d_13 … and dense_3 …, counted from the first; behind convolutions with the names
    of Keras applications, dense layers are fc1, fc2, … and predictions."""
    has_blocks, names = any(BY_BLOCK.fullmatch(key) for key in tensors), {}
    for kind in ("conv2d", "dense"):
        layers = {key.partition("/")[0] for key in tensors}
        matches = [match for match in map(BY_CLASS.fullmatch, layers) if match and match["kind"] == kind]
        found = sorted(int(match["number"] or 0) for match in matches)
        theirs = [numbered(kind, number) for number in found]
        ours = [numbered(kind, number) for number in range(len(found))]
        if kind == "dense" and has_blocks:
            ours = [f"fc{number + 1}" for number in range(len(found))][:-1] + ["predictions"] * bool(found)
        if theirs != ours:
            names |= dict(zip(theirs, ours, strict=True))
            remarks.append(f"its layers {theirs[0]} … {theirs[-1]} were taken in the order of their numbers")
    if set(names.values()) - names.keys() & {key.partition("/")[0] for key in tensors}:
        raise BadFileError(f"its layers have names of two kinds ({quoted(sorted(names))}); give the whole model, a .keras or "
                           "an .h5 that model.save wrote")
    return {f"{names.get(layer, layer)}{slash}{field}": array
            for (layer, slash, field), array in ((key.partition("/"), array) for key, array in tensors.items())}


def numbered(kind, number):
    """("dense", 0) → "dense", ("dense", 3) → "dense_3"."""
    return f"{kind}_{number}" if number else kind
