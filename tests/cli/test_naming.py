"""The pictures that a command line names: lists of names, standard input, missing and unreadable ones."""
import json
import os

import pytest
from witnesses.command import npvgg

from npvgg.cli import naming


@pytest.fixture
def predict(pictures, tiny_file, monkeypatch):
    """predict(arguments, stdin) → (status, [name or {name: error}, …], standard error), in the folder of pictures."""
    def run(*arguments, stdin=b""):
        result = npvgg("predict", *arguments, "--model", tiny_file, "--json", "--top", 1, stdin=stdin)
        lines = [json.loads(line) for line in result.out.splitlines()]
        answers = [{line["image"]: line["error"]} if "error" in line else line["image"] for line in lines]
        return result.status, answers, result.err

    monkeypatch.chdir(pictures)
    return run


@pytest.mark.parametrize("content, is_null", [
    (b"a.png\nb.jpg\na.png\n", False), (b"a.png\r\n\r\nb.jpg\r\na.png", False), (b"a.png\0b.jpg\0a.png\0", True),
    (b"a.png\0b.jpg\0a.png", True),
], ids=["lines", "Windows' lines", "NUL", "NUL between"])
def test_a_list_is_answered_name_by_name(predict, tmp_path, content, is_null):
    (tmp_path / "list").write_bytes(content)
    null = ["--null"] if is_null else []
    assert predict("--files-from", tmp_path / "list", *null) == (0, ["a.png", "b.jpg", "a.png"], "")
    assert predict("--files-from", "-", *null, stdin=content) == (0, ["a.png", "b.jpg", "a.png"], "")
    assert predict("inner/c.png", "--files-from", "-", *null, stdin=content)[1] == ["inner/c.png", "a.png", "b.jpg", "a.png"]


def test_names_of_a_list_are_no_patterns_and_no_directories_and_each_has_an_answer(predict):
    status, answers, said = predict("--files-from", "-", stdin=b"*.png\ninner\nnope.png\n./a.png\n")
    errors = {name: error for answer in answers[:3] for name, error in answer.items()}
    assert (status, answers[3], list(errors)) == (8, "./a.png", ["*.png", "inner", "nope.png"])
    assert errors["*.png"] == "*.png: no such file; check the name" and "a directory, not a picture" in errors["inner"]
    assert said.endswith("npvgg: 3 of 4 pictures could not be classified\n")


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_list_holds_names_of_any_bytes(predict):
    assert predict("--files-from", "-", "-0", stdin=b"two\nlines\xe9.png\0a.png\0")[1] == [
        {"two\nlines\udce9.png": r"two\nlines\udce9.png: no such file; check the name"}, "a.png"]


@pytest.mark.parametrize("content, is_null, status, words", [
    (b"", False, 2, "standard input names no picture"), (b"\n\r\n", False, 2, "standard input names no picture"),
    (b"a.png\0b.jpg\0", False, 2, "standard input holds NUL characters, which end the names; add --null"),
])
def test_a_list_that_names_nothing_is_refused(predict, content, is_null, status, words):
    answer = predict("--files-from", "-", *(["-0"] if is_null else []), stdin=content)
    assert answer[:2] == (status, []) and words in answer[2]


def test_a_list_that_is_not_there_or_a_directory_is_refused(predict):
    for name in ("nowhere", "inner"):
        status, answers, said = predict("--files-from", name)
        assert (status, answers) == (7, []) and said.startswith(f"npvgg: {name}: the list of pictures cannot be read (")


def test_a_picture_on_standard_input_is_answered_in_its_place(predict, pictures):
    content = (pictures / "a.png").read_bytes()
    assert predict("-", stdin=content) == (0, ["-"], "")
    assert predict("inner", "b.jpg", "-", "b.jpg", stdin=content)[1] == ["inner/c.png", "b.jpg", "-", "b.jpg"]
    assert predict("-", stdin=b"")[0:2] == (3, [{"-": "-: the file is empty; replace it"}])
    assert predict("-", stdin=None)[::2] == (7, "npvgg: standard input is closed; let it come from a file or a pipe\n")


@pytest.mark.parametrize("arguments", [["-", "-"], ["-", "a.png", "--files-from", "-"]], ids=" ".join)
def test_standard_input_is_read_once(predict, arguments):
    status, answers, said = predict(*arguments)
    assert (status, answers) == (2, []) and "standard input (-) was named twice" in said


def test_a_trace_of_standard_input_is_that_of_the_file(tiny_file, pictures, tmp_path):
    from npvgg.parity import traces

    content = (pictures / "a.png").read_bytes()
    assert npvgg("trace", "-", "--model", tiny_file, "-o", tmp_path / "a.h5", stdin=content).status == 0
    assert npvgg("trace", pictures / "a.png", "--model", tiny_file, "-o", tmp_path / "b.h5").status == 0
    ours, theirs = (traces.read(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_folder_that_cannot_be_read_is_an_answer_among_the_others(pictures, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = naming.pictures([str(pictures)], missing=True)
    assert [path.name for path in found] == ["a.png", "b.jpg", "broken.jpg", "inner"]


def test_rights_are_found_out_by_reading_and_one_file_without_them_ends_no_run(predict, pictures, monkeypatch):
    """click would look first and refuse the whole command line."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert predict("a.png", "b.jpg") == (0, ["a.png", "b.jpg"], "")
    (pictures / "names").write_text("a.png\n")
    assert predict("--files-from", "names") == (0, ["a.png"], "")
    (pictures / "names").unlink()
