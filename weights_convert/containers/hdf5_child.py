"""The process that opens another program's HDF5 file: python -I hdf5_child.py < FILE, with arrays on standard output.

    one line of JSON     {"attributes": {"group": {"name": text}}, "arrays": [[path, shape, dtype], …]}
                         or {"refused": what is wrong, "is_harmless": whether other programs' files may have it}
    then                 the bytes of each array, C order, little-endian

The HDF5 library is not made for hostile files, so it runs here: with limits on memory and time, without plugins, in an empty
folder, and on what is walked to by hard links alone.  Whatever leads outside the file, fills in what is not there, or unpacks
to more than it should is refused before anything is read.  It needs h5py and nothing of npvgg.
"""
import json
import math
import os
import sys

MOST_BYTES = 4 << 30                      # of all arrays together
MOST_INFLATED = 8                         # times its own size that a file may unpack to; weights hardly shrink
ROOM = 64 << 20                           # bytes that even a tiny file may unpack to
LARGEST_CHUNK = 64 << 20
MOST_OBJECTS = 2000
DEEPEST = 8
LONGEST_TEXT = 1 << 20
SECONDS = 120
FILTERS = {1, 2, 3}                       # gzip, shuffle, Fletcher-32
TEXTS = ("name", "model_config")          # attributes that the readers use


class Refused(Exception):
    """Something that the file must not have, as a clause about it."""


class NotRead(Refused):
    """Something that other programs' files may well have, and Keras' do not."""


def main():
    """Limit the process, then HDF5 on standard input → a line of JSON and the arrays' bytes on standard output."""
    import resource  # Unix only, while the constants above are read everywhere

    size = os.fstat(0).st_size
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"              # dynamic filters stay off
    os.environ.pop("HDF5_PLUGIN_PATH", None)
    import h5py

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES + (4 << 30),) * 2)
    answer, datasets = sys.stdout.buffer, None
    try:
        with os.fdopen(0, "rb") as file, h5py.File(file, "r") as root:
            attributes, datasets = walk(h5py, root, size)
            arrays = [[path, list(dataset.shape), dataset.dtype.newbyteorder("<").str] for path, dataset in datasets]
            answer.write(json.dumps({"attributes": attributes, "arrays": arrays}).encode() + b"\n")
            for _, dataset in datasets:
                send(dataset, answer)
    except Refused as error:
        answer.write(json.dumps({"refused": str(error), "is_harmless": isinstance(error, NotRead)}).encode() + b"\n")
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:                            # h5py raises whatever the library stumbled over
        if datasets is not None:
            raise
        reason = " ".join(str(error).split())[:120]
        answer.write(json.dumps({"refused": f"cannot be followed: {reason}"}).encode() + b"\n")
    answer.flush()


def walk(h5py, root, size):
    """The root group → ({group path: {name: text}}, [(path, dataset), …])."""
    attributes, datasets, seen, total = {}, [], set(), 0
    waiting = [("", root)]
    while waiting:
        path, group = waiting.pop(0)
        texts = {name: text(h5py, group, name) for name in TEXTS if name in group.attrs}
        if texts:
            attributes[path] = texts
        for name in group:
            inner = f"{path}/{name}" if path else name
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"has a link at {short(inner)}, which could lead anywhere")
            member = group[name]
            address = h5py.h5o.get_info(member.id).addr
            if address in seen or len(seen) > MOST_OBJECTS or inner.count("/") > DEEPEST:
                raise Refused(f"has groups in each other without end, at {short(inner)}")
            seen.add(address)
            if isinstance(member, h5py.Group):
                waiting.append((inner, member))
            elif isinstance(member, h5py.Dataset):
                total += check(inner, member, size)
                datasets.append((inner, member))
            else:
                raise NotRead(f"has something at {short(inner)} that is neither a group nor an array")
        if total > min(MOST_BYTES, MOST_INFLATED * size + ROOM):
            raise Refused(f"unpacks its {size:,} bytes to {total:,} or more")
    return attributes, datasets


def check(path, dataset, size):
    """The bytes of an array, after everything about it that could do harm."""
    creation, dtype = dataset.id.get_create_plist(), dataset.dtype
    if creation.get_external_count() or dataset.is_virtual:
        raise Refused(f"keeps {short(path)} in another file")
    if dtype.kind not in "fiu" or dtype.itemsize > 8 or dtype.metadata:
        raise NotRead(f"holds something other than numbers at {short(path)}")
    if dataset.shape is None or len(dataset.shape) > 8:
        raise Refused(f"has no array at {short(path)}")
    wanted, stored = math.prod(dataset.shape) * dtype.itemsize, dataset.id.get_storage_size()
    filters = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
    if not filters <= FILTERS:
        raise NotRead(f"packs {short(path)} with a filter that npvgg does not know")
    if dataset.chunks is None and stored != wanted:
        raise Refused(f"has {stored:,} of the {wanted:,} bytes of {short(path)}")
    if dataset.chunks is not None:
        chunk = math.prod(dataset.chunks) * dtype.itemsize
        needed = math.prod(-(-side // step) for side, step in zip(dataset.shape, dataset.chunks))
        if chunk > LARGEST_CHUNK or dataset.id.get_num_chunks() != needed or wanted > MOST_BYTES:
            raise Refused(f"lacks chunks of {short(path)}, or has them too large")
    if stored > size:
        raise Refused(f"is shorter than {short(path)}")
    return wanted


def text(h5py, group, name):
    """An attribute that is one text."""
    attribute = h5py.h5a.open(group.id, name.encode())
    if attribute.get_space().get_simple_extent_npoints() != 1 or attribute.get_storage_size() > LONGEST_TEXT:
        raise Refused(f"has an attribute {name} that is not one text")
    if not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
        raise Refused(f"has an attribute {name} that is not a text")
    value = group.attrs[name]
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return value[:LONGEST_TEXT]


def send(dataset, answer):
    """The bytes of an array, a stretch of its first axis at a time."""
    import numpy as np

    little = dataset.dtype.newbyteorder("<")
    if not dataset.shape or not dataset.size:
        answer.write(np.asarray(dataset[()], little).tobytes())
        return
    rows = max(1, (16 << 20) * dataset.shape[0] // max(1, dataset.size * little.itemsize))
    for start in range(0, dataset.shape[0], rows):
        answer.write(np.ascontiguousarray(dataset[start:start + rows], little))


def short(path):
    """The beginning of a path, escaped to ASCII, for a message."""
    return ascii(path[:80])


if __name__ == "__main__":
    main()
