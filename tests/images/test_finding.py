"""Which files a name, a directory or a pattern stands for, and in which order."""
import glob
import os

import pytest

from npvgg.errors import StorageError, UsageError
from npvgg.images import find, finding


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ["photos/img10.png", "photos/img2.png", "photos/IMG1.JPG", "photos/notes.txt", "photos/.hidden.png",
                 "photos/.cache/a.png", "photos/trip 2/b.webp", "photos/trip 10/a.TIFF", "photos/trip 2/deep/c.jpeg",
                 "scan.dat", "[1].png", "empty/readme.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(patterns, **options):
    return [path.as_posix() for path in find(patterns, **options)]


PHOTOS = ["photos/IMG1.JPG", "photos/img2.png", "photos/img10.png", "photos/trip 2/b.webp", "photos/trip 2/deep/c.jpeg",
          "photos/trip 10/a.TIFF"]


def test_a_directory_is_walked_in_natural_order(folder):
    assert found("photos") == found("photos/") == PHOTOS
    assert find(folder / "photos") == [folder / name for name in PHOTOS]


def test_a_named_file_is_taken_whatever_its_suffix(folder):
    assert found(["scan.dat", "photos/.hidden.png", "photos/notes.txt"]) == ["scan.dat", "photos/.hidden.png",
                                                                             "photos/notes.txt"]


def test_a_hidden_directory_that_is_named_is_walked(folder):
    assert found("photos/.cache") == ["photos/.cache/a.png"]


def test_patterns_mean_what_a_shell_makes_of_them(folder):
    assert found("photos/*.png") == ["photos/img2.png", "photos/img10.png"]
    assert found("photos/img?.png") == ["photos/img2.png"]
    assert found("*.dat") == ["scan.dat"]
    assert found("photos/trip*") == ["photos/trip 2/b.webp", "photos/trip 2/deep/c.jpeg", "photos/trip 10/a.TIFF"]
    assert found("photos/**/*.jpeg") == ["photos/trip 2/deep/c.jpeg"]


def test_a_name_that_exists_is_no_pattern(folder):
    assert found("[1].png") == ["[1].png"]


def test_the_order_is_kept_and_directories_and_patterns_give_no_picture_twice(folder):
    others = [name for name in PHOTOS if name != "photos/img2.png"]
    assert found(["photos/img2.png", "photos", "photos/../photos/*.png", "photos/**"]) == [
        "photos/img2.png", *others, "photos/notes.txt"]


def test_a_file_comes_each_time_it_is_named_and_if_asked_for_where_there_is_none(folder):
    """An answer a name: who zips names and answers must not be off by one."""
    names = ["photos/img2.png", "cat.jpg", "photos/img2.png", "nowhere/cat.jpg", "a\nb\0.png"]
    assert found(names, missing=True) == names
    with pytest.raises(UsageError, match="^cat.jpg: no such file, directory or match; check the name$"):
        find(names)
    assert found(["photos", "photos/img2.png"]) == [*PHOTOS, "photos/img2.png"]


def test_a_pattern_enters_no_linked_directory_for_two_stars(folder):
    """Two links to the folder they are in make 2⁴⁰ names of each picture, up to the system's limit on links."""
    for name in ("loop", "trip 2/loop"):
        (folder / "photos" / name).symlink_to(folder / "photos", target_is_directory=True)
    everywhere = [name for name in PHOTOS if name.endswith((".png", ".webp"))]
    assert found(["photos/**/*.png", "photos/**/*.webp"]) == everywhere
    assert found("photos/loop/*.png") == ["photos/loop/img2.png", "photos/loop/img10.png"]
    assert found(["photos/*.png", "photos/loop/*.png"]) == ["photos/img2.png", "photos/img10.png"]


@pytest.mark.parametrize("pattern", ["photos/*", "photos/**", "*/*.png", "**/*.png", "*.dat", ".*/x", "photos/trip*/*",
                                     "./photos/../photos/*.JPG", "photos/.c*/*.png", "photos/[!i]*", "photos/???10.png",
                                     "**/deep/*"])
def test_without_links_the_names_are_those_of_glob(folder, pattern):
    for base in ("", f"{folder}/"):
        theirs = {os.path.normpath(name) for name in glob.glob(base + pattern, recursive=True) if os.path.isfile(name)}
        ours = {os.path.normpath(name) for name in finding.expanded(base + pattern) if os.path.isfile(name)}
        assert ours == theirs


def test_linked_directories_are_not_entered(folder):
    (folder / "photos" / "loop").symlink_to(folder / "photos", target_is_directory=True)
    (folder / "photos" / "z.png").symlink_to(folder / "[1].png")
    (folder / "photos" / "gone.png").symlink_to(folder / "nowhere.png")
    assert found("photos") == ["photos/gone.png", *PHOTOS[:3], *PHOTOS[3:], "photos/z.png"]


@pytest.mark.parametrize("pattern, message", [
    ("cat.jpg", "cat.jpg: no such file, directory or match; check the name"),
    ("*.xyz", "*.xyz: no such file, directory or match; check the name"),
    ("empty", "empty: no picture in this directory; check the name"),
    ("a\nb\0.png", r"a\nb\x00.png: no such file, directory or match; check the name"),
    ("a\nb\0*.png", r"a\nb\x00*.png: no such file, directory or match; check the name"),
    ("", "'': no such file, directory or match; check the name"),
])
def test_what_gives_nothing_is_named(folder, pattern, message):
    with pytest.raises(UsageError) as caught:
        find(["photos", pattern])
    assert str(caught.value) == message


def test_no_patterns_at_all():
    with pytest.raises(UsageError, match="no pictures were named; give files, directories or patterns"):
        find([])


@pytest.mark.parametrize("names", [None, 5, [None], ["photos", 5], b"photos", [b"photos"]], ids=repr)
def test_what_is_no_name_is_one_sentence(names):
    with pytest.raises(UsageError, match="one of the names is of type .*; give names of files, directories or patterns"):
        find(names)


def test_a_directory_that_cannot_be_read_is_not_passed_over(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("trip 2"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match="photos/trip 2: cannot be read: Permission denied; check the directory's"):
        find("photos")
    found = [path.as_posix() for path in find("photos", missing=True)]
    assert "photos/trip 2" in found and len(found) > 1                       # answered in its place, and the walk goes on
