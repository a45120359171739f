"""Tensors: a stretch of a storage, seen as a box.

    x[i, j, …] = storage[offset + i·stride[0] + j·stride[1] + …]

PyTorch has written this down in several ways since 2016; each is one function below, from the arguments in the file to
a Tensor.  None of them touches the numbers: a tensor costs nothing until it is chosen and its bounds are known to hold.
"""
import math

from npvgg.errors import UnsupportedError
from weights_convert.containers.references import Reference
from weights_convert.elements import STORED
from weights_convert.formats.pytorch.storages import CLASSES, Storage, is_count
from weights_convert.refusals import hostile

MOST_DIMENSIONS = 8
LARGEST_SIDE = 1 << 48

PARAMETER = "torch.nn.parameter.Parameter"
TENSOR_CLASSES = {"torch.Tensor": None, PARAMETER: None} | {          # → the element type they stand for
    f"{module}.{storage.replace('Storage', 'Tensor')}": element
    for module in ("torch", "torch.cuda") for storage, element in CLASSES.items() if element != "untyped"}


class Tensor:
    """Where the numbers of a tensor are.  `storage` is None until the file has said so."""

    __slots__ = ("storage", "element", "offset", "size", "stride")

    def __init__(self, element=None):
        self.storage, self.element = None, element

    def place(self, storage, offset, size, stride, element=None):
        """Say where the numbers are.  Raises BadFileError unless every index of the box lies in the storage."""
        if self.storage is not None:
            raise hostile("it describes the same tensor twice")
        if not isinstance(storage, Storage):
            raise hostile("it has a tensor without a storage")
        box = f"a tensor of size {short(size)} and stride {short(stride)} at {short(offset)}"
        if not (type(size) is type(stride) is tuple and len(size) == len(stride) <= MOST_DIMENSIONS
                and all(is_count(n, LARGEST_SIDE) for n in [*size, *stride]) and is_count(offset)):
            raise hostile(f"it has {box}, which is no shape")
        element = element or ("uint8" if storage.element == "untyped" else storage.element)
        if self.element not in (None, element):
            raise hostile(f"it has a tensor of {self.element} in a storage of {element}")
        available = storage.numel * storage.itemsize // STORED[element].itemsize
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        # count ≤ available refuses broadcast tensors: stride 0 turns four bytes into forty gigabytes.
        fits = last < available and count <= available if count else math.prod(n for n in size if n) <= LARGEST_SIDE
        if not fits:
            raise hostile(f"it has {box}, but storage {storage.key} has {available} elements")
        self.storage, self.element, self.offset, self.size, self.stride = storage, element, offset, size, stride

    @property
    def count(self):
        """How many numbers it has."""
        return math.prod(self.size)

    @property
    def nbytes(self):
        """Bytes of its numbers."""
        return self.count * STORED[self.element].itemsize


def short(value):
    """A size or offset from the file for a message, whatever it really is."""
    numbers = value if type(value) is tuple else (value,)
    plain = len(numbers) <= 16 and all(type(n) is int for n in numbers)
    return f"{value}"[:80] if plain else f"({type(value).__name__})"


def rebuild_tensor(storage, offset, size, stride):
    """torch._utils._rebuild_tensor, to 2018."""
    tensor = Tensor()
    tensor.place(storage, offset, size, stride)
    return tensor


def rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata=None):
    """torch._utils._rebuild_tensor_v2, since PyTorch 0.4."""
    check_extras(requires_grad, hooks, metadata)
    return rebuild_tensor(storage, offset, size, stride)


def rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    """torch._utils._rebuild_tensor_v3, since PyTorch 2: for element types that have no storage class."""
    check_extras(requires_grad, hooks, metadata)
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Reference) else None
    if name not in STORED or name == "untyped":
        raise UnsupportedError(f"it has a tensor of {name or 'an unknown element type'}; "
                               "npvgg reads float, integer and bool tensors only")
    if isinstance(storage, Storage) and storage.element != "untyped":
        raise hostile(f"it has a tensor of {name} in a storage of {storage.element}")
    tensor = Tensor()
    tensor.place(storage, offset, size, stride, name)
    return tensor


def rebuild_parameter(data, requires_grad=True, hooks=None, state=None):
    """torch._utils._rebuild_parameter and _rebuild_parameter_with_state; torch.nn.Parameter(data, requires_grad)."""
    check_extras(requires_grad, hooks, None)
    if not isinstance(data, Tensor):
        raise hostile("it has a parameter without a tensor")
    return data


def rebuild_from_type(function, cls, args, state):
    """torch._tensor._rebuild_from_type_v2: a tensor with attributes of its own, which are dropped; None if unknown."""
    known = isinstance(function, Reference) and isinstance(cls, Reference) and type(args) is tuple
    if known and cls.name in TENSOR_CLASSES and function.name in REBUILD:
        return rebuild(function.name, args)
    return None


REBUILD = {                               # name in the file → (function, fewest and most arguments)
    "torch._utils._rebuild_tensor": (rebuild_tensor, 4, 4),
    "torch._utils._rebuild_tensor_v2": (rebuild_tensor_v2, 6, 7),
    "torch._utils._rebuild_tensor_v3": (rebuild_tensor_v3, 7, 8),
    "torch._utils._rebuild_parameter": (rebuild_parameter, 3, 3),
    "torch._utils._rebuild_parameter_with_state": (rebuild_parameter, 4, 4),
}


META = "torch._utils._rebuild_meta_tensor_no_storage"


def rebuild(name, args):
    """A name in REBUILD and the tuple of its arguments → Tensor."""
    function, fewest, most = REBUILD[name]
    if not fewest <= len(args) <= most:
        raise hostile(f"it gives {name} {len(args)} arguments")
    return function(*args)


def check_extras(requires_grad, hooks, metadata):
    """Refuse what would change the numbers, and what no checkpoint has: the conjugate and negative bits, and hooks."""
    if type(requires_grad) is not bool or hooks not in (None, {}) or not is_flags(metadata):
        raise hostile("it has a tensor with hooks or with flags that cannot be read")
    if metadata and any(metadata.values()):
        raise UnsupportedError("it has a tensor with the conjugate or negative bit (save its clone() with PyTorch)")


def is_flags(metadata):
    """Whether a tensor's metadata is None or the few flags that PyTorch writes."""
    return metadata is None or type(metadata) is dict and len(metadata) <= 8


def build(tensor, state):
    """The BUILD opcode on a tensor or parameter: how PyTorch to 0.3 wrote them.

        4 items    storage, offset, size, stride                        torch.FloatTensor and its like
        5 items    data, gradient, hooks, requires_grad, volatile       torch.nn.Parameter
        3 items    requires_grad, volatile, hooks                       torch.nn.Parameter(data)
    """
    if type(state) is not tuple or len(state) not in (3, 4, 5):
        raise hostile("it has a tensor of a form that cannot be read")
    if len(state) == 4:
        tensor.place(*state)
    elif len(state) == 5:
        data = state[0]
        if not isinstance(data, Tensor) or data.storage is None:
            raise hostile("it has a parameter without a tensor")
        check_extras(state[3], state[2], None)
        tensor.place(data.storage, data.offset, data.size, data.stride, data.element)
    else:
        check_extras(state[0], state[2], None)
