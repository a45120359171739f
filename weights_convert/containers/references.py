"""The names in a pickle.  They are never looked up: a name becomes a Reference, and what it would make an Inert.

Safety does not rest on the lists below, for nothing in a file can run.  They decide what to say.  Training scripts
leave other objects beside the weights (their options, their history); such names stay inert.  A name that could do
harm elsewhere means that somebody prepared the file, and the file is refused.
"""
import re
import sys

from npvgg.errors import BadFileError, UnsupportedError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_NAME = 256

# The same thing under the name of its day.
ALIASES = {"__builtin__": "builtins", "copy_reg": "copyreg", "torch.tensor": "torch._tensor"}

# From the standard library only these belong in a checkpoint.  Every other name of it is refused.
PATHS = "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath"
HARMLESS = {
    "_codecs": "encode",
    "_io": "BytesIO",
    "argparse": "Namespace",
    "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list long object range "
                "set slice str tuple unicode xrange",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "__newobj__ _reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "io": "BytesIO",
    "pathlib": PATHS,
    "pathlib._local": PATHS,
    "random": "Random",
    "types": "SimpleNamespace",
    "uuid": "SafeUUID UUID",
}
STANDARD_LIBRARY = sys.stdlib_module_names | {
    # gone from newer Pythons, not yet in older ones, or left out of their list
    "_interpreters", "asynchat", "asyncore", "commands", "distutils", "imp", "lib2to3", "nt", "pipes", "posix", "smtpd",
    "telnetlib", "test",
}

# Outside it: packages and functions that load, compile or fetch what a file asks for.
HARMFUL = (
    "IPython", "cloudpickle", "dill", "joblib", "pip", "pkg_resources", "setuptools",
    "numpy.distutils", "numpy.f2py", "numpy.load", "numpy.testing",
    "torch._dynamo", "torch._inductor", "torch.classes", "torch.hub", "torch.jit", "torch.load", "torch.ops",
    "torch.package", "torch.serialization.load", "torch.storage._load_from_bytes", "torch.utils.cpp_extension",
)


# Of these, what people save without meaning harm.
WRAPPED = {"torch._dynamo.eval_frame.OptimizedModule": "torch.compile"}


class Reference:
    """A name in the file."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Inert:
    """What would have been an object of the class or function `name`.  It does nothing.

    `state` is what BUILD would have given it, if that is a dictionary: a torch.nn.Module keeps its tensors there.
    """

    __slots__ = ("name", "state")

    def __init__(self, name):
        self.name, self.state = name, None


def reference(module, name):
    """'torch._utils', '_rebuild_tensor' → Reference.

    BadFileError for what is no name or could do harm, UnsupportedError for what is in WRAPPED.
    """
    parts = module.split(".")
    if len(module) + len(name) > LONGEST_NAME or not all(NAME.fullmatch(part) for part in [*parts, name]):
        raise BadFileError(f"file refers to {module[:80]!r} {name[:80]!r}, which is no name of a class or function; "
                           "this is not a normal checkpoint")
    module = ALIASES.get(module, module)
    full = f"{module}.{name}"
    if parts[0] in ALIASES or parts[0] in STANDARD_LIBRARY:
        harmful = name not in HARMLESS.get(module, "").split()
    else:
        harmful = any(full == start or full.startswith(start + ".") for start in HARMFUL)
    if full in WRAPPED:
        raise UnsupportedError(f"it holds a whole network as {WRAPPED[full]} wrapped it; save its state_dict() with PyTorch")
    if harmful:
        raise BadFileError(f"file refers to {full}; this is not a normal checkpoint (do not load it elsewhere)")
    return Reference(full)
