"""The weights file: what a network has learned, and everything needed to run it.

    vgg16.h5
      attributes        format = "npvgg weights 1"
                        architecture, preset             one line of JSON each
                        source_name, source_sha256       the checkpoint that was converted
                        source_output                    "logits" or "probabilities": what the checkpoint's own last
                                                         layer gives; logits where it is absent
                        notes                            how it was made, its measured accuracy
                        converted_by = "npvgg 0.1.0",  created = "2026-01-31T12:00:00Z"
                        digest                           SHA-256 of the header: attributes, labels, digests
                        complete = 1
      /conv1_1/weight   (64, 3, 3, 3)  float32           attribute sha256 of its bytes
      /conv1_1/bias     (64,)          float32
      …                                                  the paths and shapes of Architecture.parameters; float64 too, and
                                                         of more than one axis float16 or bfloat16, read as float32
      /labels           (1000,)        UTF-8             row k names logit k; optional
      /self_test        attributes seed and tolerance; optional
      /self_test/output (1, 1000)      float64           the answer to `self_test_input(architecture, seed)`
      /record           attributes seed and class_names; optional, with a self-test only: see `npvgg.projections`
      /record/layers    (layers, 9)    float64           of each layer's output on the self-test's input
      /record/picture   (1, 9)         float64           of a seeded picture, prepared as the preset says

Each array is contiguous, little-endian, uncompressed and begins at a multiple of 64 bytes, so that loading maps the
file into memory and all processes of a machine share one copy.  `storage/hdf5_format.py` describes the container.  The digests
tell damage and truncation; whoever can write the file can also write its digests.
"""
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from npvgg import text
from npvgg.architecture import Architecture
from npvgg.checks import check_choice
from npvgg.counting import describe
from npvgg.errors import BadFileError, ShapeError, UsageError
from npvgg.parameters import sealed
from npvgg.projections import COUNT, Record
from npvgg.storage import half_precision, hdf5_reading, hdf5_writing, strict_json, verified_files
from npvgg.storage.hdf5_format import is_sha256
from npvgg.storage.identity import MappedFile
from npvgg.version import __version__

KIND = "npvgg weights"
ATTRIBUTES = ("format", "architecture", "preset", "source_name", "source_sha256", "notes", "converted_by", "created")
OPTIONAL_ATTRIBUTES = ("source_output",)      # not in the first files
OUTPUTS = ("logits", "probabilities")
LONGEST_LABEL = 4096          # bytes


@dataclass(frozen=True, eq=False)
class SelfTest:
    """A seeded input's answer in float64; another run may differ by `tolerance` × the largest |output|."""

    seed: int
    output: np.ndarray
    tolerance: float
    record: Record | None = None              # of the layers, the preparation and the names; not in the first files


@dataclass(frozen=True, eq=False)
class Weights:
    """What `read` returns.  The arrays are read-only and lie in the file, those of 16 bits as float32 in memory."""

    path: Path
    architecture: Architecture
    parameters: dict = field(repr=False)      # {"conv1_1/weight": array}, in the order of the layers
    preset_json: str
    class_names: tuple | None = field(repr=False)
    source_name: str
    source_sha256: str
    notes: str
    created: str
    converted_by: str
    self_test: SelfTest | None
    source_output: str
    file: MappedFile = field(repr=False)      # in which they lie


def write(path: str | bytes | os.PathLike, parameters: Mapping, *, architecture: Architecture, preset,
          class_names: Sequence[str] | None = None, source_name: str = "", source_sha256: str = "", notes: str = "",
          source_output: str = "logits", self_test: SelfTest | None = None, store: str = "float32",
          force: bool = False) -> Path:
    """Write {"conv1_1/weight": array} and what belongs to it as the weights file `path` → its Path.

    The arrays are float32 or float64, finite, and those of `architecture.parameters`.  `preset` is an images.Preset or
    its JSON.  `store` "float16" or "bfloat16" halves the file: see `stored`.
    The file is read back and verified before it gets its name; with SOURCE_DATE_EPOCH set, the same input gives the same bytes.
    Raises ShapeError, BadFileError (NaN or infinity), UsageError, StorageError.
    """
    for name, value in (("source_name", source_name), ("source_sha256", source_sha256), ("notes", notes)):
        if not isinstance(value, str):
            raise UsageError(f"{name} is {value!r:.80}; give text")
    arrays = stored(fitting(parameters, architecture), store)
    attributes = {
        "architecture": architecture.to_json(), "preset": preset_text(preset), "source_name": source_name,
        "source_sha256": source_sha256, "source_output": known_output(source_output), "notes": notes,
        "converted_by": f"npvgg {__version__}", "created": now(),
    }
    groups = {}
    if class_names is not None:
        arrays["labels"] = label_array(class_names, architecture)
    if self_test is not None:
        arrays["self_test/output"] = self_test_output(self_test, architecture)
        groups["self_test"] = {"seed": int(self_test.seed), "tolerance": float(self_test.tolerance)}
        if self_test.record is not None:
            arrays |= record_arrays(self_test.record, architecture)
            groups["record"] = {"seed": int(self_test.record.seed), "class_names": self_test.record.class_names}
    hdf5_writing.write(path, KIND, arrays, {"": attributes} | groups, force=force,
                      check=lambda temporary: read(temporary, verify=True))
    return Path(os.fsdecode(path))


def read(path: str | bytes | os.PathLike, *, verify: bool | str = "new") -> Weights:
    """A weights file → Weights, its arrays mapped into memory.

    The structure and the header are always checked.  The arrays' digests are checked with verify=True, not with False,
    and with "new" where this file (path, size, times, inode, header) has not passed before.  Raises BadFileError,
    HashMismatchError, UnsupportedError, StorageError; UsageError for another `verify`.
    """
    if not (isinstance(verify, bool) or isinstance(verify, str) and verify == "new"):
        raise UsageError(f"verify is {verify!r:.80}; give True, False or 'new'")
    contents, net = open_contents(path)
    if not verified_files.is_known(contents.memory.identity) if verify == "new" else verify:
        for name in net.parameters:
            contents.verify(name)
        verified_files.remember(contents.memory.identity)
    contents.memory.check_bytes()        # a whole new file under the name does no harm to what was read from this one
    header = contents.attributes[""]
    return Weights(
        path=Path(contents.path), architecture=net,
        parameters={name: computable(contents.array(name)) for name in net.parameters},
        preset_json=header["preset"], class_names=read_labels(contents), self_test=read_self_test(contents),
        source_output=header.get("source_output", OUTPUTS[0]), file=contents.memory,
        **{name: header[name] for name in ("source_name", "source_sha256", "notes", "created", "converted_by")})


def self_test_input(architecture: Architecture, seed: int) -> np.ndarray:
    """The input that a self-test of this seed is run on.

    (1, C, S, S) float32 standard normal numbers from PCG64(seed), C = architecture.input_channels, S = architecture.input_size.
    """
    shape = (1, architecture.input_channels, architecture.input_size, architecture.input_size)
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)


# ------------------------------------------------------------------------------------------------- checks on writing


def fitting(parameters: Mapping, net: Architecture) -> dict:
    """The arrays in the order of the layers; ShapeError or BadFileError with the first three that do not fit."""
    arrays = {name: np.asarray(array) for name, array in parameters.items()}
    problems = [f"{name} is missing" for name in net.parameters if name not in arrays]
    problems += [f"{name} is not one of its parameters" for name in arrays if name not in net.parameters]
    for name, shape in net.parameters.items():
        array = arrays.get(name)
        if array is not None and array.shape != shape:
            problems.append(f"{name} has shape {array.shape} instead of {shape}")
        elif array is not None and array.dtype not in (np.float32, np.float64):
            problems.append(f"{name} is {array.dtype} instead of float32 or float64")
    if problems:
        raise ShapeError(f"the parameters do not fit {net.name}: {text.listed(problems)}; "
                         "give the arrays of architecture.parameters")
    # The minimum of an array with a NaN in it is NaN, and infinity is a maximum or a minimum.
    wild = [name for name in net.parameters if not np.isfinite([arrays[name].min(), arrays[name].max()]).all()]
    if wild:
        raise BadFileError(f"NaN or infinity stands in {text.listed(wild)}; give finite parameters")
    return {name: arrays[name] for name in net.parameters}


def stored(arrays: Mapping, store: str) -> dict:
    """The parameters as a file keeps them: those of one axis stay as they are, the others become `store`.

    Biases and batch norms are few, and what is below 6·10⁻⁸ would be lost in float16.  UsageError that names the parameter
    where a number is too large for it.
    """
    check_choice("store", store, half_precision.STORES)
    found = {}
    for name, array in arrays.items():
        try:
            found[name] = half_precision.narrowed(array, store if array.ndim > 1 else half_precision.AS_IT_IS)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    return found


def computable(array: np.ndarray) -> np.ndarray:
    """An array that lies in a file → itself, or float32 in memory where it has 16 bits."""
    wide = half_precision.widened(array)
    return array if wide is array else sealed(wide)


def rounded(parameters: Mapping, store: str) -> dict:
    """The parameters as they are read again from a file that stores them so: a self-test is computed with these."""
    return {name: computable(array) for name, array in stored(parameters, store).items()}


def preset_text(preset) -> str:
    """An images.Preset or its JSON → its JSON; UsageError for any other text."""
    line = preset if isinstance(preset, str) else preset.to_json()
    try:
        is_object = isinstance(strict_json.read(line), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise UsageError(f"the preset {line[:80]!r} is not a JSON object; give images.preset(name) or its to_json()")
    return line


def known_output(name: str) -> str:
    """One of OUTPUTS; UsageError for any other."""
    if name not in OUTPUTS:
        raise UsageError(f"source_output is {name!r}; give one of {', '.join(OUTPUTS)}")
    return name


def label_array(class_names: Sequence[str], net: Architecture) -> np.ndarray:
    """Names → their UTF-8 bytes, padded with zeros to one length; UsageError unless there is a fit one for each class."""
    if isinstance(class_names, str) or len(class_names) != net.label_count:
        raise UsageError(f"{len(class_names)} class names were given for {net.label_count or 'no'} classes; give one for each")
    encoded = [str(label).encode("utf-8", "backslashreplace") for label in class_names]
    for label in encoded:
        if not is_label(label):
            raise UsageError(f"the label {label[:40].decode(errors='replace')!r} is empty, holds a control character or "
                             f"has more than {LONGEST_LABEL} bytes; give a name")
    return np.array(encoded, dtype=f"S{max(map(len, encoded))}")


def is_label(label: bytes) -> bool:
    """Whether UTF-8 is one line that a terminal may show: no control character, neither ASCII's nor those from U+0080 on."""
    return 0 < len(label) <= LONGEST_LABEL and not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]", label)


def self_test_output(self_test: SelfTest, net: Architecture) -> np.ndarray:
    """The answer as it is stored; ShapeError and UsageError for one that no run could be judged by."""
    if not isinstance(self_test, SelfTest):
        raise UsageError(f"self_test is {self_test!r:.80}; give a weights.SelfTest or None")
    output, shape = np.asarray(self_test.output, np.float64), answer_shape(net)
    if output.shape != shape or not np.isfinite(output).all():
        raise ShapeError(f"the self-test's output has shape {output.shape}; give finite numbers of shape {shape}")
    if not is_bound(self_test.seed, self_test.tolerance):
        raise UsageError(f"the self-test has seed {self_test.seed} and tolerance {self_test.tolerance}; "
                         "give a seed from 0 to 2⁶³ − 1 and a tolerance between 0 and 1")
    return output


def is_bound(seed: int, tolerance: float) -> bool:
    """Whether a run on the input of this seed can be judged by this tolerance."""
    return is_seed(seed) and isinstance(tolerance, (float, np.floating)) and 0 < tolerance < 1


def is_seed(seed: int) -> bool:
    """Whether a file can hold it, as a whole number."""
    return isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and 0 <= seed < 2**63


def record_arrays(record: Record, net: Architecture) -> dict:
    """The arrays of a Record as they are stored; ShapeError and UsageError for what no run could be compared with."""
    if not isinstance(record, Record):
        raise UsageError(f"the self-test's record is {record!r:.80}; give a projections.Record or None")
    arrays = {}
    for name, shape in record_shapes(net).items():
        array = np.asarray(getattr(record, name.partition("/")[2]), np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise ShapeError(f"{name} has shape {array.shape}; give finite numbers of shape {shape}")
        arrays[name] = array
    if not is_seed(record.seed) or not is_sha256(record.class_names):
        raise UsageError(f"the record has seed {record.seed} and the digest {record.class_names!r:.80} of the class names; "
                         "give a seed from 0 to 2⁶³ − 1 and a SHA-256")
    return arrays


def record_shapes(net: Architecture) -> dict:
    """{array of a Record: its shape} for this network."""
    return {"record/layers": (len(net.layers), COUNT), "record/picture": (1, COUNT)}


def answer_shape(net: Architecture) -> tuple:
    """The shape of the network's answer to one picture of its own size."""
    return (1, *describe(net)[-1].output_shape)


def now() -> str:
    """The time in UTC, or SOURCE_DATE_EPOCH, which makes a conversion reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH is {epoch!r}; give seconds since 1970 or unset it") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------------------------------------- checks on reading


def open_contents(path: str | bytes | os.PathLike) -> tuple[hdf5_reading.Contents, Architecture]:
    """A file whose structure and header are those of a weights file → (Contents, Architecture).  Errors: those of `read`."""
    nets = []

    def expected(attributes: dict) -> tuple:
        """The names of the arrays that the attributes ask for, and of those that may be there."""
        names = set(attributes) - set(OPTIONAL_ATTRIBUTES)
        if names != set(ATTRIBUTES) or not all(isinstance(value, str) for value in attributes.values()) \
                or attributes.get("source_output", OUTPUTS[0]) not in OUTPUTS:
            raise hdf5_reading.Malformed("its attributes are not those of a weights file")
        try:
            nets.append(Architecture.from_json(attributes["architecture"]))
        except BadFileError as error:
            raise BadFileError(f"{path}: {error}") from None
        return nets[0].parameters, ("labels", "self_test/output", *record_shapes(nets[0]))

    contents = hdf5_reading.read(path, KIND, expected)
    check_shapes(contents, nets[0])
    return contents, nets[0]


def check_shapes(contents: hdf5_reading.Contents, net: Architecture) -> None:
    """BadFileError with the first three arrays whose shapes or dtypes are not the network's."""
    problems, answers = [], {"self_test/output": answer_shape(net)} | record_shapes(net)
    for name, entry in contents.entries.items():
        if name == "labels":
            shape, right = (net.label_count,), entry.dtype.kind == "S"
        elif name in answers:
            shape, right = answers[name], entry.dtype == np.float64
        else:
            shape, right = net.parameters[name], entry.dtype.kind != "S"
        if entry.shape != shape or not right:
            problems.append(f"{name} is {half_precision.name_of(entry.dtype)} {entry.shape} and should have shape {shape}")
    groups = set(contents.attributes) - {""}
    if groups != {name.partition("/")[0] for name in contents.entries if name in answers}:
        problems.append(f"there are attributes on {text.listed(sorted(groups)) or 'no group'}")
    if problems:
        raise BadFileError(f"{contents.path} does not fit {net.name}: {text.listed(problems)}; "
                           "convert or download it again")


def read_labels(contents: hdf5_reading.Contents) -> tuple | None:
    """The names of the classes, None where the file has none; HashMismatchError, BadFileError."""
    if "labels" not in contents.entries:
        return None
    contents.verify("labels")
    labels = contents.array("labels").tolist()
    try:
        if not all(map(is_label, labels)):
            raise ValueError
        return tuple(label.decode() for label in labels)
    except ValueError:
        raise BadFileError(f"{contents.path}: its labels are not lines of UTF-8 text; convert it again") from None


def read_self_test(contents: hdf5_reading.Contents) -> SelfTest | None:
    """The self-test, None where the file has none; HashMismatchError, BadFileError."""
    if "self_test/output" not in contents.entries:
        if "record" in contents.attributes:
            raise BadFileError(f"{contents.path}: it has a record of a run and no self-test; convert it again")
        return None
    contents.verify("self_test/output")
    attributes = contents.attributes["self_test"]
    seed, tolerance = attributes.get("seed"), attributes.get("tolerance")
    if len(attributes) != 2 or not is_bound(seed, tolerance):
        raise BadFileError(f"{contents.path}: its self-test has no seed and tolerance to judge a run by; convert it again")
    output = contents.array("self_test/output").copy()
    if not np.isfinite(output).all():
        raise BadFileError(f"{contents.path}: the answer of its self-test is not finite; convert it again")
    return SelfTest(seed, sealed(output), tolerance, read_record(contents))


def read_record(contents: hdf5_reading.Contents) -> Record | None:
    """What a run gave when the file was written, None in a file of before that; HashMismatchError, BadFileError."""
    names = ("record/layers", "record/picture")
    if names[0] not in contents.entries:
        return None
    for name in names:
        contents.verify(name)
    attributes = contents.attributes["record"]
    seed, digest = attributes.get("seed"), attributes.get("class_names")
    if len(attributes) != 2 or not is_seed(seed) or not is_sha256(digest):
        raise BadFileError(f"{contents.path}: its record of a run has no seed and no digest of the class names; convert "
                           "it again")
    layers, picture = (contents.array(name).copy() for name in names)
    if not (np.isfinite(layers).all() and np.isfinite(picture).all()):
        raise BadFileError(f"{contents.path}: its record of a run is not finite; convert it again")
    return Record(seed, sealed(layers), sealed(picture), digest)
