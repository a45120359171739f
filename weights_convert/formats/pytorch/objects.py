"""What the names and calls in a checkpoint's pickle come to.

    a known way to write a tensor      → Tensor
    an ordered dictionary              → dict
    any other class or function        → Inert: it keeps a dictionary of attributes; what else is put into it is dropped
"""
from collections import Counter

from npvgg.errors import BadFileError, UnsupportedError
from npvgg.text import listed
from weights_convert.containers import references
from weights_convert.containers.references import Inert, Reference
from weights_convert.formats.pytorch import storages, tensors
from weights_convert.formats.pytorch.tensors import Tensor
from weights_convert.refusals import hostile

SET, GETATTR = "builtins.set", "builtins.getattr"
MOST_TENSORS = 20_000
MOST_NAMES = 10_000                       # different ones; a checkpoint mentions some ten
MOST_PAIRS = 200_000                      # items of all lists that became ordered dictionaries


class Objects:
    """Answers for one pickle.  A storage's persistent id has `fields` items: 6 in a legacy stream, 5 in a zip."""

    def __init__(self, fields):
        self.fields = fields
        self.storages = {}                # key → Storage
        self.names = {}                   # (module, name) → Reference
        self.tensor_count = self.pair_count = 0
        self.inert = Counter()            # name → how many objects of it were left out

    def reference(self, module, name):
        """GLOBAL: what would have been imported."""
        if (module, name) not in self.names:
            is_getattr = (references.ALIASES.get(module, module), name) == ("builtins", "getattr")
            self.names[module, name] = Reference(GETATTR) if is_getattr else references.reference(module, name)
            if len(self.names) > MOST_NAMES:
                raise hostile(f"it mentions more than {MOST_NAMES:,} classes and functions")
        return self.names[module, name]

    def call(self, function, args):
        """REDUCE and NEWOBJ: what function(*args) would have given."""
        if not isinstance(function, Reference) or type(args) is not tuple:
            raise hostile("its pickle calls something that has no name")
        name = function.name
        if name == "collections.OrderedDict":
            return self.ordered(args)
        if name == "torch.Size" and len(args) == 1 and type(args[0]) is tuple:
            return args[0]
        if name == GETATTR:
            return self.attribute(args)
        made = self.tensor(name, args)
        if made is not None:
            self.tensor_count += 1
            if self.tensor_count > MOST_TENSORS:
                raise BadFileError(f"it has more than {MOST_TENSORS:,} tensors (a VGG has at most some hundred)")
            return made
        self.inert[name] += 1
        return Inert(name)

    def attribute(self, args):
        """getattr(a class, a name): how a method is written down.  It is a name like any other, and judged like one."""
        if len(args) != 2 or not isinstance(args[0], (Reference, Inert)) or type(args[1]) is not str:
            raise hostile("it takes an attribute of something that has no name")
        return self.reference(args[0].name, args[1])

    def ordered(self, args):
        """The arguments of OrderedDict → dict.  Python 2 gave a list of [key, value]; Python 3 sets the items later."""
        if not args:
            return {}
        pairs = args[0]
        if len(args) > 1 or type(pairs) is not list or not all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
            raise hostile("it has an ordered dictionary that cannot be read")
        self.pair_count += len(pairs)
        if self.pair_count > MOST_PAIRS:
            raise hostile(f"it has ordered dictionaries of more than {MOST_PAIRS:,} items")
        return {key: value for key, value in pairs if type(key) is str}

    def tensor(self, name, args):
        """The Tensor that the call of `name` gives, or None if it is no way to write a tensor."""
        if name == tensors.META:
            raise UnsupportedError("its tensors are on PyTorch's device \"meta\", which keeps shapes and no numbers; save the "
                                   "network after its weights were loaded")
        if name in tensors.REBUILD:
            return tensors.rebuild(name, args)
        if name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4:
            return tensors.rebuild_from_type(*args)
        if name == tensors.PARAMETER and 1 <= len(args) <= 2:
            return tensors.rebuild_parameter(*args)
        if name in tensors.TENSOR_CLASSES and not args:
            return Tensor(tensors.TENSOR_CLASSES[name])               # BUILD says later where its numbers are
        return None

    def build(self, target, state):
        """BUILD: give an object its state.  Only those of tensors and of modules matter."""
        if isinstance(target, Tensor):
            tensors.build(target, state)
        elif isinstance(target, Inert) and type(state) is dict:
            target.state = state
        elif not isinstance(target, (dict, Inert)):
            raise hostile(f"its pickle sets the state of a {type(target).__name__}")

    def persistent(self, identity):
        """The storage that a persistent identity of the pickle names."""
        return storages.persistent(identity, self.fields, self.storages)

    def remarks(self, classes=frozenset()):
        """What was left out, as sentences; `classes` were read, as modules with the sets that each of them has."""
        left_out = {name: n for name, n in self.inert.items() if name not in classes and (name != SET or not classes)}
        if not left_out:
            return ()
        counts = [name if n == 1 else f"{name} ({n}×)" for name, n in sorted(left_out.items())]
        return (f"objects beside the weights were left out: {listed(counts, 8)}",)
