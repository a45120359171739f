"""The first bytes of a file → which container it is.

The name of a file says nothing: the same extension is used for both containers and for whole models, and a failed
download keeps the name that was asked for.  A file that is no checkpoint is named for what it is.
"""
from npvgg.errors import BadFileError, UnsupportedError

ZIP = "PyTorch zip"
LEGACY = "PyTorch legacy stream"

HEAD = 512                                # bytes; a tar header is the longest thing looked at

# Pickle 1 of a legacy stream: LONG1, ten bytes, STOP.  PROTO comes before it, and from protocol 4 on a FRAME.
MAGIC = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."

AGAIN = "the download failed or was redirected; fetch it again"
MEMBERS_OF_TAR = (b"sys_info", b"pickle", b"storages", b"tensors")

OTHER_KINDS = {                           # first bytes → (what it is, what to do)
    b"\x1f\x8b": ("a gzip archive", "unpack it first"),
    b"BZh": ("a bzip2 archive", "unpack it first"),
    b"\xfd7zXZ\x00": ("an xz archive", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it first"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "PyTorch writes none; do not trust it"),
    b"Rar!": ("a RAR archive", "PyTorch writes none; do not trust it"),
    b"PK\x05\x06": ("an empty zip archive", AGAIN),
    b"\x89PNG": ("a PNG image", "give the checkpoint, not a picture"),
    b"\xff\xd8\xff": ("a JPEG image", "give the checkpoint, not a picture"),
    b"GIF8": ("a GIF image", "give the checkpoint, not a picture"),
    b"%PDF": ("a PDF document", AGAIN),
    b"\x7fELF": ("a program", "PyTorch writes none; do not trust it"),
    b"MZ": ("a program", "PyTorch writes none; do not trust it"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", "if npvgg wrote it, load it directly"),
    b"\x93NUMPY": ("a NumPy array", "give a PyTorch checkpoint"),
    b"GGUF": ("a GGUF model", "give a PyTorch checkpoint"),
    b"MATLAB": ("a MATLAB file", "give a PyTorch checkpoint"),
    b"version https://git-lfs": ("a git-LFS pointer, not the file it stands for", "run `git lfs pull`"),
    b"{": ("JSON text", AGAIN),
}


def recognise(head):
    """The first HEAD bytes of a file → ZIP or LEGACY.

    Raises UnsupportedError for what PyTorch wrote but npvgg does not read, BadFileError for everything else.
    """
    if not head:
        raise BadFileError(f"it is empty ({AGAIN})")
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    if head[0] == 0x80:
        if magic_end(head) is None:
            raise BadFileError("it is a Python pickle, but not of PyTorch (give a file that torch.save wrote)")
        return LEGACY
    if head.startswith(b"PYTORCH1"):
        raise UnsupportedError("it is TorchScript, a program with its weights (save model.state_dict() with PyTorch)")
    if head.startswith((b"L119547037146038801333356L", MAGIC)):
        raise UnsupportedError("it was written with pickle protocol 0 or 1 (save it again with PyTorch's default)")
    if head[257:262] == b"ustar":
        if head[:100].rstrip(b"\0").removeprefix(b"./") in MEMBERS_OF_TAR:
            raise UnsupportedError("it is a tar checkpoint of PyTorch to 0.1.9 (load and save it once with PyTorch)")
        raise BadFileError("it is a tar archive (unpack it first)")
    what, advice = kind(head)
    raise BadFileError(f"it is {what}, not a PyTorch checkpoint ({advice})")


def magic_end(head):
    """Where pickle 1 of a legacy stream ends, or None if it is not exactly PyTorch's magic number."""
    if len(head) < 2 or not 2 <= head[1] <= 5:
        return None
    start = 11 if head[1] >= 4 and head[2:11] == b"\x95" + len(MAGIC).to_bytes(8, "little") else 2
    return start + len(MAGIC) if head[start:].startswith(MAGIC) else None


def kind(head):
    """The first bytes of a file that is no checkpoint → (what it is, what to do)."""
    for signature, answer in OTHER_KINDS.items():
        if head.startswith(signature):
            return answer
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "an HTML or XML page", AGAIN
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return "a safetensors file", "give a PyTorch checkpoint"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", "give a PyTorch checkpoint"
    # Protocol buffer fields 1 (ir_version) and 2 (producer_name) or 7 (graph), as every ONNX exporter writes them.
    if len(head) > 2 and head[0] == 0x08 and head[1] < 0x20 and head[2] in (0x12, 0x3A):
        return "an ONNX model", "give a PyTorch checkpoint"
    if not any(head):
        return "filled with zeros", AGAIN
    if head.isascii() and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "a text file", AGAIN
    return f"a file that starts with the bytes {head[:8].hex(' ')}", "give a file that torch.save wrote"
