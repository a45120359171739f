"""The pickle machine: the opcodes that checkpoints use, against Python's own pickler, and those they must not use."""
import io
import pickle as python_pickle
import re
import struct

import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import build, call, framed, new, opcodes, pickle, python2
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError
from weights_convert.containers import opcodes as machine

STORAGES = {"0": builder.np.arange(6, dtype="f4")}
WEIGHT = tensor("0", (2, 3))

VALUES = [
    None, True, False, 0, 255, 256, 65535, 65536, -1, -2**31, 2**31, 2**40, -2**63, 2**200, -2**600, 0.1, -1e300,
    "", "text", "größe", "x" * 300, "x" * 4096, b"", b"\x00\xff", b"x" * 300,
    (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], {}, {"a": 1},
    list(range(2500)), {str(n): n for n in range(2500)}, {"a": [{"b": ((), [None])}]},
    [("same",), ["other"]] * 3, [f"{n}" * 300 for n in range(300)],           # the last one fills several frames
]


def load(program, start=0):
    return machine.load(io.BytesIO(program), start, len(program))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_reads_what_python_pickles(value, protocol):
    if protocol == 2 and isinstance(value, bytes):
        pytest.skip("protocol 2 writes bytes as a call")
    written = python_pickle.dumps(value, protocol)
    found, end = load(written)
    if isinstance(found, machine.Stretch):                     # many bytes stay in the file
        found = written[found.start:found.start + found.size]
    assert found == value and type(found) is type(value) and end == len(written)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_memo_keeps_identity(protocol):
    inner = ["a" * 20]
    found, _ = load(python_pickle.dumps([inner, inner, {"k": inner}], protocol))
    assert found[0] is found[1] is found[2]["k"]


def test_several_pickles_in_one_buffer():
    buffer = b"....." + pickle([1]) + pickle("b") + b"rest"
    first, at = load(buffer, 5)
    second, at = load(buffer, at)
    assert (first, second, buffer[at:]) == ([1], "b", b"rest")


def test_only_text_keys_are_kept():
    """Of all others it is kept that there were some."""
    found = load(python_pickle.dumps({1: "a", "b": 2, None: 3, (1, 2): 4, b"c": 5}, 4))[0]
    assert found == {"b": 2, machine.OTHER_KEYS: None}


@pytest.mark.parametrize("program, expected", [(python2("abc"), "abc"), (python2("a\xff"), b"a\xff"),
                                               (b"T" + struct.pack("<I", 3) + b"abc", "abc")])
def test_strings_of_python_2(program, expected):
    assert load(pickle(program))[0] == expected


def test_long_text_is_not_decoded():
    for opcode in b"X", b"T", b"B":
        program = pickle(opcode + struct.pack("<I", 200_000) + b"x" * 200_000)
        found, end = load(program)
        assert not isinstance(found, (str, bytes)) and end == len(program)


# Opcodes after PROTO 2 and before STOP → what the refusal says.  Each is tried in both containers.
REFUSED = {
    "INST": (b"(ios\nsystem\n", "INST"),
    "OBJ": (b"(cargparse\nNamespace\no", "OBJ"),
    "NEWOBJ_EX": (b"cargparse\nNamespace\n)}\x92", "NEWOBJ_EX"),
    "EXT1": (b"\x82\x01", "EXT1"),
    "EXT2": (b"\x83\x01\x00", "EXT2"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "EXT4"),
    "PERSID": (b"P0\n", "PERSID"),
    "POP": (b"NN0", "POP"),
    "POP_MARK": (b"N(1", "POP_MARK"),
    "DUP": (b"]2a", "DUP"),
    "INT": (b"I1\n", "INT"),
    "LONG": (b"L1L\n", "LONG"),
    "FLOAT": (b"F1.0\n", "FLOAT"),
    "STRING": (b"S'a'\n", "STRING"),
    "UNICODE": (b"Va\n", "UNICODE"),
    "GET": (b"]p0\ng0\n", "PUT"),
    "LIST": (b"(l", "LIST"),
    "DICT": (b"(d", "DICT"),
    "LONG4": (b"\x8b\x01\x00\x00\x00\x01", "LONG4"),
    "BINUNICODE8": (b"\x8d" + struct.pack("<Q", 1) + b"a", "BINUNICODE8"),
    "BYTEARRAY8": (b"\x96" + struct.pack("<Q", 1) + b"a", "BYTEARRAY8"),
    "NEXT_BUFFER": (b"\x97", "NEXT_BUFFER"),
    "READONLY_BUFFER": (b"N\x98", "READONLY_BUFFER"),
    "a second PROTO": (b"\x80\x02N", "PROTO"),
    "an unknown opcode": (b"\xfe", "0xfe"),
    "a module that is not text": (b"K\x01X\x01\x00\x00\x00a\x93", "not a text"),
    "a name that is not text": (b"X\x01\x00\x00\x00aN\x93", "not a text"),
    "a call without a tuple": (b"cargparse\nNamespace\n]R", "no name"),
    "a call of a number": (b"K\x01)R", "no name"),
    "a call of an object": (b"cargparse\nNamespace\n)R)R", "no name"),
    "an object without a tuple": (b"cargparse\nNamespace\n}\x81", "no name"),
    "BUILD on a tuple": (b")}b", "state of a tuple"),
    "BUILD on a text": (b"X\x01\x00\x00\x00a}b", "state of a str"),
    "BUILD on a list": (b"]}b", "state of a list"),
    "BUILD on a name": (b"cargparse\nNamespace\n}b", "state of a Reference"),
    "APPEND to a tuple": (b")Na", "appends to a tuple"),
    "APPEND to a dictionary": (b"}Na", "appends to a dict"),
    "APPEND to a text": (b"X\x01\x00\x00\x00aNa", "appends to a str"),
    "APPENDS to None": (b"N(Ne", "appends to a NoneType"),
    "SETITEM on a list": (b"]NNs", "item of a list"),
    "SETITEM on a number": (b"K\x01NNs", "item of a int"),
    "SETITEMS with an odd number": (b"}(Nu", "key without a value"),
    "ADDITEMS to a list": (b"](N\x90", "as if it were a set"),
    "a list as a key": (b"}]Ns", "list as a key"),
    "a dictionary as a key": (b"}}Ns", "dict as a key"),
    "PUT on an empty stack": (b"q\x00", "not there"),
    "PUT on a MARK": (b"(q\x00", "not there"),
    "MEMOIZE on a MARK": (b"(\x94", "not there"),
    "TUPLE2 of one": (b"N\x86", "not there"),
    "TUPLE2 across a MARK": (b"N(N\x86", "not there"),
    "TUPLE without MARK": (b"Nt", "did not begin"),
    "SETITEMS without MARK": (b"}u", "did not begin"),
    "GET of an unknown number": (b"h\x07", "never stored"),
    "GET of the next number": (b"Nq\x00h\x01", "never stored"),
    "GET of a gap": (b"Nq\x05h\x03", "never stored"),
    "a huge memo number": (b"Nr\xff\xff\xff\xff", "4,294,967,295"),
    "GET of a huge number": (b"j\xff\xff\xff\xff", "never stored"),
    "text longer than the file": (b"X\xff\xff\xff\xffabc", "ends too early"),
    "bytes longer than the file": (b"B\xff\xff\xff\xffabc", "ends too early"),
    "text that is not UTF-8": (b"X\x02\x00\x00\x00\xff\xfe", "not UTF-8"),
    "half a number": (b"J\x01", "ends too early|2 values"),
    "two values": (b"NN", "2 values instead of one"),
    "no value": (b"", "0 values instead of one"),
    "an open MARK": (b"(N", "instead of one"),
    "a frame in a frame": (struct.pack("<cQcQ", b"\x95", 12, b"\x95", 1) + b"NN", "frame in a frame"),
    "a frame longer than the file": (b"\x95" + struct.pack("<Q", 1 << 62) + b"N", "longer than the file"),
    "an opcode across the end of a frame": (b"\x95" + struct.pack("<Q", 2) + b"X\x01\x00\x00\x00a", "end of its frame"),
    "STOP in a frame": (b"\x95" + struct.pack("<Q", 3) + b"N.N", "before the end of its frame"),
}


def in_container(container, pickled, storages=None):
    if container == "legacy":
        return builder.legacy(pickled, storages or {})
    return builder.archive(builder.records(pickled, storages or {}))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("program, text", REFUSED.values(), ids=REFUSED)
def test_refused(program, text, container):
    assert re.search(text, refusal(in_container(container, b"\x80\x02" + program + b"."), BadFileError))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("protocol", [0, 1, 6, 255])
def test_other_protocols_are_refused(protocol, container):
    refusal(in_container(container, b"\x80" + bytes([protocol]) + b"}."))


@pytest.mark.parametrize("target", {
    "a tensor": lambda at: WEIGHT.opcodes(at),
    "a storage": lambda at: WEIGHT.storage.opcodes(at),
}.values(), ids=["a tensor", "a storage"])
@pytest.mark.parametrize("tail", {"BUILD": b"}b", "APPEND": b"Na", "SETITEM": b"NNs", "SETITEMS": b"(NNu"}.values(),
                         ids=["BUILD", "APPEND", "SETITEM", "SETITEMS"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_tensors_and_storages_cannot_be_changed(target, tail, container):
    refusal(builder.write(container, {"w": target(container) + tail}, STORAGES))


@pytest.mark.parametrize("container", CONTAINERS)
def test_missing_stop(container):
    refusal(in_container(container, pickle(builder.resolve({"w": WEIGHT}, container))[:-1], STORAGES))


def test_bytes_after_stop():
    pickled = pickle(builder.resolve({"w": WEIGHT}, "zip")) + b"N."
    assert "2 bytes after its pickle" in refusal(builder.archive(builder.records(pickled, STORAGES)))


@pytest.mark.parametrize("container", CONTAINERS)
def test_protocol_4_in_frames(container):
    pickled = framed(pickle(builder.resolve({"w": WEIGHT}, container), 4))
    assert read(in_container(container, pickled, STORAGES)).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


CYCLES = {"list": b"]q\x01h\x01a", "dictionary": b"}q\x01X\x01\x00\x00\x00ah\x01s",
          "object": new("my", "Node") + b"q\x01h\x01b"}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("cycle", CYCLES.values(), ids=CYCLES)
def test_cycles_are_not_followed(cycle, container):
    assert list(read(builder.write(container, {"w": WEIGHT, "x": {"y": cycle}}, STORAGES)).tensors) == ["w"]
    refusal(builder.write(container, cycle, STORAGES))


TEN_OF_EACH_OTHER = b"".join(b"](" + b"h%c" % n * 10 + b"eq%c" % (n + 1) for n in range(100))
LAUGHS = b"](" + b"](NNeq\x00" + TEN_OF_EACH_OTHER + b"e"
MACHINE_BREAKERS = {
    "200 000 nested tuples": b")" + b"\x85" * 200_000,
    "200 000 nested lists": b"]" * 190_000 + b"a" * 189_999,
    "200 000 nested dictionaries": b"}K\x00" * 60_000 + b"N" + b"s" * 60_000,
    "billion laughs": LAUGHS,
    "an endless stack": b"N" * 300_000,
    "endless marks": b"(" * 300_000,
    "two million dictionaries": b"](" + b"}" * 190_000 + b"e",
    "one list as many ordered dictionaries":
        opcodes([["k", None]] * 1000) + b"q\x00](" + b"ccollections\nOrderedDict\nh\x00\x85R" * 1000 + b"e\x86",
    "ten thousand long texts": b"](" + opcodes("\U0001f600" + "x" * 4000) * 5000 + b"e",
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("program", MACHINE_BREAKERS.values(), ids=MACHINE_BREAKERS)
def test_bombs_end_soon(program, container):
    refusal(builder.write(container, program, {}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_pickle_of_more_than_64_mib(container, monkeypatch):
    data = builder.write(container, {"w": WEIGHT}, STORAGES)
    length = len(pickle(builder.resolve({"w": WEIGHT}, container)))
    monkeypatch.setattr(machine, "PICKLE_BYTES", length)
    assert read(data).tensors
    monkeypatch.setattr(machine, "PICKLE_BYTES", length - 1)
    assert "that are not in tensors" in refusal(data) or container == "zip"


def test_two_million_opcodes():
    assert "more than 2,000,000 opcodes" in refusal(builder.write("zip", b"]" + b"Na" * 1_000_001, {}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_bomb_beside_a_state_dict_costs_nothing(container):
    found = read(builder.write(container, {"state_dict": {"w": WEIGHT}, "x": LAUGHS}, STORAGES))
    assert found.nested_under == "state_dict"


def test_plain_pickles_of_a_legacy_stream_may_not_name_or_call():
    for evil in (call("os", "system", "true"), b"cargparse\nNamespace\n", build(b"}", {}), b"(Nt" + b"Q",
                 call("collections", "OrderedDict"), new("argparse", "Namespace")):
        for data in (builder.legacy(pickle({}), {}, version=evil), builder.legacy(pickle({}), {}, system=evil),
                     builder.legacy(pickle({}), {}, keys=evil)):
            assert "only numbers and texts belong" in refusal(data)
