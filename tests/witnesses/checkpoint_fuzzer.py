"""Checkpoints, mutated at random, and what the reader makes of them.

    PYTHONPATH=.:tests python -m witnesses.checkpoint_fuzzer SECONDS [SEED]

Runs in a process of its own, whose memory is limited, and prints one line of JSON.  A mutant may be refused with an
npvgg error or be read; anything else is an escape:

    another exception      kept in "escapes", with the seed and number of the mutant
    an audit event         an import, a call of the system, any opened file
    other weights          of an archive that was read, unless the mutation gave it fresh checksums
    broken arrays          not contiguous, not aligned, or larger together than twice the file and 64 MiB
"""
import hashlib
import io
import json
import random
import resource
import sys
import time
from pathlib import Path

import numpy as np
from witnesses import checkpoint_builder as builder
from witnesses.audit import watching
from witnesses.checkpoint_builder import StorageId, TensorCall, tensor
from witnesses.pickle_builder import build, call, framed, new, opcodes, pickle, reference, set_items

from npvgg.errors import NpvggError
from weights_convert.formats import pytorch

MEMORY = 400 << 20                        # bytes of address space beyond what the imports took

NUMBERS = np.random.default_rng(3)
F4 = NUMBERS.standard_normal(54).astype("f4")


def seeds():
    """(program, storages) of the kinds of checkpoint there are."""
    yield builder.state_dict({"features.0.weight": F4.reshape(2, 3, 3, 3), "features.0.bias": F4[:2],
                              "classifier.0.weight": F4[:15].reshape(5, 3)})
    yield builder.state_dict({"features.1.running_var": F4[:4], "features.1.num_batches_tracked": np.array(7)})
    yield builder.state_dict({"h": F4[:6].astype("f2"), "d": F4[:3].astype("f8"), "b": F4[:5] > 0,
                              "i": np.arange(4, dtype="i2")})
    yield {"w": tensor("0", (2, 3, 3, 3), stride=(27, 1, 9, 3)), "u": tensor("1", (4,), cls="BFloat16Storage")}, {
        "0": F4, "1": np.arange(4, dtype="u2")}
    yield {"a": tensor("0", (54,)), "b": tensor("0", (3, 5), numel=54, offset=7, stride=(1, 3))}, {"0": F4}
    program, storages = builder.state_dict({"w": F4[:6].reshape(2, 3)})
    scalar = call("numpy.core.multiarray", "scalar", call("numpy", "dtype", "f8"), "x")
    junk = {"epoch": 90, "arch": "vgg16", "best": 71.5, "args": build(new("argparse", "Namespace"), {"lr": 0.1}),
            "meta": {"CLASSES": ["ant", "bee"], "lr": scalar},
            "optimizer": {"state": {0: {"momentum_buffer": tensor("0", (6,))}}}}
    yield junk | {"state_dict": program}, storages
    yield {"w": builder.old_tensor("0", (9, 6)), "p": builder.old_parameter("1", (2,))}, {"0": F4, "1": F4[:2]}
    shorts = TensorCall(StorageId("0", 108, "UntypedStorage"), (54,), (1,), function="_rebuild_tensor_v3",
                        rest=(False, builder.EMPTY, reference("torch", "uint16")))
    yield {"w": shorts}, {"0": np.arange(108, dtype="u1")}
    yield whole_network()
    yield builder.Late(lambda at: build(builder.EMPTY + set_items(builder.resolve(program, at)), {"_metadata": {}})), (
        storages)


def module(name, modules=(), parameters=(), **attributes):
    """The opcodes of a module of torch.nn."""
    package, _, cls = f"torch.nn.modules.{name}".rpartition(".")
    return build(new(package, cls), {"_parameters": dict(parameters), "_buffers": {}, "_modules": dict(modules)} | attributes)


def whole_network():
    """A small network that was pickled as a whole, with a module of most kinds."""
    def opcodes_at(at):
        conv = module("conv.Conv2d", parameters={"weight": tensor("0", (2, 3, 3, 3)).opcodes(at)}, kernel_size=(3, 3),
                      padding=(1, 1), stride=(1, 1), out_channels=2, padding_mode="zeros")
        parts = [conv, module("batchnorm.BatchNorm2d", eps=1e-3), module("activation.ReLU"),
                 *[module("pooling.MaxPool2d", kernel_size=2, stride=2, padding=0)] * 5,
                 module("pooling.AdaptiveAvgPool2d", output_size=(2, 2)), module("flatten.Flatten", start_dim=1),
                 module("dropout.Dropout", p=0.3), module("linear.Linear", in_features=8, out_features=5),
                 module("activation.Softmax", dim=1)]
        return module("container.Sequential", {str(number): part for number, part in enumerate(parts)})

    return builder.Late(opcodes_at), {"0": F4}


def plain_pickles():
    """Pickles in which each storage is a legacy stream."""
    storage = builder.legacy(pickle(StorageId("7", 6).opcodes("legacy")), {"7": F4[:6]})
    for push in (b"B" + len(storage).to_bytes(4, "little"), b"\x8e" + len(storage).to_bytes(8, "little")):
        loaded = call("torch.storage", "_load_from_bytes", push + storage)
        made = call("torch._utils", "_rebuild_tensor_v2", loaded, 0, (2, 3), (3, 1), False, builder.EMPTY)
        yield pickle({"state_dict": {"w": made, "v": made}}, 4)


SNIPPETS = [
    call("os", "system", "true"), call("builtins", "eval", "1"), call("torch", "load", "x"), call("my.code", "run", 1),
    b"(", b"t", b"R", b"b", b"Q", b"0", b"2", b"\x81", b"u", b"s", b"e", b"a", b"N", b"]", b"}", b")", b".", b"\x88",
    b"h\0", b"q\0", b"j\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"X\xff\xff\xff\xff", b"\x8a\xff", b"K\xff",
    b"M\xff\xff", b"J\xff\xff\xff\xff", b"G\x7f\xf8\0\0\0\0\0\0", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    opcodes((0, 0)), opcodes((2**40, 2**40)), opcodes("../x"), opcodes("\0"),
    b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f",
]


def mutate(data, rng, others):
    """Some bytes → other bytes: one to four small changes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 30))
        choice = rng.randrange(9)
        if choice <= 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif choice == 2:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif choice == 3:
            del data[at:at + length]
        elif choice == 4:
            data[at:at] = data[at:at + length]
        elif choice == 5:
            data[at:at + rng.choice((0, length))] = rng.choice(SNIPPETS)
        elif choice == 6:
            data[at:at + length] = rng.randbytes(length)
        elif choice == 7:
            start = rng.randrange(len(data) + 1)
            data[at:at + length] = data[start:start + length]
        else:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[at:at + length] = other[start:start + length]
        if not data:
            break
    return bytes(data)


def fingerprint(found):
    plain = [(name, x.dtype.str, x.shape, x.tobytes()) for name, x in found.tensors.items()]
    return hashlib.sha256(repr(plain).encode()).digest()


def read(data):
    return pytorch.read(io.BytesIO(data), len(data))


def mutants(rng):
    """Endless (bytes, fingerprint that they must have if they are read, or None)."""
    files, parts, honest = [], [], set()
    for program, storages in seeds():
        for container in builder.CONTAINERS:
            for protocol in (2, 4):
                pickled = pickle(builder.resolve(program, container), protocol)
                pickled = framed(pickled) if protocol == 4 else pickled
                whole = assemble(container, pickled, storages)
                honest.add(fingerprint(read(whole)))
                files.append((container, whole))
                parts.append((container, pickled, storages))
    files += [("plain", data) for data in plain_pickles()]
    every_file, every_pickle = [data for _, data in files], [pickled for _, pickled, _ in parts]
    while True:
        if rng.random() < 0.5:
            container, whole = rng.choice(files)
            yield mutate(whole, rng, every_file), honest if container == "zip" else None
        else:                             # the pickle alone, so that checksums and lengths around it are right
            container, pickled, storages = rng.choice(parts)
            yield assemble(container, mutate(pickled, rng, every_pickle), storages), None


def assemble(container, pickled, storages):
    if container == "legacy":
        return builder.legacy(pickled, storages)
    return builder.archive(builder.records(pickled, storages))


def broken(found, data):
    arrays = found.tensors.values()
    sound = all(isinstance(x, np.ndarray) and x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative
                for x in arrays)
    return not sound or sum(x.nbytes for x in arrays) > 4 * len(data) + (64 << 20)


def run(seconds, seed):
    source = mutants(random.Random(seed))
    next(source)                          # reads the honest files, so that all is imported that will be
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY,) * 2)
    count = accepted = 0
    spent, worst, escapes = 0.0, 0.0, []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(escapes) < 5:
        data, honest = next(source)
        count += 1
        found, escape = None, None
        start = time.process_time()
        with watching() as seen:
            try:
                found = read(data)
            except NpvggError as error:
                escape = None if str(error).isprintable() else f"message {str(error)!r}"
            except BaseException as error:
                escape = repr(error)
        elapsed = time.process_time() - start
        spent, worst = spent + elapsed, max(worst, elapsed)
        if found is not None:
            accepted += 1
            if honest is not None and fingerprint(found) not in honest:
                escape = "an archive was read with other weights"
            elif broken(found, data):
                escape = "broken arrays"
        if seen:
            escape = f"audit events {seen[:3]}"
        if escape:
            escapes.append({"what": escape, "seed": seed, "number": count, "data": data.hex()[:4000]})
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return {"mutants": count, "accepted": accepted, "per_cpu_second": round(count / max(spent, 1e-9)),
            "worst_cpu_ms": round(1e3 * worst, 1), "growth_mib": growth, "escapes": escapes}


def address_space():
    """Bytes of address space in use; 0 is never right, so a system without /proc gets no tight limit."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 8 << 30


if __name__ == "__main__":
    print(json.dumps(run(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
