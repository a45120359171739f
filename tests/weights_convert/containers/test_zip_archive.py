"""ZIP archives whose two halves tell different stories, or that hide something."""
import struct
import zlib

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import Entry, archive, changed, tensor
from witnesses.pickle_builder import pickle
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError
from weights_convert.containers import zip_archive

SIX = np.arange(6, dtype="f4")
PICKLED = pickle(builder.resolve({"w": tensor("0", (2, 3))}, "zip"))
RECORDS = builder.records(PICKLED, {"0": SIX})
HONEST = archive(RECORDS)
VALUES = [[0, 1, 2], [3, 4, 5]]


def deflated(entry):
    return zlib.compress(entry.data)[2:-4]


def with_data(**changes):
    return archive(changed(RECORDS, "data/0", **changes))


def wide_descriptor(entry):
    return struct.pack("<4sI2Q", b"PK\7\x08", zlib.crc32(entry.data), len(entry.data), len(entry.data))


START = HONEST.index(b"archive/data/0") - 30              # of the header of data/0
FULL = 0xFFFFFFFF


GOOD = {
    "as PyTorch writes it": HONEST,
    "without zip64 records": archive(RECORDS, zip64=False),
    "without descriptors": archive([Entry(entry.name, entry.data, flags=0, padding=0) for entry in RECORDS]),
    "records unaligned": archive([Entry(entry.name, entry.data, padding=0) for entry in RECORDS]),
    "descriptors with 64-bit sizes": archive([Entry(entry.name, entry.data, descriptor=wide_descriptor(entry))
                                              for entry in RECORDS]),
    "another prefix": archive(builder.records(PICKLED, {"0": SIX}, prefix="größe 3")),
    "sizes in a zip64 field": with_data(central={"size": FULL, "compressed": FULL,
                                                 "extra": struct.pack("<2H2Q", 1, 16, 24, 24)}),
    "offset in a zip64 field after another": with_data(central={
        "header": FULL, "extra": struct.pack("<2H2x2HQ", 0xCAFE, 2, 1, 8, START)}),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_reads(data):
    assert read(data).tensors["w"].tolist() == VALUES


BAD = {
    "not at byte 0": (b"\0" * 64 + HONEST, "zeros|bytes 00"),
    "something in front": (archive(RECORDS, front=b"PK\3\4" + b"\0" * 60), "starts at byte"),
    "something behind": (HONEST + b"\0", "end record"),
    "a comment": (archive(RECORDS, comment=b"hello"), "end record"),
    "a comment with a second end record": (archive(RECORDS, comment=HONEST[-22:]), "central directory|zip64"),
    "two archives": (HONEST + HONEST, "end record|central directory"),
    "cut": (HONEST[:-30], "end record"),
    "a record twice": (archive([*RECORDS, RECORDS[0]]), "same name"),
    "the pickle twice, another content": (archive([*RECORDS, Entry("archive/data.pkl", pickle({}))]), "same name"),
    "another prefix": (archive([*RECORDS, Entry("other/data/1", b"")]), "outside"),
    "no prefix": (archive([*RECORDS, Entry("data", b"")]), "outside"),
    "hidden bytes between records": (with_data(gap=b"hidden"), "instead of"),
    "hidden bytes before the directory": (archive([*RECORDS, Entry("archive/x", b"", gap=b"hidden")]),
                                          "directory starts"),
    "overlapping records": (with_data(central={"header": 0}), "starts at byte 0 instead of"),
    "header past the end": (with_data(central={"header": 1 << 30}), "starts at byte"),
    "record over the directory": (with_data(central={"size": 3000, "compressed": 3000}), "ends behind"),
    "other name in the header": (with_data(local={"name": b"archive/data/1"}), "described differently"),
    "other flags in the header": (with_data(local={"flags": 0}), "described differently"),
    "other method in the header": (with_data(local={"method": 8}), "described differently"),
    "other size in the header": (with_data(local={"size": 20, "compressed": 20, "crc": 0}), "described differently"),
    "other checksum in the header": (with_data(flags=0x800, local={"crc": 5}), "described differently"),
    "other size in the directory": (with_data(central={"size": 20, "compressed": 20}), "differently|instead of"),
    "other compressed size": (with_data(central={"compressed": 20}), "compressed"),
    "other checksum in the descriptor": (with_data(descriptor=struct.pack("<4s3I", b"PK\7\x08", 1, 24, 24)),
                                         "differently"),
    "no descriptor": (with_data(descriptor=b""), "differently"),
    "descriptor without signature": (with_data(descriptor=struct.pack("<3I", zlib.crc32(SIX.tobytes()), 24, 24)),
                                     "differently"),
    "compressed": (archive(changed(RECORDS, "data.pkl", data=deflated(RECORDS[0]), method=8)), "is compressed"),
    "compressed, as large as before": (with_data(method=8), "is compressed"),
    "encrypted": (with_data(flags=0x809), "encrypted"),
    "patched": (with_data(flags=0x828), "encrypted or patched"),
    "strongly encrypted": (with_data(flags=0x848), "encrypted or patched"),
    "wrong checksum": (with_data(crc=5), "CRC-32"),
    "wrong checksum of the pickle": (archive(changed(RECORDS, "data.pkl", crc=5)), "CRC-32"),
    "wrong checksum of the byte order": (archive(changed(RECORDS, "byteorder", crc=5)), "CRC-32"),
    "half an entry in the directory": (archive(RECORDS, directory_tail=b"PK\1\2" + bytes(9)), "directory cannot"),
    "count in the end record": (archive(RECORDS, end={"count": 3}), "counts 3"),
    "endless count": (archive(RECORDS, end={"count": 2**63}), "is the most"),
    "length of the directory": (archive(RECORDS, end={"length": 5}), "central directory"),
    "start of the directory": (archive(RECORDS, end={"start": 5}), "central directory"),
    "start past the end": (archive(RECORDS, end={"start": 2**64 - 1}), "central directory"),
    "length 2^64-1": (archive(RECORDS, end={"length": 2**64 - 1}), "the most|central directory"),
    "end records disagree": (HONEST[:-22] + archive(RECORDS, end={"count": 3})[-22:], "disagree"),
    "zip64 without a locator": (archive(RECORDS, zip64=False, end={"start": 0xFFFFFFFF}), "zip64"),
    "sizes promised in a zip64 field": (with_data(central={"size": FULL, "compressed": FULL}), "zip64 sizes"),
    "zip64 sizes of 2^64-1": (with_data(central={"size": FULL, "compressed": FULL,
                                                 "extra": struct.pack("<2H2Q", 1, 16, 2**64 - 1, 2**64 - 1)}),
                              "ends behind"),
    "20 001 records": (archive([Entry(f"archive/{n}", b"", flags=0, padding=0) for n in range(20_001)]), "is the most"),
}


@pytest.mark.parametrize("data, text", BAD.values(), ids=BAD)
def test_refused(data, text):
    message = refusal(data, BadFileError)
    assert any(part in message for part in text.split("|")), message


@pytest.mark.parametrize("name", [
    "archive/../data/0", "../archive/x", "/etc/passwd", "archive//x", "archive/./x", "archive\\x", "archive/a\0b",
    "archive/\x1b[2J", "archive/", "", "archive/" + "x" * 1100, b"archive/\xff\xfe",
])
def test_name_that_leads_out_is_refused(name):
    raw = name if isinstance(name, bytes) else name.encode()
    entry = Entry("archive/x", b"", local={"name": raw}, central={"name": raw})
    assert "record with the name" in refusal(archive([*RECORDS, entry]))


def test_the_longest_name_there_is():
    raw = b"archive/" + b"x" * 65_000
    entry = Entry("x", b"", local={"name": raw}, central={"name": raw})
    assert "record with the name" in refusal(archive([*RECORDS, entry]))


# Bytes of each header that mean nothing to a reader: versions, time and date, attributes.
FREE = {
    b"PK\3\4": (30, {4, 5, *range(10, 14)}),
    b"PK\1\2": (46, {*range(4, 8), *range(12, 16), *range(36, 42)}),
    b"PK\6\6": (56, {*range(12, 16)}),
    b"PK\6\7": (20, set()),
    b"PK\5\6": (22, set()),
    b"PK\7\x08": (16, set()),
}


@pytest.mark.parametrize("signature", FREE)
def test_each_bit_of_each_header_counts(signature):
    """Of the last header of each kind; the name after it counts as well."""
    length, free = FREE[signature]
    start = HONEST.rindex(signature)
    name = 20 if signature in (b"PK\3\4", b"PK\1\2") else 0
    for byte in range(length + name):
        for bit in range(8):
            data = bytearray(HONEST)
            data[start + byte] ^= 1 << bit
            if byte in free:
                assert read(bytes(data)).tensors["w"].tolist() == VALUES
            else:
                refusal(bytes(data), BadFileError)


def test_each_bit_of_the_first_header_of_the_directory_counts():
    start = HONEST.index(b"PK\1\2")
    for byte in {*range(46)} - FREE[b"PK\1\2"][1]:
        for bit in range(8):
            data = bytearray(HONEST)
            data[start + byte] ^= 1 << bit
            refusal(bytes(data), BadFileError)


@pytest.mark.parametrize("length", [4, 21, 22, 30, 97, 98])
def test_beginnings_of_an_archive(length):
    refusal(HONEST[:length], BadFileError)
    refusal(b"PK\3\4" + HONEST[-length:], BadFileError)


def test_long_directory(monkeypatch):
    monkeypatch.setattr(zip_archive, "LARGEST_DIRECTORY", 100)
    assert "is the most" in refusal(HONEST)
