"""What a file of any format holds, as plain values."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FileContents:
    """The tensors of a file, and what it says beside them."""

    tensors: dict                         # key → little-endian array, in the file's order; of a graph it may be a view
    container: str                        # "PyTorch zip", "ONNX graph (opset 17)", …
    sha256: str = ""                      # of the whole file; `formats.read` fills it in
    nested_under: str | None = None       # the entry that holds the state dict; None if the top level does
    metadata: dict = field(default_factory=dict)      # texts beside the tensors: {"arch": "vgg16", "classes": ("cat", …)}
    remarks: tuple = ()                   # sentences for people
    assumptions: tuple = ()               # those of the remarks that belong into the weights file
    stated: dict = field(default_factory=dict)        # what the file says of its network: {"padding_mode": "reflect", …}
    files: tuple = ()                     # that were read; `formats.read` and shards.py fill it in
