"""A whole pickled network (torch.save(model)) → the state dict it would give, and its modules one after the other.

A torch.nn.Module is pickled as its class's name and a dictionary of attributes.  Three of them lead to the tensors:

    _parameters {"weight": Tensor, …}    _buffers {"running_mean": Tensor, …}    _modules {"conv1_1": Module, …}

The class is a name to us.  What a Sequential and the classes in CHAINS compute is known: their modules, in that order.  What
another class's `forward` does with its modules is not in the file.
"""
from dataclasses import dataclass

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers.references import Inert
from weights_convert.formats.pytorch.tensors import Tensor
from weights_convert.refusals import quoted

HOOKS = ("_forward_hooks", "_forward_pre_hooks")      # what is called around a module's forward, under numbers
DEEPEST = 16
MOST_MODULES = 2000

TORCHVISION, CLASSIFIER = "torchvision.models.vgg.VGG", "classifier"       # which flattens in front of its classifier

# Classes that run their modules in the order in which they have them, flattening before the first dense layer → which modules
# those are (None: all).  Another that somebody added to them is not run.
CHAINS = {
    "torch.nn.modules.container.Sequential": None,
    "torch.nn.parallel.data_parallel.DataParallel": ("module",),
    "torch.nn.parallel.distributed.DistributedDataParallel": ("module",),
    "torch.optim.swa_utils.AveragedModel": ("module",),
    TORCHVISION: ("features", "avgpool", "flatten", CLASSIFIER),
    "timm.models.vgg.VGG": ("features", "pre_logits", "head"),
    "timm.models.vgg.ConvMlp": ("fc1", "act1", "drop", "fc2", "act2"),
    "timm.layers.classifier.ClassifierHead": ("global_pool", "drop", "fc", "flatten"),
    "timm.layers.adaptive_avgmax_pool.SelectAdaptivePool2d": ("pool", "flatten"),
    "mmcv.cnn.bricks.conv_module.ConvModule": ("conv", "bn", "activate"),
}


@dataclass(frozen=True)
class Step:
    """A module without modules in it."""

    path: str                             # "features.0"
    module: Inert
    chain: str | None                     # path of the outermost of CHAINS that runs it where it stands; None: code does

    @property
    def kind(self):
        """Its class without the package."""
        return self.module.name.rpartition(".")[2]


def is_module(value):
    """Whether a stand-in was a torch.nn.Module."""
    return isinstance(value, Inert) and type(value.state) is dict and {"_parameters", "_modules"} <= value.state.keys()


def opened(module):
    """A module → ({"conv1_1.weight": Tensor, …}, [Step, …], the names of all classes), in the order of the modules' names.

    BadFileError for modules without end, UnsupportedError for one whose `forward` was replaced or has hooks.
    """
    tensors, steps, classes, count = {}, [], set(), 0
    waiting = [("", module, 0, None, True)]
    while waiting:
        prefix, current, depth, chain, is_run = waiting.pop(0)
        count += 1
        classes.add(current.name)
        own = "a forward" if "forward" in current.state else "hooks" if any(members(current, name) for name in HOOKS) else ""
        if own:
            raise UnsupportedError(f"its module {quoted([prefix[:-1]])} has {own} of its own, which is code and not in the "
                                   "file; save model.state_dict() with PyTorch")
        if depth > DEEPEST or count > MOST_MODULES:
            raise BadFileError("its modules are in each other without end (give a state dict that torch.save wrote)")
        for group in ("_parameters", "_buffers"):
            own = members(current, group)
            tensors |= {f"{prefix}{name}": value for name, value in own.items() if isinstance(value, Tensor)}
        inner = {name: value for name, value in members(current, "_modules").items() if is_module(value)}
        if is_run and not inner and current.name not in CHAINS:
            steps.append(Step(prefix[:-1], current, chain))
        # In front, so that the keys come in the order in which state_dict() has them.
        of_parts = prefix[:-1] if chain is None else chain
        waiting[:0] = [(f"{prefix}{place}.", value, depth + 1, of_parts if is_run_in_order(current, place) else None,
                        is_run and (current.name not in CHAINS or is_run_in_order(current, place)))
                       for name, part in inner.items() for place, value in with_flatten(current, name, part)]
    return tensors, steps, classes


def is_run_in_order(module, name):
    """Whether a module runs the one of that name where it stands among its modules."""
    return module.name in CHAINS and (CHAINS[module.name] is None or name in CHAINS[module.name])


def with_flatten(module, name, part):
    """A module's part under its name, and before torchvision's classifier the flattening, which is code there."""
    if (module.name, name) == (TORCHVISION, CLASSIFIER):
        flatten = Inert("torch.nn.modules.flatten.Flatten")
        flatten.state = {"_parameters": {}, "_modules": {}}
        yield "flatten", flatten
    yield name, part


def members(module, group):
    """A module's group "_parameters", "_buffers" or "_modules" as a dictionary; empty where it has none."""
    group_members = module.state.get(group)
    return group_members if type(group_members) is dict else {}
