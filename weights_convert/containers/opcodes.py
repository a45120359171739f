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
from weights_convert.containers.references import Inert
from weights_convert.refusals import damaged, hostile

PICKLE_BYTES = 64 << 20                   # a state dict of VGG takes 3 kB; optimiser, options and history some 100 kB
OPCODES = 2_000_000
STACK = 200_000
MEMO = 500_000
LONGEST_LINE = 256                        # bytes in GLOBAL's two lines
LONGEST_TEXT = 1 << 17                    # bytes; configurations of trainers take some thousand; longer texts stay undecoded
OTHER_KEYS = "\0"                         # stands in a dictionary for all keys that are no texts
LONGEST_BYTES = 64                        # of a name or a number; longer ones are a Stretch

PROTO, STOP = 0x80, ord(".")
REFUSED = {
    "0": "POP", "1": "POP_MARK", "2": "DUP", "F": "FLOAT", "I": "INT", "L": "LONG", "P": "PERSID",
    "S": "STRING", "V": "UNICODE", "d": "DICT", "g": "GET", "i": "INST", "l": "LIST", "o": "OBJ", "p": "PUT",
    "\x80": "PROTO", "\x82": "EXT1", "\x83": "EXT2", "\x84": "EXT4", "\x8b": "LONG4", "\x8d": "BINUNICODE8",
    "\x92": "NEWOBJ_EX", "\x96": "BYTEARRAY8", "\x97": "NEXT_BUFFER", "\x98": "READONLY_BUFFER",
}


class Stretch(Inert):
    """Bytes in a pickle, which stay in the file: `size` of them from byte `start`."""

    __slots__ = ("start", "size")

    def __init__(self, start, size):
        super().__init__("builtins.bytes")
        self.start, self.size = start, size


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
        letter = chr(code)
        if letter in PUSHES:
            machine.push(PUSHES[letter](machine))
        elif letter in ACTIONS:
            ACTIONS[letter](machine)
        else:
            name = REFUSED.get(letter, f"0x{code:02x}")
            raise BadFileError(f"it has the pickle opcode {name} at byte {at}, which no checkpoint contains")
    raise hostile(f"its pickle has more than {opcodes:,} opcodes")


class Machine:
    """Where the program is, and what it has made so far."""

    def __init__(self, file, at, end, objects):
        self.file, self.at, self.end, self.objects = file, at, min(end, at + PICKLE_BYTES), objects
        self.file_end = end
        self.frame_end = at
        file.seek(at)
        self.stack, self.marks, self.memo = [], [], []
        self.floor = 0                    # height of the stack at the last MARK: opcodes cannot reach below it

    def fail(self, what):
        """Raise BadFileError: what the pickle does wrong, and near which byte."""
        raise BadFileError(f"its pickle {what} near byte {self.at} (the file is damaged or was not written by PyTorch)")

    def take(self, count):
        """The next `count` bytes of the program."""
        self.advance(count)
        part = self.file.read(count)
        if len(part) < count:
            self.fail("ends too early")
        return part

    def advance(self, count):
        """Count `count` bytes as read; fails where the file or the frame ends before."""
        end = self.at + count
        if self.end < end <= self.file_end:
            raise BadFileError(f"its pickle has more than {PICKLE_BYTES:,} bytes that are not in tensors, as no state dict has "
                               "(save model.state_dict() with PyTorch)")
        if end > self.end:
            self.fail("ends too early")
        if self.at < self.frame_end < end:
            self.fail("has an opcode that crosses the end of its frame")
        self.at = end

    def number(self, count):
        """The next `count` bytes as an unsigned number, little-endian."""
        return int.from_bytes(self.take(count), "little")

    def line(self):
        """The text up to the next line feed, without it."""
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

    def stretch(self, count):
        """`count` bytes; many of them are passed over, and do not count as program."""
        if count <= LONGEST_BYTES:
            return self.take(count)
        if count > self.file_end - self.at:
            self.fail("ends too early")
        self.end = min(self.file_end, self.end + count)
        self.advance(count)
        self.file.seek(self.at)
        return Stretch(self.at - count, count)

    def utf8(self, part):
        """Bytes → text."""
        try:
            return str(part, "utf-8")
        except UnicodeDecodeError:
            self.fail("has a text that is not UTF-8")

    def push(self, value):
        """Put a value on the stack, which holds at most STACK."""
        if len(self.stack) >= STACK:
            self.fail(f"piles up more than {STACK:,} values")
        self.stack.append(value)

    def top(self):
        """The last value on the stack above the last mark."""
        if len(self.stack) <= self.floor:
            self.fail("uses a value that is not there")
        return self.stack[-1]

    def pop(self):
        """Take the last value off the stack."""
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
        """Store the last value under a number of the memo, below MEMO."""
        if index >= MEMO:
            self.fail(f"numbers a value {index:,}; {MEMO:,} is the most")
        # A list, because chosen numbers could make a dictionary slow.
        self.memo.extend([ABSENT] * (index + 1 - len(self.memo)))
        self.memo[index] = self.top()

    def recall(self, index):
        """Push the value that was stored under a number of the memo."""
        if index >= len(self.memo) or self.memo[index] is ABSENT:
            self.fail(f"recalls value {index:,}, which it never stored,")
        self.push(self.memo[index])

    def set_item(self, target, key, value):
        """Keep text keys only: no other leads to a weight, and chosen numbers could make a dictionary slow.

        That there was another is kept, as OTHER_KEYS.
        """
        if type(key) is str:
            target[key] = value
        elif isinstance(key, (list, dict)):
            self.fail(f"uses a {type(key).__name__} as a key")
        else:
            target[OTHER_KEYS] = None

    def with_objects(self, what):
        """What builds objects; fails where the pickle must hold numbers and texts only."""
        if self.objects is None:
            self.fail(f"has {what} where only numbers and texts belong,")
        return self.objects

    def result(self):
        """The one value left at the end."""
        if len(self.stack) != 1 or self.marks:
            self.fail(f"stops with {len(self.stack)} values instead of one,")
        if self.at < self.frame_end:
            self.fail("stops before the end of its frame")
        return self.stack[0]


    def signed(self, count):
        """The next `count` bytes as a signed number, little-endian."""
        return int.from_bytes(self.take(count), "little", signed=True)

    def last(self, count):
        """The topmost values as a tuple, the oldest first."""
        return tuple(self.pop() for _ in range(count))[::-1]

    def mark(self):
        """Begin a list of values on the stack."""
        if len(self.marks) >= STACK:
            self.fail(f"begins more than {STACK:,} lists in each other")
        self.floor = len(self.stack)
        self.marks.append(self.floor)

    def frozen_set(self, items):
        """Of whatever: no weight is in a set."""
        return Inert("builtins.frozenset")

    def extend(self, items):
        """Append items to the list on top of the stack; a stand-in for an object ignores them."""
        target = self.top()
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            self.fail(f"appends to a {type(target).__name__}")

    def update(self, items):
        """Set items, key after value, in the dictionary on top of the stack; a stand-in for an object ignores them."""
        target = self.top()
        if len(items) % 2:
            self.fail("sets a key without a value")
        if type(target) is dict:
            for key, value in zip(items[::2], items[1::2]):
                self.set_item(target, key, value)
        elif not isinstance(target, Inert):
            self.fail(f"sets an item of a {type(target).__name__}")

    def add_items(self, items):
        """Items of a set, which only a stand-in for an object can be here; it ignores them."""
        if not isinstance(self.top(), Inert):
            self.fail(f"adds to a {type(self.top()).__name__} as if it were a set")

    def frame(self, length):
        """Begin a frame of so many bytes, which no opcode may cross."""
        if self.at < self.frame_end:
            self.fail("has a frame in a frame")
        if length > self.end - self.at:
            self.fail("has a frame that is longer than the file")
        self.frame_end = self.at + length

    def name(self, module, name):
        """What would have been imported."""
        if type(module) is not str or type(name) is not str:
            self.fail("gives a name that is not a text")
        return self.with_objects("a name").reference(module, name)

    def call(self, function, args, what):
        """The stand-in for function(*args); nothing is called."""
        return self.with_objects(what).call(function, args)

    def build(self, state):
        """Give a state to the stand-in on top of the stack."""
        self.with_objects("an object").build(self.top(), state)


ABSENT = object()


def python2_text(part):
    """Python 2 wrote both names and raw bytes with the same opcode: ASCII → str, anything else → bytes."""
    return str(part, "ascii") if part.isascii() else part


# What each opcode pushes: constants and containers; numbers; texts; tuples and sets; names, calls and storages, which are
# answered by stand-ins.
PUSHES = {
    "N": lambda m: None, "\x88": lambda m: True, "\x89": lambda m: False,
    ")": lambda m: (), "]": lambda m: [], "}": lambda m: {}, "\x8f": lambda m: Inert("builtins.set"),
    "K": lambda m: m.number(1), "M": lambda m: m.number(2), "J": lambda m: m.signed(4), "\x8a": lambda m: m.signed(m.number(1)),
    "G": lambda m: struct.unpack(">d", m.take(8))[0],
    "X": lambda m: m.text(m.number(4), m.utf8), "\x8c": lambda m: m.text(m.number(1), m.utf8),
    "T": lambda m: m.text(m.number(4), python2_text), "U": lambda m: m.text(m.number(1), python2_text),
    "B": lambda m: m.stretch(m.number(4)), "C": lambda m: m.stretch(m.number(1)), "\x8e": lambda m: m.stretch(m.number(8)),
    "t": lambda m: tuple(m.pop_to_mark()), "\x85": lambda m: m.last(1), "\x86": lambda m: m.last(2),
    "\x87": lambda m: m.last(3), "\x91": lambda m: m.frozen_set(m.pop_to_mark()),
    "c": lambda m: m.name(m.line(), m.line()), "\x93": lambda m: m.name(*m.last(2)),
    "R": lambda m: m.call(*m.last(2), "a call"), "\x81": lambda m: m.call(*m.last(2), "an object"),
    "Q": lambda m: m.with_objects("a storage").persistent(m.pop()),
}
# What each other one does: lists, dictionaries and sets; the memo; frames; an object's state.
ACTIONS = {
    "(": lambda m: m.mark(), "a": lambda m: m.extend([m.pop()]), "e": lambda m: m.extend(m.pop_to_mark()),
    "s": lambda m: m.update(m.last(2)), "u": lambda m: m.update(m.pop_to_mark()),
    "\x90": lambda m: m.add_items(m.pop_to_mark()),
    "q": lambda m: m.remember(m.number(1)), "r": lambda m: m.remember(m.number(4)), "\x94": lambda m: m.remember(len(m.memo)),
    "h": lambda m: m.recall(m.number(1)), "j": lambda m: m.recall(m.number(4)),
    "\x95": lambda m: m.frame(m.number(8)), "b": lambda m: m.build(m.pop()),
}
