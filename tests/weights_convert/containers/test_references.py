"""Names in the pickle: hostile ones are named in the refusal, honest ones stay inert, none is ever looked up."""
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import build, call, new, reference, set_items, stack_reference
from witnesses.refusal import read, refusal

HOSTILE = [
    "os.system", "posix.system", "nt.system", "os.popen", "subprocess.Popen", "subprocess.check_output", "sys.exit",
    "builtins.eval", "builtins.exec", "builtins.__import__", "builtins.open", "builtins.compile",
    "__builtin__.eval", "__builtin__.apply", "__builtin__.execfile", "runpy._run_code", "runpy.run_path", "pip.main",
    "pip._internal.main", "pty.spawn", "ctypes.CDLL", "pydoc.locate", "pydoc.pipepager", "operator.attrgetter",
    "operator.methodcaller", "operator.itemgetter", "_operator.methodcaller", "functools.partial", "functools.reduce",
    "pickle.loads", "_pickle.loads", "dill.loads", "joblib.load", "cloudpickle.loads", "marshal.loads", "torch.load",
    "torch.storage._load_from_bytes", "torch.hub.load", "torch.jit.load", "torch.ops.load_library",
    "torch.utils.cpp_extension.load", "torch._inductor.codecache.compile_file",
    "torch.serialization.load", "numpy.testing._private.utils.runstring", "numpy.f2py.crackfortran.getlincoef",
    "numpy.load", "types.CodeType", "types.FunctionType", "logging.FileHandler", "io.FileIO", "_io.FileIO", "io.open",
    "urllib.request.urlopen", "smtplib.SMTP", "socket.create_connection", "http.client.HTTPSConnection",
    "uuid._get_command_stdout", "cProfile.run", "profile.run", "trace.Trace", "timeit.timeit", "bdb.Bdb", "pdb.run",
    "code.InteractiveInterpreter", "codeop.compile_command", "importlib.import_module", "importlib._bootstrap._load",
    "imp.load_source", "distutils.file_util.write_file", "shutil.rmtree", "webbrowser.open", "tempfile.mktemp",
    "asyncio.create_subprocess_shell", "multiprocessing.util.spawnv_passfds", "_posixsubprocess.fork_exec",
    "_interpreters.run_string", "zipimport.zipimporter", "test.support.script_helper.assert_python_ok",
    "commands.getoutput", "doctest.debug_script", "ensurepip.bootstrap", "lib2to3.pgen2.grammar.Grammar",
    "idlelib.pyshell.ModifiedInterpreter", "venv.create", "pathlib.os", "copyreg.pickle", "copyreg.add_extension",
]
HONEST = [
    "argparse.Namespace", "builtins.set", "builtins.complex", "builtins.bytearray", "__builtin__.long",
    "collections.defaultdict", "collections.Counter", "collections.deque", "copy_reg._reconstructor", "_codecs.encode",
    "datetime.datetime", "decimal.Decimal", "pathlib.PosixPath", "pathlib._local.PosixPath", "types.SimpleNamespace",
    "uuid.UUID", "numpy.core.multiarray.scalar", "numpy._core.multiarray._reconstruct", "numpy.dtype", "numpy.ndarray",
    "mmengine.logging.history_buffer.HistoryBuffer", "omegaconf.dictconfig.DictConfig", "easydict.EasyDict",
    "torch.optim.sgd.SGD", "torch.device", "torch.float32", "torch.nn.modules.container.Sequential", "__main__.Options",
    "osmosis.system", "pipeline.main", "torch.loader",
]
STORAGES = {"0": builder.np.arange(6, dtype="f4")}


def beside(extra):
    """A state dict with `extra` beside it."""
    return {"state_dict": {"w": tensor("0", (2, 3))}, "extra": extra}


def split(name):
    module, _, attribute = name.rpartition(".")
    return module, attribute


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_refused_and_named(name, container, tmp_path):
    canary = tmp_path / "canary"
    shown = name.replace("__builtin__", "builtins")
    for extra in (call(*split(name), f"touch {canary}"), new(*split(name), f"touch {canary}"), reference(*split(name)),
                  stack_reference(*split(name))):
        message = refusal(builder.write(container, beside(extra), STORAGES))
        assert f"file refers to {shown}; this is not a normal checkpoint" in message
    assert not canary.exists()


@pytest.mark.parametrize("place", {
    "as a weight": lambda evil: {"a": tensor("0", (2, 3)), "w": evil},
    "as a storage's class": lambda evil: {"w": builder.TensorCall(builder.StorageId("0", 6, evil), (2, 3), (3, 1))},
    "as a size": lambda evil: {"w": builder.TensorCall(builder.StorageId("0", 6), evil, (3, 1))},
    "as hooks": lambda evil: {"w": builder.TensorCall(builder.StorageId("0", 6), (6,), (1,), rest=(False, evil))},
    "as a key": lambda evil: {evil: tensor("0", (2, 3))},
    "in a state": lambda evil: {"a": tensor("0", (2, 3)), "w": build(new("argparse", "Namespace"), {"x": evil})},
    "in a list that is dropped": lambda evil: {"a": tensor("0", (2, 3)), "b": [[[evil]]]},
    "as the whole": lambda evil: evil,
    "in another call": lambda evil: {"a": tensor("0", (2, 3)), "b": call("my.code", "run", evil)},
}.values(), ids=lambda place: None)
@pytest.mark.parametrize("container", CONTAINERS)
def test_hostile_name_anywhere(place, container, tmp_path):
    canary = tmp_path / "canary"
    data = builder.write(container, place(call("os", "system", f"touch {canary}")), STORAGES)
    assert "file refers to os.system" in refusal(data)
    assert not canary.exists()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", HONEST)
def test_honest_object_stays_inert(name, container):
    junk = build(new(*split(name)) + set_items({"a": 1}), {"x": [1, 2]})
    for extra in (call(*split(name), "text", 5), junk, [reference(*split(name))], stack_reference(*split(name))):
        found = read(builder.write(container, beside(extra), STORAGES))
        assert found.tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["torch._utils.Evil", "my.Weight", "numpy.core.multiarray._reconstruct",
                                  "torch._utils._rebuild_qtensor"])
def test_honest_object_is_no_weight(name, container):
    program = {"a": tensor("0", (2, 3)), "w": call(*split(name), 1)}
    assert f"'w' is a {name}, not a tensor" in refusal(builder.write(container, program, STORAGES))


@pytest.mark.parametrize("module, name", {
    "dotted": ("pathlib", "os.system"), "dotted, unknown module": ("my.code", "os.system"), "empty": ("", ""),
    "empty name": ("os", ""), "space": ("os ", "system"), "newline": ("my\ncode", "run"), "escape": ("\x1b[2J", "run"),
    "slash": ("my/code", "run"), "not ASCII": ("ｏｓ", "system"), "long": ("a" * 300, "b"),
    "leading dot": (".os", "system"),
}.values())
def test_what_is_no_name_is_refused(module, name):
    message = refusal(builder.write("zip", beside(stack_reference(module, name)), STORAGES))
    assert "no name of a class or function" in message


@pytest.mark.parametrize("line", [b"c" + b"a" * 400 + b"\nb\n", b"cos", b"c\xff\xfe\nb\n", b"cos\nsystem"])
def test_broken_global_is_refused(line):
    refusal(builder.write("legacy", beside(line), STORAGES))


def test_what_was_left_out_is_reported():
    extra = [call("my.history", "Buffer", n) for n in range(3)] + [call("argparse", "Namespace")]
    remarks = read(builder.write("zip", beside(extra), STORAGES)).remarks
    assert remarks[-1] == "objects beside the weights were left out: argparse.Namespace, my.history.Buffer (3×)"


def test_many_names_are_refused():
    extra = b"](" + b"".join(reference("m", f"n{n}") for n in range(10_001)) + b"e"
    assert "mentions more than 10,000" in refusal(builder.write("zip", beside(extra), STORAGES))
