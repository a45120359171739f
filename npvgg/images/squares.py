"""A folder of pictures → the same folder with squares of one size."""
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from npvgg.errors import NpvggError, UsageError
from npvgg.images.finding import find
from npvgg.images.reading import read
from npvgg.storage import atomic_file
from npvgg.text import shown

FITS = ("crop", "squash", "pad")
SETTINGS = {"png": {"format": "PNG"}, "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0}}


def plan(source: str | os.PathLike, target: str | os.PathLike, form: str, *, force: bool = False) -> list[tuple[Path, Path]]:
    """The pictures below a folder → (picture, file to write) of each.

    UsageError where there is none, where two would be written to one file, where one is there already and not `force`, and
    where the target lies in the source or is it.
    """
    root, end = Path(source), Path(target)
    if not root.is_dir():
        raise UsageError(f"{shown(root)} is no folder; give the folder that the pictures are in")
    if end.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{shown(end)} lies in {shown(root)}, whose pictures are read; give another folder")
    pairs, seen = [], {}
    for path in find([root]):
        file = (end / path.relative_to(root)).with_suffix(f".{form}")
        if file in seen:
            file = file.with_name(f"{path.name}.{form}")
        if file in seen or not force and file.exists():
            raise UsageError(f"{shown(file)} exists already; give another folder, or overwrite it with --force (in "
                             "Python force=True)")
        seen[file] = path
        pairs.append((path, file))
    return pairs


def written(pairs: Sequence[tuple[Path, Path]], *, size: int, fit: str = "crop", form: str = "png", force: bool = False,
            exif: bool = False, background: str | None = None) -> Iterator[tuple[Path, NpvggError | None]]:
    """Write each square → its picture, and the error where it could not be read.  StorageError where it cannot be written."""
    for path, file in pairs:
        try:
            picture = square(read(path, exif=exif, background=background), size, fit)
        except NpvggError as error:
            yield path, error
            continue
        data = io.BytesIO()
        picture.save(data, **SETTINGS[form])
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic_file.StorageError(atomic_file.sentence(file.parent, error)) from None
        atomic_file.write(file, data.getvalue(), force=force)
        yield path, None


def square(picture: Image.Image, size: int, fit: str) -> Image.Image:
    """A picture → size × size: its middle, the whole of it out of proportion, or the whole of it on black."""
    bilinear = Image.Resampling.BILINEAR
    if fit == "squash":
        return picture.resize((size, size), bilinear)
    width, height = picture.size
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((size, size), bilinear)
