"""The first bytes of a file → which container it is.

The name of a file says nothing: the same extension is used for both containers and for whole models, and a failed
download keeps the name that was asked for.  A file that is no checkpoint is named for what it is.
"""

from npvgg.errors import BadFileError, UnsupportedError
from npvgg.storage import file_kinds

ZIP = "PyTorch zip"
LEGACY = "PyTorch legacy stream"
PICKLE = "Python pickle"

HEAD = file_kinds.ENOUGH                  # bytes

# Pickle 1 of a legacy stream: LONG1, ten bytes, STOP.  PROTO comes before it, and from protocol 4 on a FRAME.
MAGIC = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."

AGAIN = "the download failed or was redirected; fetch it again"
MEMBERS_OF_TAR = (b"sys_info", b"pickle", b"storages", b"tensors")

CAFFEMODEL = (b".caffemodel", b".caffemodel.h5")
# How texts of Caffe's begin that describe a network or its training.
PROTOTXT = (b"name:", b"layer", b"input:", b"input_shape", b"force_backward", b"net:", b"train_net:", b"base_lr:", b"state {")
PICTURE, ELSEWHERE = "give the checkpoint, not a picture", "give a PyTorch checkpoint"
ADVICE = {                                # what a file is → what to do; with the others: ELSEWHERE
    "a gzip archive": "unpack it first",
    "a bzip2 archive": "unpack it first",
    "an xz archive": "unpack it first",
    "a zstd archive": "unpack it first",
    "a tar archive": "unpack it first",
    "a 7z archive": "PyTorch writes none; do not trust it",
    "a RAR archive": "PyTorch writes none; do not trust it",
    "a program": "PyTorch writes none; do not trust it",
    "an empty zip archive": AGAIN,
    "a PDF file": AGAIN,
    "JSON text": AGAIN,
    "a web page (HTML)": AGAIN,
    "an XML or SVG file": AGAIN,
    "an HDF5 file": "if npvgg wrote it, load it directly",
    "a model in ONNX Runtime's own form (.ort)": "give the .onnx file that it was made of",
    "the state of Caffe's solver (.solverstate)": "give the .caffemodel of the same snapshot",
    "a picture's mean as Caffe keeps it (.binaryproto)": "give the .caffemodel",
    "a description of Caffe's (.prototxt)": "give the .caffemodel, which has the weights",
    "a SavedModel of TensorFlow": "export it to ONNX with tf2onnx, or save it with Keras as .keras or .h5",
    "a Git LFS pointer": "fetch the file it stands for with `git lfs pull`",
} | {f"a {form} picture": PICTURE for form in ("PNG", "JPEG", "GIF", "HEIC", "AVIF")}


def recognise(head):
    """The first HEAD bytes of a file → ZIP, LEGACY or PICKLE.

    Raises UnsupportedError for what PyTorch wrote but npvgg does not read, BadFileError for everything else.
    """
    if not head:
        raise BadFileError(f"it is empty ({AGAIN})")
    if head.startswith(file_kinds.ZIP):
        return ZIP
    if head[0] == 0x80 and 2 <= (head[1:2] or b"\0")[0] <= 5:
        return LEGACY if magic_end(head) else PICKLE
    if head[0] == 0x80:
        raise BadFileError("it is the beginning of a Python pickle, or one of another protocol than 2 to 5 (give a file that "
                           "torch.save wrote)")
    if head.startswith(b"PYTORCH1"):
        raise UnsupportedError("it is TorchScript, a program with its weights (save model.state_dict() with PyTorch)")
    if head.startswith((b"L119547037146038801333356L", MAGIC)):
        raise UnsupportedError("it was written with pickle protocol 0 or 1 (save it again with PyTorch's default)")
    what, advice = kind(head)
    if what == "a tar archive" and head[:100].rstrip(b"\0").removeprefix(b"./") in MEMBERS_OF_TAR:
        raise UnsupportedError("it is a tar checkpoint of PyTorch to 0.1.9 (load and save it once with PyTorch)")
    raise BadFileError(f"it is {what}, not a PyTorch checkpoint ({advice})")


def magic_end(head):
    """Where pickle 1 of a legacy stream ends, or None if it is not exactly PyTorch's magic number."""
    if len(head) < 2 or not 2 <= head[1] <= 5:
        return None
    start = 11 if head[1] >= 4 and head[2:11] == b"\x95" + len(MAGIC).to_bytes(8, "little") else 2
    return start + len(MAGIC) if head[start:].startswith(MAGIC) else None


def kind(head):
    """The first bytes of a file that is no checkpoint → (what it is, what to do)."""
    if what := file_kinds.kind(head):
        return what, ADVICE.get(what, ELSEWHERE)
    if what := of_a_protobuf(head):
        return what, ADVICE[what]
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return "a safetensors file", ELSEWHERE
    # Protocol buffer fields 1 (ir_version) and 2 (producer_name) or 7 (graph), as every ONNX exporter writes them.
    if len(head) > 2 and head[0] == 0x08 and head[1] < 0x20 and head[2] in (0x12, 0x3A):
        return "an ONNX model", ELSEWHERE
    if not any(head):
        return "filled with zeros", AGAIN
    lines = [line.strip() for line in head.split(b"\n")]
    if next((line for line in lines if line and not line.startswith(b"#")), b"").startswith(PROTOTXT) and head.isascii():
        what = "a description of Caffe's (.prototxt)"
        return what, ADVICE[what]
    if head.isascii() and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "a text file", AGAIN
    return f"a file that starts with the bytes {head[:8].hex(' ')}", "give a file that torch.save wrote"


def of_a_protobuf(head):
    """The first bytes of a protocol buffer that begins as an ONNX model does and is none → what it is; "" for others.

        SolverState    1 iter (a number), 2 learned_net (the name of a .caffemodel)       BVLC/caffe, caffe.proto
        BlobProto      1 num, 2 channels, 3 height (numbers)
        SavedModel     1 saved_model_schema_version = 1, 2 meta_graphs (a long message)   tensorflow/core/protobuf
    """
    if len(head) < 8 or head[0] != 0x08:
        return ""
    at = next((at for at in range(1, 11) if head[at:at + 1] < b"\x80"), 1) + 1
    tag, length = head[at:at + 1], head[at + 1] if at + 1 < len(head) else 0
    if tag == b"\x12" and head[at + 2:at + 2 + length].endswith(CAFFEMODEL):
        return "the state of Caffe's solver (.solverstate)"
    if tag == b"\x10" and head[at + 2:at + 3] == b"\x18":
        return "a picture's mean as Caffe keeps it (.binaryproto)"
    return "a SavedModel of TensorFlow" if head[1:3] == b"\x01\x12" and length > 127 else ""
