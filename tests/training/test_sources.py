"""Data sets as they lie on disks, and the sentences for those that are none."""
import gzip

import numpy as np
import pytest
from witnesses import training_data
from witnesses.training_data import NAMES, levels

from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.training import pictures, sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return training_data.folder(tmp_path_factory.mktemp("data"), 12)


def test_a_folder_of_classes(folder):
    data = sources.read(folder)
    assert data.class_names == NAMES and data.counts().tolist() == [4, 4, 4] and data.levels.shape == (12, 32, 32, 3)
    x, _ = levels(12)
    order = [int(path.rsplit("/", 1)[1].removesuffix(".png")) for path in data.paths]
    assert np.array_equal(data.levels, x[order])
    assert sources.read(folder).digest == data.digest


def test_pictures_of_several_sizes_are_decoded_when_they_are_needed(folder, tmp_path):
    training_data.folder(tmp_path, 6)
    training_data.folder(tmp_path / "ant", 3, side=40)
    data = sources.read(tmp_path)
    assert data.levels is None and {tuple(size) for size in data.sizes.tolist()} == {(32, 32), (40, 40)}
    assert np.asarray(data.picture(0)).shape in ((32, 32, 3), (40, 40, 3))


def test_pictures_that_cannot_be_read_are_left_out_and_listed(tmp_path):
    training_data.folder(tmp_path, 6)
    (tmp_path / "ant/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 none")
    (tmp_path / "bee/empty.png").write_bytes(b"")
    data = sources.read(tmp_path)
    assert len(data) == 6 and len(data.levels) == 6
    assert sorted(path.rsplit("/", 1)[1] for path, _ in data.skipped) == ["broken.jpg", "empty.png"]
    assert all(reason for _, reason in data.skipped)


def test_a_list_of_names_numbers_and_several_labels(folder, tmp_path):
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*.png"))][:4]
    place = folder / "list.txt"
    place.write_text("# mine\n" + "".join(f"{file} {label}\n" for file, label in zip(files, ["x", "y", "x", "y"], strict=True)))
    assert sources.read(place).class_names == ("x", "y") and sources.read(place).targets.tolist() == [0, 1, 0, 1]
    place.write_text("".join(f"{file}\t{label}\n" for file, label in zip(files, [0, 2, 1, 2], strict=True)))
    assert sources.read(place).class_names == ("0", "1", "2") and sources.read(place).targets.tolist() == [0, 2, 1, 2]
    assert sources.read(place, class_names=NAMES).class_names == NAMES
    place.write_text("".join(f"{file} {label}\n" for file, label in zip(files, ["x,y", "-", "y", "x"], strict=True)))
    assert sources.read(place).targets.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]] and sources.read(place).is_multi_label
    place.write_text(f"{files[0]} 7\n")
    with pytest.raises(UsageError, match="label '7' in .* is out of range; the 3 classes are ant"):
        sources.read(place, class_names=NAMES)
    place.write_text("nothing\n")
    with pytest.raises(UsageError, match="line 1 of"):
        sources.read(place)


def test_cifars_records(tmp_path):
    x, classes = levels(5)
    planes = x.transpose(0, 3, 1, 2).reshape(5, -1)
    ten = np.concatenate([classes.astype(np.uint8)[:, None], planes], axis=1)
    (tmp_path / "data_batch_1.bin").write_bytes(ten[:3].tobytes())
    (tmp_path / "data_batch_2.bin").write_bytes(ten[3:].tobytes())
    (tmp_path / "batches.meta.txt").write_text("ant\nbee\ncat\n\n")
    data = sources.read(tmp_path)
    assert data.class_names == NAMES and np.array_equal(data.levels, x) and data.targets.tolist() == classes.tolist()
    assert len(sources.read(tmp_path / "data_batch_2.bin")) == 2
    (tmp_path / "data_batch_2.bin").write_bytes(ten.tobytes()[:-1])
    with pytest.raises(BadFileError, match="no multiple of CIFAR's records of 3073"):
        sources.read(tmp_path)
    hundred = np.concatenate([np.zeros((5, 1), np.uint8), ten], axis=1)
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine/train.bin").write_bytes(hundred.tobytes())
    assert np.array_equal(sources.read(tmp_path / "fine").levels, x)


def test_mnists_idx(tmp_path):
    x, classes = levels(5)
    images = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (5, 32, 32)) + x[..., 0].tobytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    with pytest.raises(StorageError, match="labels .* beside"):
        sources.read(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 5)) + classes.astype(np.uint8).tobytes()))
    data = sources.read(tmp_path)
    assert data.mode == "L" and np.array_equal(data.levels[..., 0], x[..., 0]) and data.targets.tolist() == classes.tolist()
    assert data.in_mode("RGB").levels.shape == (5, 32, 32, 3)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images[:-1]))
    with pytest.raises(BadFileError, match="cut short"):
        sources.read(tmp_path)


def test_arrays_in_an_npz(tmp_path):
    x, classes = levels(5)
    np.savez(tmp_path / "a.npz", x=x, y=classes, class_names=np.array(NAMES))
    assert sources.read(tmp_path / "a.npz").class_names == NAMES
    np.savez(tmp_path / "b.npz", x=x)
    with pytest.raises(UsageError, match="x and y"):
        sources.read(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(BadFileError, match="cannot be read as .npz"):
        sources.read(tmp_path / "c.npz")


@pytest.mark.parametrize("x, y, names, telling", [
    (np.zeros((3, 32, 32, 3)), [0, 1, 2], None, "uint8"), (np.zeros((3, 32, 32), np.uint8), [0, 1], None, "one label for each"),
    (np.zeros((3, 32, 32), np.uint8), [0, 1, 3], NAMES, "label 3 of picture 2 .* out of range; labels go from 0 to 2"),
    (np.zeros((3, 32, 32), np.uint8), [0, -1, 3], None, "label -1"),
    (np.zeros((3, 32, 32), np.uint8), [0.5, 1, 2], None, "float"),
    (np.zeros((3, 32, 32), np.uint8), [[0, 2]] * 3, None, "0 or 1"),
], ids=["dtype", "count", "range", "negative", "fractions", "rows"])
def test_arrays_that_make_no_sense(x, y, names, telling):
    with pytest.raises(UsageError, match=telling):
        pictures.of_arrays(x, np.array(y), names)


def test_folders_that_are_no_data_sets(folder, tmp_path):
    with pytest.raises(StorageError, match="there is no"):
        sources.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no folder of a class"):
        sources.read(tmp_path)
    training_data.folder(tmp_path / "train", 6)
    (tmp_path / "val").mkdir()
    with pytest.raises(UsageError, match="train and val, which look like parts"):
        sources.read(tmp_path)
    (tmp_path / "train/dog").mkdir()
    with pytest.raises(UsageError, match="class folder .*dog has no picture"):
        sources.read(tmp_path / "train")
    with pytest.raises(UsageError, match="has cat, which is none of the 2 classes"):
        sources.read(folder, class_names=("ant", "bee"))
    (tmp_path / "one/only").mkdir(parents=True)
    for path in (tmp_path / "train/ant").iterdir():
        (tmp_path / "one/only" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="one class, only"):
        pictures.check_classes(sources.read(tmp_path / "one"), "one")
    with pytest.raises(UsageError, match="no picture of cat"):
        pictures.check_classes(pictures.of_arrays(np.zeros((2, 32, 32), np.uint8), np.array([0, 1]), NAMES), "two")
    (tmp_path / "none/a").mkdir(parents=True)
    (tmp_path / "none/a/x.png").write_bytes(b"no")
    with pytest.raises(BadFileError, match="no picture that can be read"):
        sources.read(tmp_path / "none")


def test_a_part_is_held_out_of_each_class():
    data = training_data.arrays(60)
    train, val = pictures.split(data, 0.2, seed=1)
    assert val.counts().tolist() == [4, 4, 4] and train.counts().tolist() == [16, 16, 16]
    again, other = pictures.split(data, 0.2, seed=1)[1], pictures.split(data, 0.2, seed=2)[1]
    assert [val.levels[k].tobytes() for k in range(12)] == [again.levels[k].tobytes() for k in range(12)]
    assert [val.levels[k].tobytes() for k in range(12)] != [other.levels[k].tobytes() for k in range(12)]
    kept = {train.levels[k].tobytes() for k in range(48)}
    assert not kept & {val.levels[k].tobytes() for k in range(12)}
    assert pictures.split(data, 0.01, 0)[1].counts().tolist() == [1, 1, 1]
    for share in (0, 1, 1.5, "x"):
        with pytest.raises(UsageError, match="fraction"):
            pictures.split(data, share, 0)
    with pytest.raises(UsageError, match="cannot be parted"):
        pictures.split(training_data.arrays(3), 0.5, 0)
