"""What PyTorch puts into the archive: the pickle, the storages, the byte order."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import Entry, archive, changed, tensor
from witnesses.pickle_builder import pickle
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers import opcodes

SIX = np.arange(6, dtype="f4")
PICKLED = pickle(builder.resolve({"w": tensor("0", (2, 3))}, "zip"))
RECORDS = builder.records(PICKLED, {"0": SIX})


def without(name):
    return [entry for entry in RECORDS if not entry.name.endswith("/" + name)]


def test_the_order_of_the_records_is_free():
    assert read(archive(RECORDS[::-1])).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_pytorch_1_6_wrote_fewer_records():
    pickled = pickle(builder.resolve({"w": tensor("94032123456789", (2, 3))}, "zip"))
    records = {"data.pkl": pickled, "data/94032123456789": SIX.tobytes(), "version": b"3\n"}
    entries = [Entry(f"vgg/{name}", content) for name, content in records.items()]
    assert read(archive(entries)).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_unread_records_may_be_anything():
    assert read(archive([*RECORDS, Entry("archive/notes.txt", b"hello", crc=1)])).tensors


@pytest.mark.parametrize("entries, error, text", {
    "no pickle": (without("data.pkl"), BadFileError, "without data.pkl"),
    "no records": ([Entry("archive/x", b"")], BadFileError, "without data.pkl"),
    "NumPy archive": ([Entry("a.npy", b""), Entry("b.npy", b"")], BadFileError, "NumPy .npz"),
    "compressed NumPy archive": ([Entry("a.npy", b"", method=8)], BadFileError, "NumPy .npz"),
    "Keras model": ([Entry("config.json", b"{}"), Entry("model.weights.h5", b"")], BadFileError, "Keras"),
    "document": ([Entry("word/document.xml", b""), Entry("_rels/.rels", b"")], BadFileError, "without data.pkl"),
    "by macOS": ([*RECORDS, Entry("__MACOSX/archive/._data.pkl", b"x")], BadFileError, "again by macOS"),
    "packed": ([Entry("folder/net.pth", archive(RECORDS))], BadFileError, "'folder/net.pth' in it, to be unpacked"),
    "torch.export": ([Entry("net/archive_format", b"pt2"), Entry("net/data/weights/w", b"")], UnsupportedError, "torch.export"),
    "torch.export, older": ([Entry("serialized_exported_program.json", b"{}")], UnsupportedError, "torch.export"),
    "nested zip": ([Entry("archive/data.pkl", archive(RECORDS))], BadFileError, "no pickle of protocol"),
    "TorchScript": ([*RECORDS, Entry("archive/constants.pkl", b"")], UnsupportedError, "TorchScript"),
    "TorchScript code": ([*RECORDS, Entry("archive/code/net.py", b"")], UnsupportedError, "TorchScript"),
    "storage missing": (without("data/0"), BadFileError, "lacks the record data/0"),
    "storage too short": (changed(RECORDS, "data/0", data=SIX.tobytes()[4:]), BadFileError, "20 bytes instead of 24"),
    "storage too long": (changed(RECORDS, "data/0", data=bytes(25)), BadFileError, "25 bytes instead of 24"),
    "storage of nobody": ([*RECORDS, Entry("archive/data/1", b"")], BadFileError, "data/1, which no tensor uses"),
    "unknown byte order": (changed(RECORDS, "byteorder", data=b"middle"), BadFileError, "b'middle'"),
    "long byte order": (changed(RECORDS, "byteorder", data=b"little" * 9), BadFileError, "16 is the most"),
    "text for a pickle": (changed(RECORDS, "data.pkl", data=b"hello"), BadFileError, "no pickle of protocol"),
    "empty pickle": (changed(RECORDS, "data.pkl", data=b""), BadFileError, "ends too early"),
}.values(), ids=lambda value: value if isinstance(value, str) else "")
def test_refused(entries, error, text):
    assert text in refusal(archive(entries), error)


def test_pickle_of_more_than_64_mib(monkeypatch):
    monkeypatch.setattr(opcodes, "PICKLE_BYTES", len(PICKLED) - 1)
    assert f"has {len(PICKLED)} bytes" in refusal(archive(RECORDS))


def test_checksum_false_reads_what_was_saved_without():
    data = archive(changed(RECORDS, "data/0", crc=5))
    assert read(data, checksum=False).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert "CRC-32 of the records was not checked" in read(data, checksum=False).remarks[0]


def test_big_endian_elements_are_swapped():
    entries = changed(RECORDS, "data/0", data=SIX.astype(">f4").tobytes())
    found = read(archive(changed(entries, "byteorder", data=b"big"))).tensors["w"]
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]] and found.dtype == np.dtype("<f4")


def test_untyped_big_endian_storage_is_not_supported():
    pickled = pickle(builder.resolve({"w": tensor("0", (24,), cls="UntypedStorage")}, "zip"))
    entries = changed(builder.records(pickled, {"0": SIX}), "byteorder", data=b"big")
    assert "big-endian" in refusal(archive(entries), UnsupportedError)
