"""The pickle machine over inert values: bytes → dictionaries, lists, tuples, numbers, texts and stand-ins.

A pickle is a program for a machine with a stack and a memo.  Python's machine imports the names in the program and
calls what they mean.  This one knows the same opcodes as far as checkpoints need them, and gives names and calls to an
`Objects` (objects.py), which answers with stand-ins: nothing is imported, called or looked up.

    stack    operands; MARK starts a list of unknown length on it
    memo     values that occur again: PUT by number, GET by number

Protocols 2 to 5 are read.  What no checkpoint needs is refused by name: the text opcodes of protocol 0, the opcodes
that build an object behind a MARK (INST, OBJ), those that drop or copy a value (POP, DUP), and extension codes.
"""
import struct

from npvgg.errors import BadFileError
from weights_convert.checkpoint.references import Inert
from weights_convert.refusals import damaged, hostile

PICKLE_BYTES = 64 << 20                   # a state dict of VGG takes 3 kB; optimiser, options and history some 100 kB
OPCODES = 2_000_000
STACK = 200_000
MEMO = 500_000
LONGEST_LINE = 256                        # bytes in GLOBAL's two lines
LONGEST_TEXT = 4096                       # bytes; longer texts are no keys or labels, and stay undecoded

PROTO, STOP = 0x80, ord(".")
ACTIONS = {}                              # opcode → function of the machine, filled by @opcode below
REFUSED = {
    "0": "POP", "1": "POP_MARK", "2": "DUP", "F": "FLOAT", "I": "INT", "L": "LONG", "P": "PERSID",
    "S": "STRING", "V": "UNICODE", "d": "DICT", "g": "GET", "i": "INST", "l": "LIST", "o": "OBJ", "p": "PUT",
    "\x80": "PROTO", "\x82": "EXT1", "\x83": "EXT2", "\x84": "EXT4", "\x8b": "LONG4", "\x8d": "BINUNICODE8",
    "\x8e": "BINBYTES8", "\x92": "NEWOBJ_EX", "\x96": "BYTEARRAY8", "\x97": "NEXT_BUFFER", "\x98": "READONLY_BUFFER",
}


def load(file, start, end, objects=None, opcodes=OPCODES):
    """The pickle that starts at byte `start` of a binary file and ends before `end` → (its value, the byte after it).

    `objects` answers for names, calls and persistent ids; without it the pickle may hold plain values only.
    Raises BadFileError, also for more than `opcodes` opcodes.
    """
    machine = Machine(file, start, end, objects)
    if machine.take(1)[0] != PROTO or not 2 <= machine.take(1)[0] <= 5:
        raise damaged(f"it has no pickle of protocol 2 to 5 at byte {start}")
    for _ in range(opcodes):
        at = machine.at
        code = machine.take(1)[0]
        if code == STOP:
            return machine.result(), machine.at
        if code not in ACTIONS:
            name = REFUSED.get(chr(code), f"0x{code:02x}")
            raise BadFileError(f"it has the pickle opcode {name} at byte {at}, which no checkpoint contains")
        ACTIONS[code](machine)
    raise hostile(f"its pickle has more than {opcodes:,} opcodes")


class Machine:
    """Where the program is, and what it has made so far."""

    def __init__(self, file, at, end, objects):
        self.file, self.at, self.end, self.objects = file, at, min(end, at + PICKLE_BYTES), objects
        self.frame_end = at
        file.seek(at)
        self.stack, self.marks, self.memo = [], [], []
        self.floor = 0                    # height of the stack at the last MARK: opcodes cannot reach below it

    def fail(self, what):
        raise BadFileError(f"its pickle {what} near byte {self.at} (the file is damaged or was not written by PyTorch)")

    def take(self, count):
        """The next `count` bytes of the program."""
        self.advance(count)
        part = self.file.read(count)
        if len(part) < count:
            self.fail("ends too early")
        return part

    def advance(self, count):
        end = self.at + count
        if end > self.end:
            self.fail("ends too early")
        if self.at < self.frame_end < end:
            self.fail("has an opcode that crosses the end of its frame")
        self.at = end

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def line(self):
        line = self.file.readline(LONGEST_LINE + 1)
        self.advance(len(line))
        if not line.endswith(b"\n"):
            self.fail(f"has a name that is longer than {LONGEST_LINE} bytes or does not end")
        return self.utf8(line[:-1])

    def text(self, count, decode):
        """`count` bytes, decoded; a very long text is passed over and becomes an Inert."""
        if count <= LONGEST_TEXT:
            return decode(self.take(count))
        self.advance(count)
        self.file.seek(self.at)
        return Inert("a long text")

    def utf8(self, part):
        try:
            return str(part, "utf-8")
        except UnicodeDecodeError:
            self.fail("has a text that is not UTF-8")

    def push(self, value):
        if len(self.stack) >= STACK:
            self.fail(f"piles up more than {STACK:,} values")
        self.stack.append(value)

    def top(self):
        if len(self.stack) <= self.floor:
            self.fail("uses a value that is not there")
        return self.stack[-1]

    def pop(self):
        value = self.top()
        del self.stack[-1]
        return value

    def pop_to_mark(self):
        """The values since the last MARK, which is removed with them."""
        if not self.marks:
            self.fail("ends a list that it did not begin")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        self.floor = self.marks[-1] if self.marks else 0
        return items

    def remember(self, index):
        if index >= MEMO:
            self.fail(f"numbers a value {index:,}; {MEMO:,} is the most")
        # A list, because chosen numbers could make a dictionary slow.
        self.memo.extend([ABSENT] * (index + 1 - len(self.memo)))
        self.memo[index] = self.top()

    def recall(self, index):
        if index >= len(self.memo) or self.memo[index] is ABSENT:
            self.fail(f"recalls value {index:,}, which it never stored,")
        self.push(self.memo[index])

    def set_item(self, target, key, value):
        """Keep text keys only: no other leads to a weight, and chosen numbers could make a dictionary slow."""
        if type(key) is str:
            target[key] = value
        elif isinstance(key, (list, dict)):
            self.fail(f"uses a {type(key).__name__} as a key")

    def with_objects(self, what):
        if self.objects is None:
            self.fail(f"has {what} where only numbers and texts belong,")
        return self.objects

    def result(self):
        if len(self.stack) != 1 or self.marks:
            self.fail(f"stops with {len(self.stack)} values instead of one,")
        if self.at < self.frame_end:
            self.fail("stops before the end of its frame")
        return self.stack[0]


ABSENT = object()


def opcode(code):
    """Register the function below as the meaning of the opcode `code`."""
    def register(function):
        ACTIONS[ord(code)] = function
        return function
    return register


# Constants and containers.

@opcode("N")
def none(machine):
    machine.push(None)


@opcode("\x88")
def true(machine):
    machine.push(True)


@opcode("\x89")
def false(machine):
    machine.push(False)


@opcode(")")
def empty_tuple(machine):
    machine.push(())


@opcode("]")
def empty_list(machine):
    machine.push([])


@opcode("}")
def empty_dict(machine):
    machine.push({})


@opcode("\x8f")
def empty_set(machine):
    machine.push(Inert("builtins.set"))


# Numbers and texts.

@opcode("K")
def binint1(machine):
    machine.push(machine.number(1))


@opcode("M")
def binint2(machine):
    machine.push(machine.number(2))


@opcode("J")
def binint(machine):
    machine.push(int.from_bytes(machine.take(4), "little", signed=True))


@opcode("\x8a")
def long1(machine):
    machine.push(int.from_bytes(machine.take(machine.number(1)), "little", signed=True))


@opcode("G")
def binfloat(machine):
    machine.push(struct.unpack(">d", machine.take(8))[0])


@opcode("X")
def binunicode(machine):
    machine.push(machine.text(machine.number(4), machine.utf8))


@opcode("\x8c")
def short_binunicode(machine):
    machine.push(machine.text(machine.number(1), machine.utf8))


@opcode("T")
def binstring(machine):
    machine.push(machine.text(machine.number(4), python2_text))


@opcode("U")
def short_binstring(machine):
    machine.push(machine.text(machine.number(1), python2_text))


def python2_text(part):
    """Python 2 wrote both names and raw bytes with the same opcode: ASCII → str, anything else → bytes."""
    return str(part, "ascii") if part.isascii() else part


@opcode("B")
def binbytes(machine):
    machine.push(machine.text(machine.number(4), bytes))


@opcode("C")
def short_binbytes(machine):
    machine.push(machine.text(machine.number(1), bytes))


# Tuples, and what goes into lists, dictionaries and sets.

@opcode("(")
def mark(machine):
    if len(machine.marks) >= STACK:
        machine.fail(f"begins more than {STACK:,} lists in each other")
    machine.floor = len(machine.stack)
    machine.marks.append(machine.floor)


@opcode("t")
def tuple_(machine):
    machine.push(tuple(machine.pop_to_mark()))


@opcode("\x85")
def tuple1(machine):
    machine.push((machine.pop(),))


@opcode("\x86")
def tuple2(machine):
    second, first = machine.pop(), machine.pop()
    machine.push((first, second))


@opcode("\x87")
def tuple3(machine):
    third, second, first = machine.pop(), machine.pop(), machine.pop()
    machine.push((first, second, third))


@opcode("a")
def append(machine):
    extend(machine, [machine.pop()])


@opcode("e")
def appends(machine):
    extend(machine, machine.pop_to_mark())


def extend(machine, items):
    target = machine.top()
    if type(target) is list:
        target.extend(items)
    elif not isinstance(target, Inert):
        machine.fail(f"appends to a {type(target).__name__}")


@opcode("s")
def setitem(machine):
    value, key = machine.pop(), machine.pop()
    update(machine, [key, value])


@opcode("u")
def setitems(machine):
    update(machine, machine.pop_to_mark())


def update(machine, items):
    target = machine.top()
    if len(items) % 2:
        machine.fail("sets a key without a value")
    if type(target) is dict:
        for key, value in zip(items[::2], items[1::2]):
            machine.set_item(target, key, value)
    elif not isinstance(target, Inert):
        machine.fail(f"sets an item of a {type(target).__name__}")


@opcode("\x90")
def additems(machine):
    machine.pop_to_mark()
    if not isinstance(machine.top(), Inert):
        machine.fail(f"adds to a {type(machine.top()).__name__} as if it were a set")


@opcode("\x91")
def frozenset_(machine):
    machine.pop_to_mark()
    machine.push(Inert("builtins.frozenset"))


# The memo.

@opcode("q")
def binput(machine):
    machine.remember(machine.number(1))


@opcode("r")
def long_binput(machine):
    machine.remember(machine.number(4))


@opcode("\x94")
def memoize(machine):
    machine.remember(len(machine.memo))


@opcode("h")
def binget(machine):
    machine.recall(machine.number(1))


@opcode("j")
def long_binget(machine):
    machine.recall(machine.number(4))


@opcode("\x95")
def frame(machine):
    length = machine.number(8)
    if machine.at < machine.frame_end:
        machine.fail("has a frame in a frame")
    if length > machine.end - machine.at:
        machine.fail("has a frame that is longer than the file")
    machine.frame_end = machine.at + length


# Names, calls and storages: answered by stand-ins.

@opcode("c")
def global_(machine):
    module = machine.line()
    machine.push(machine.with_objects("a name").reference(module, machine.line()))


@opcode("\x93")
def stack_global(machine):
    name, module = machine.pop(), machine.pop()
    if type(module) is not str or type(name) is not str:
        machine.fail("gives a name that is not a text")
    machine.push(machine.with_objects("a name").reference(module, name))


@opcode("R")
def reduce(machine):
    args, function = machine.pop(), machine.pop()
    machine.push(machine.with_objects("a call").call(function, args))


@opcode("\x81")
def newobj(machine):
    args, cls = machine.pop(), machine.pop()
    machine.push(machine.with_objects("an object").call(cls, args))


@opcode("b")
def build(machine):
    state = machine.pop()
    machine.with_objects("an object").build(machine.top(), state)


@opcode("Q")
def binpersid(machine):
    machine.push(machine.with_objects("a storage").persistent(machine.pop()))
