"""A whole pickled network (torch.save(model)) → the state dict it would give, and what its attributes say.

A torch.nn.Module is pickled as its class's name and a dictionary of attributes.  Three of them lead to the tensors:

    _parameters {"weight": Tensor, …}    _buffers {"running_mean": Tensor, …}    _modules {"conv1_1": Module, …}

The class is a name to us.  So the attributes of PyTorch's own modules are compared with what a VGG's have, for a stride
or a dilation would change the answer without changing a tensor.  What the network's own `forward` does is not in the file.
"""
from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers.references import Inert
from weights_convert.formats.pytorch.tensors import Tensor
from weights_convert.refusals import quoted

DEEPEST = 16
MOST_MODULES = 2000

# What the modules of every VGG have, beside the ε of batch norm; a number stands for a pair of itself.
EXPECTED = {
    "torch.nn.modules.conv.Conv2d": {"stride": 1, "dilation": 1, "groups": 1, "transposed": False},
    "torch.nn.modules.pooling.MaxPool2d": {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False},
    "torch.nn.modules.batchnorm.BatchNorm1d": {"affine": True, "track_running_stats": True},
    "torch.nn.modules.batchnorm.BatchNorm2d": {"affine": True, "track_running_stats": True},
    "torch.nn.modules.normalization.LocalResponseNorm": {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2},
}
BATCH_NORMS = ("torch.nn.modules.batchnorm.BatchNorm1d", "torch.nn.modules.batchnorm.BatchNorm2d")
PADDING_MODES = ("zeros", "reflect")


def is_module(value):
    """Whether a stand-in was a torch.nn.Module."""
    return isinstance(value, Inert) and type(value.state) is dict and {"_parameters", "_modules"} <= value.state.keys()


def opened(module):
    """A module → ({"conv1_1.weight": Tensor, …}, {"padding_mode": "reflect", "has_lrn": True, "eps": 1e-5}).

    The second holds what the attributes say.  Raises UnsupportedError where a module computes what no VGG does, and
    BadFileError for modules without end.
    """
    tensors, padding_modes, epsilons, has_lrn, count = {}, set(), set(), False, 0
    waiting = [("", module, 0)]
    while waiting:
        prefix, current, depth = waiting.pop(0)
        count += 1
        if depth > DEEPEST or count > MOST_MODULES:
            raise BadFileError("its modules are in each other without end (give a state dict that torch.save wrote)")
        check(prefix, current)
        has_lrn |= current.name.endswith(".LocalResponseNorm")
        if current.name.endswith(".Conv2d") and kernel(current) > 1:
            padding_modes.add(current.state.get("padding_mode", "zeros"))
        if current.name in BATCH_NORMS:
            epsilons.add(epsilon(prefix, current))
        for group in ("_parameters", "_buffers"):
            own = members(current, group)
            tensors |= {f"{prefix}{name}": value for name, value in own.items() if isinstance(value, Tensor)}
        # In front, so that the keys come in the order in which state_dict() has them.
        waiting[:0] = [(f"{prefix}{name}.", inner, depth + 1) for name, inner in members(current, "_modules").items()
                       if is_module(inner)]
    if len(padding_modes) > 1:
        raise UnsupportedError("some of its convolutions reflect the border and some do not; npvgg has no such network")
    if len(epsilons) > 1:
        raise UnsupportedError(f"its batch norms have the ε {', '.join(map(str, sorted(epsilons)))}; npvgg reads one of all "
                               "from a whole network: save model.state_dict() and name them with --head and --eps")
    stated = {"padding_mode": padding_modes.pop()} if padding_modes else {}
    return tensors, stated | {"has_lrn": has_lrn} | ({"eps": epsilons.pop()} if epsilons else {})


def members(module, group):
    """A module's group "_parameters", "_buffers" or "_modules" as a dictionary; empty where it has none."""
    group_members = module.state.get(group)
    return group_members if type(group_members) is dict else {}


def kernel(module):
    """The side of a convolution's kernel, 1 where the module has none."""
    size = module.state.get("kernel_size")
    return size[0] if type(size) is tuple and size and type(size[0]) is int else 1


def epsilon(prefix, module):
    """The ε of a batch norm."""
    value = module.state.get("eps", 1e-5)
    if type(value) is not float or not 0 <= value < 1:
        raise UnsupportedError(f"its module {quoted([prefix[:-1]])} is a batch norm with eps {short(value)}; npvgg reads "
                               "numbers from 0 to below 1")
    return value


def check(prefix, module):
    """Refuse a module of PyTorch whose attributes are not those of a VGG's."""
    name, state = module.name.rpartition(".")[2], module.state
    wrong = [(attribute, value) for attribute, value in EXPECTED.get(module.name, {}).items()
             if attribute in state and state[attribute] not in (value, (value, value))]
    if module.name == "torch.nn.modules.conv.Conv2d":
        side = kernel(module)
        expected = {"kernel_size": (side, side), "padding": (side // 2, side // 2)}
        wrong += [(attribute, value) for attribute, value in expected.items() if state.get(attribute, value) != value]
        if state.get("padding_mode", "zeros") not in PADDING_MODES:
            wrong.append(("padding_mode", "zeros"))
    for attribute, value in wrong:
        belongs = (value, value) if type(state[attribute]) is tuple and type(value) is not tuple else value
        raise UnsupportedError(f"its module {quoted([prefix[:-1]])} is a {name} with {attribute} {short(state[attribute])} "
                               f"where a VGG has {short(belongs)}; npvgg cannot compute that")


def short(value):
    """A value for a message: a short text of what is plain, the name of its type otherwise."""
    plain = (int, float, bool, str, type(None))
    is_plain = type(value) in plain or type(value) is tuple and len(value) < 9 and all(type(item) in plain for item in value)
    return repr(value)[:40] if is_plain else f"({type(value).__name__})"
