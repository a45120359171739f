"""Random programs of valid opcodes, with hostile names in them: whatever they do, nothing happens."""
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from witnesses import checkpoint_builder as builder
from witnesses.pickle_builder import integer, opcodes, reference, stack_reference
from witnesses.refusal import read

from npvgg.errors import NpvggError

CANARY = Path(__file__).with_name("canary-of-test-programs")
COMMAND = f"touch {CANARY}"
SIX = np.arange(6, dtype="f4")
EXAMPLES = 75 * int(float(os.environ.get("NPVGG_FUZZ_SECONDS", 4)))       # of each test below

HOSTILE = [name.rsplit(".", 1) for name in (
    "os.system", "builtins.eval", "builtins.exec", "builtins.__import__", "subprocess.Popen", "pickle.loads",
    "functools.partial", "operator.attrgetter", "torch.load")]
HONEST = [name.rsplit(".", 1) for name in (
    "my.code.run", "argparse.Namespace", "collections.OrderedDict", "collections.defaultdict", "torch.Size",
    "torch.float32", "torch.FloatStorage", "torch.FloatTensor", "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter", "torch._tensor._rebuild_from_type_v2", "_codecs.encode")]

CODE = f"__import__('os').system({COMMAND!r})"
texts = st.sampled_from(["w", "state_dict", "storage", "0", "cpu", "größe", COMMAND, CODE])
numbers = st.one_of(st.integers(-3, 9), st.sampled_from([2**31, 2**62, -2**63, 2**70]))
plain = st.one_of(texts, numbers, st.floats(), st.booleans(), st.none()).map(opcodes)


def names(among):
    return st.one_of(st.builds(lambda name: reference(*name), st.sampled_from(among)),
                     st.builds(lambda name: stack_reference(*name), st.sampled_from(among)))


def storage_id(kind, key, numel, container):
    view = b"N" if container == "legacy" else b""
    return b"(" + opcodes("storage") + kind + opcodes(key) + opcodes("cpu") + integer(numel) + view + b"tQ"


def rebuild(storage, offset, box):
    return reference("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + integer(offset) + box + b"\x89NtR"


# Size and stride of a tensor on six numbers, or not.
BOXES = [((2, 3), (3, 1)), ((3, 2), (1, 3)), ((6,), (1,)), ((), ()), ((0, 2), (2, 1)), ((7,), (1,)), ((2,), ())]
boxes = st.sampled_from([opcodes(size) + opcodes(stride) for size, stride in BOXES])


def honest_tensor(container):
    box = opcodes((2, 3)) + opcodes((3, 1))
    return rebuild(storage_id(reference("torch", "FloatStorage"), "0", 6, container), 0, box)


def odd_tensors(among, container):
    storage = st.builds(storage_id, names([["torch", "FloatStorage"], *among]), st.sampled_from("0x"),
                        st.sampled_from([6, 5]), st.just(container))
    return st.builds(rebuild, storage, st.integers(-1, 1), boxes)


def values(among, container):
    """Opcodes that leave one value; the stack is always as each opcode needs it."""
    memo = st.integers(0, 5).map(lambda index: bytes([index]))

    def larger(inner):
        several = st.lists(inner, max_size=4).map(b"".join)
        pairs = st.lists(st.tuples(texts.map(opcodes), inner).map(b"".join), max_size=4).map(b"".join)
        made = st.builds(lambda f, x, code: f + b"(" + x + b"t" + code, names(among), several,
                         st.sampled_from([b"R", b"\x81"]))
        return st.one_of(
            several.map(lambda x: b"(" + x + b"t"),
            several.map(lambda x: b"](" + x + b"e"),
            pairs.map(lambda x: b"}(" + x + b"u"),
            made,
            st.builds(lambda x, state: x + state + b"b", made, inner),
            st.builds(lambda x, item: x + item + b"a", st.one_of(st.just(b"]"), made), inner),
            st.builds(lambda x, key, item: x + key + item + b"s", st.one_of(st.just(b"}"), made), plain, inner),
            st.builds(lambda x, index: x + b"q" + index, inner, memo),
            st.builds(lambda x, index: b"(" + x + b"q" + index + b"h" + index + b"t", inner, memo),
            st.builds(lambda x, y, code: x + y + code, inner, inner,
                      st.sampled_from([b"R", b"\x81", b"b", b"a", b"\x86Q"])),
        )

    leaves = st.one_of(plain, st.just(honest_tensor(container)), names(among))
    return st.recursive(leaves, larger, max_leaves=10)


def state_dicts(among, container):
    """A state dict, and anything beside it and sometimes in it."""
    anything = values(among, container)
    first = st.just(opcodes("a") + honest_tensor(container))
    second = st.one_of(st.just(b""), st.one_of(odd_tensors(among, container), anything).map(lambda x: opcodes("b") + x))
    beside = st.lists(anything, max_size=2).map(
        lambda found: b"".join(opcodes(f"x{number}") + x for number, x in enumerate(found)))
    return st.builds(lambda a, b, x: b"}(" + opcodes("state_dict") + b"}(" + a + b + b"u" + x + b"u",
                     first, second, beside)


STATE_DICTS = {(kind, container): state_dicts(among, container)
               for kind, among in {"hostile names": HOSTILE, "honest names": HONEST}.items()
               for container in builder.CONTAINERS}


# Opcodes in any order: mostly nonsense for the stack.
WITH_ARGUMENT = b"cXUCBTqrhjJKMG\x8a\x8c\x95"
ANY = st.one_of(
    st.sampled_from([bytes([code]) for code in range(256) if code not in WITH_ARGUMENT]),
    st.sampled_from([b"(", b"t", b"R", b"b", b"\x81", b"Q", b"u", b"e", b"s", b"a", b"q\0", b"h\0"]),
    plain, names(HOSTILE + HONEST),
)


def survives(container, program):
    """→ tensors, or None if the file is refused with one of our errors; `read` listens to what else happens."""
    try:
        return read(builder.write(container, program, {"0": SIX})).tensors
    except NpvggError as error:
        assert str(error).isprintable()
        return None
    finally:
        assert not CANARY.exists()


limits = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind, container", STATE_DICTS)
@limits
@given(data=st.data())
def test_programs(kind, container, data):
    tensors = survives(container, data.draw(STATE_DICTS[kind, container]))
    assert tensors is None or tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("container", builder.CONTAINERS)
@limits
@given(program=st.lists(ANY, max_size=30).map(b"".join))
def test_any_opcodes(container, program):
    survives(container, program)
