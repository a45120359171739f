"""Which part of a checkpoint is the state dict: {"features.0.weight": Tensor, …}.

torch.save keeps whatever object it is given.  Usually that is the state dict itself, or a dictionary that holds it
beside the optimiser, the options and the names of the classes.
"""
from dataclasses import dataclass

from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert.containers.opcodes import OTHER_KEYS
from weights_convert.containers.references import Inert, Reference
from weights_convert.formats.pytorch import layers, modules, openmmlab
from weights_convert.formats.pytorch.objects import MOST_TENSORS
from weights_convert.formats.pytorch.storages import Storage
from weights_convert.formats.pytorch.tensors import Tensor
from weights_convert.refusals import hostile, quoted

# Averaged weights stand beside the plain ones: torchvision's reference, timm, mmengine, others.
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema")
USUAL = ("state_dict", "model", "model_state_dict", "module", "params", "net", "network", *AVERAGED)

LONGEST_KEY = 512
MOST_TEXTS = 25_000                       # in one list; ImageNet-21k has 21 841 class names
MOST_LISTS = 32                           # and texts; the same list can stand under many names


@dataclass(frozen=True)
class Chosen:
    """The state dict, and what was beside it."""

    tensors: dict                         # key → Tensor
    nested_under: str | None
    metadata: dict
    remarks: tuple
    stated: dict                          # what the modules of a pickled network say (layers.py)
    classes: frozenset = frozenset()      # of those modules
    assumptions: tuple = ()               # those of the remarks that belong into the weights file


def choose(root, key=None):
    """The unpickled object → Chosen.  `key` names the entry that holds the state dict, "" the object itself.

    Without it the one entry with a usual name is taken (of plain and averaged weights the plain ones), else the object itself.
    A whole pickled network counts as its state dict.  Raises UsageError if that is not one, BadFileError if there is no state
    dict or something in it is not a tensor, UnsupportedError for any other object.
    """
    if modules.is_module(root):
        tensors, steps, classes = modules.opened(root)
        stated, open_questions = layers.read(steps)
        remarks = (whole(root), *open_questions)
        return Chosen(tensors, None, {}, remarks, stated, frozenset(classes), remarks)
    if isinstance(root, Inert):
        raise UnsupportedError(f"it holds a whole {root.name}, not a state dict (save model.state_dict() with PyTorch)")
    if type(root) is not dict:
        raise BadFileError(f"it holds a {kind(root)}, not a state dict (save model.state_dict() with PyTorch)")
    networks = {name: value for name, value in root.items() if modules.is_module(value)}
    opened = {name: modules.opened(value) for name, value in networks.items()}
    root = root | {name: tensors for name, (tensors, _, _) in opened.items()}
    nested_under = pick(root, key)
    state = root if nested_under is None else root[nested_under]
    for name, value in state.items():
        check(name, value)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if len(tensors) > MOST_TENSORS:
        raise BadFileError(f"its state dict has more than {MOST_TENSORS:,} tensors (a VGG has at most some hundred)")
    texts = metadata(root)
    beside = {name: value for name, value in root.items()
              if isinstance(value, (Tensor, dict)) and name != nested_under and value is not tensors.get(name)}
    known = {**tensors, **texts, **beside} if state is root else tensors
    other = [name for name in state if name not in known]
    averaged = [name for name in beside if name in AVERAGED and nested_under in USUAL and nested_under not in AVERAGED]
    has_class_names = "meta" in beside and "classes" in metadata({"meta": root["meta"]})
    unread = [name for name in beside if name not in averaged and (name != "meta" or not has_class_names)]
    remarks = (
        (nested_under in networks, whole(networks.get(nested_under))),
        (nested_under is not None, f"the state dict is under {quoted([nested_under or ''])}"),
        (averaged, f"the averaged weights under {quoted(averaged)} were left alone (--key takes them)"),
        (has_class_names, "of 'meta' the class names were taken"),
        (unread, f"not read: {quoted(unread)}"),
        (other, f"entries of the state dict that are no tensors were left out: {quoted(other)}"),
    )
    _, steps, classes = opened.get(nested_under, (None, [], ()))
    stated, open_questions = layers.read(steps) if nested_under in opened else ({}, ())
    preset, prepared = openmmlab.preparation(dictionary(root, "meta"))
    stated |= {"preset": preset} if preset else {}
    assumptions = (*((whole(networks[nested_under]),) if nested_under in networks else ()), *open_questions, *prepared)
    sentences = dict.fromkeys([*(sentence for applies, sentence in remarks if applies), *assumptions])
    return Chosen(tensors, nested_under, texts, tuple(sentences), stated, frozenset(classes), assumptions)


def whole(module):
    """What is known about a whole pickled network."""
    name = module.name if module else ""
    if name in modules.CHAINS:
        return f"it holds a whole {name}, whose modules were read one after the other"
    return f"it holds a whole {name}: its modules were read, and its code, which is not in the file, is not known"


def pick(root, key):
    """→ the name of the entry that holds the state dict, or None for the object itself."""
    places, direct = places_of_tensors(root), holds_tensors(root)
    listed = quoted(([""] if direct else []) + places, most=8)
    if key is not None:
        if key in places or key == "" and direct:
            return key or None
        raise UsageError(f"it has no state dict under {key!r} (there is one under: {listed or 'no key at all'})")
    usual = [name for name in places if name in USUAL]
    plain = [name for name in usual if name not in AVERAGED]
    usual = plain if len(plain) == 1 else usual
    if len(usual) > 1 or not usual and not direct and places:
        raise UsageError(f"it has state dicts under {listed} (choose one with key= or --key)")
    if usual or direct:
        return usual[0] if usual else None
    arrays = [name for values in (root, *root.values()) if type(values) is dict for name, value in values.items()
              if isinstance(value, Inert) and value.name.startswith("numpy.")]
    if arrays:
        raise BadFileError(f"it holds arrays of NumPy ({quoted(arrays)}) and no tensors; write them with np.savez instead, or "
                           "save torch.from_numpy of each")
    entries = ", ".join(f"{quoted([name])}: {kind(value)}" for name, value in list(root.items())[:5] if name != OTHER_KEYS)
    raise BadFileError(f"it holds no state dict, only {{{entries}}} (save model.state_dict() with PyTorch)")


def places_of_tensors(root):
    """The names of the dictionaries in `root` that hold tensors; one with many names is looked through once."""
    dictionaries = {id(value): value for value in root.values() if type(value) is dict}
    holding = {number for number, value in dictionaries.items() if holds_tensors(value)}
    return [name for name, value in root.items() if id(value) in holding]


def holds_tensors(dictionary):
    """Whether any value of a dictionary is a tensor."""
    return any(isinstance(value, Tensor) for value in dictionary.values())


def check(name, value):
    """Refuse an entry of the state dict that cannot be left out without a word."""
    if name == OTHER_KEYS:
        raise BadFileError("its state dict has keys that are no texts (save model.state_dict() with PyTorch)")
    if not name or len(name) > LONGEST_KEY or not name.isprintable():
        raise hostile(f"its state dict has the key {quoted([name])}, as no network has")
    if isinstance(value, Tensor) and value.storage is None:
        raise hostile(f"{quoted([name])} is a tensor without numbers")
    if isinstance(value, (Inert, Reference, Storage)):
        raise BadFileError(f"{quoted([name])} is a {kind(value)}, not a tensor (save model.state_dict() with PyTorch)")


def kind(value):
    """What a value from the file is, for a message."""
    return value.name if isinstance(value, (Inert, Reference)) else type(value).__name__.lower()


def metadata(root):
    """The texts, and lists of texts, beside the state dict; the class names of OpenMMLab's checkpoints as "classes"."""
    meta = dictionary(root, "meta")
    classes = [("classes", value) for place in (meta, dictionary(meta, "dataset_meta"))
               for name, value in place.items() if name in ("CLASSES", "classes")]
    entries = [(name, value) for name, value in [*classes, *root.items()] if type(value) in (str, list, tuple)]
    return {name: value if type(value) is str else tuple(value) for name, value in entries[:MOST_LISTS]
            if type(value) is str or 0 < len(value) <= MOST_TEXTS and all(type(text) is str for text in value)}


def dictionary(root, name):
    """root[name] where that is a dictionary; an empty one otherwise."""
    value = root.get(name)
    return value if type(value) is dict else {}
