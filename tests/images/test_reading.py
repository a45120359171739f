"""Which files are taken, how each kind of pixel becomes RGB, and what is said about the others."""
import io
import os
import re
import shutil
import socket
import struct
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from witnesses.encoded import FILES, PICTURE, encode, noise, png_claiming, smooth

from npvgg.errors import ImageError, StorageError, UsageError
from npvgg.images import reading
from npvgg.images.reading import read


def levels(picture, mode="RGB"):
    assert picture.mode == mode
    return np.asarray(picture)


def by_pillow(content, mode="RGB"):
    """The recipe of torchvision's default_loader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def refusal(source, error=ImageError, **options):
    """The message of the error that reading must end in: one line, no full stop, a next step."""
    with pytest.raises(error) as caught:
        read(source, **options)
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.isprintable() and not message.endswith(".") and (";" in message or "(" in message)
    return message


# ------------------------------------------------------------------------------------------------ pixels become RGB

@pytest.mark.parametrize("target", reading.TARGETS)
@pytest.mark.parametrize("kind", [kind for kind in FILES if "16-bit" not in kind])
def test_eight_bit_files_give_what_pillow_and_so_torchvision_gives(kind, target):
    assert np.array_equal(levels(read(FILES[kind], mode=target), target), by_pillow(FILES[kind], target))


@pytest.mark.parametrize("target", reading.TARGETS)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "PA"])
def test_eight_bit_modes_are_converted_by_pillow(mode, target):
    picture = noise(7, 11, mode)
    assert np.array_equal(levels(read(picture, mode=target), target), np.asarray(picture.convert(target)))


def test_grey_is_the_weighted_sum_of_the_colours():
    """(299 R + 587 G + 114 B) / 1000, rounded; Pillow's weights are 16-bit fractions of these."""
    picture = noise(40, 50)
    exact = np.asarray(picture, np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(levels(read(picture, mode="L"), "L") - exact).max() <= 0.51
    grey = noise(40, 50, "L")
    assert np.array_equal(levels(read(grey.convert("RGB"), mode="L"), "L"), np.asarray(grey))


def test_alpha_is_kept_in_rgba_and_255_where_there_is_none():
    assert levels(read(rgba(), mode="RGBA"), "RGBA").tolist() == [[[255, 0, 0, 255], [0, 255, 0, 128], [0, 0, 255, 0]]]
    assert levels(read(palette_with_alpha(), mode="RGBA"), "RGBA")[0, :, 3].tolist() == [255, 128, 0]
    for mode in ("L", "RGB"):
        assert levels(read(one_clear_colour(mode), mode="RGBA"), "RGBA")[0, :, 3].tolist() == [255, 255, 0]
    assert (levels(read(PICTURE, mode="RGBA"), "RGBA")[:, :, 3] == 255).all()


@pytest.mark.parametrize("mode", ["BGR", "rgb", "CMYK", None, ("L",)], ids=str)
def test_another_mode_is_a_usage_error(mode):
    close = " (did you mean 'RGB'?)" if mode == "rgb" else ""
    assert refusal(PICTURE, UsageError, mode=mode) == f"mode is {mode!r}{close}; choose one of RGB, L, RGBA"


@pytest.mark.parametrize("content", [
    encode(noise(5, 9, "I;16"), "PNG"), encode(noise(5, 9, "I;16"), "TIFF"),
    encode(Image.fromarray(np.asarray(noise(5, 9, "I;16")).astype(">u2")), "TIFF"),
], ids=["png", "tiff", "tiff-big-endian"])
def test_sixteen_bits_keep_their_high_byte(content):
    high = np.asarray(noise(5, 9, "I;16")) >> 8
    assert np.array_equal(levels(read(content)), np.repeat(high[:, :, None], 3, axis=2))
    assert np.array_equal(levels(read(content, mode="L"), "L"), high)


@pytest.mark.parametrize("mode", ["I", "F", "LAB", "La"])
def test_pixels_without_a_known_white_are_refused(mode):
    picture = noise(5, 9, mode)
    assert refusal(picture) == (f"the picture: pixels of mode {mode} do not say which value is white; "
                                "save it with 8 bits a channel first")
    if mode in ("I", "F"):
        assert f"mode {mode} " in refusal(encode(picture, "TIFF"))


def test_pillow_widens_a_sixteen_bit_pgm_so_it_is_refused():
    assert "mode I " in refusal(encode(noise(5, 9, "I;16"), "PPM"))


def test_a_picture_that_is_rgb_already_comes_back_as_it_is():
    assert read(PICTURE) is PICTURE


def test_the_callers_picture_is_not_changed():
    picture = noise(5, 9, "P")
    picture.info["transparency"] = 3
    before = picture.tobytes()
    read(picture)
    read(picture, background="red", exif=True)
    assert (picture.mode, picture.info, picture.tobytes()) == ("P", {"transparency": 3}, before)


def rgba():
    """Red, opaque; green, half; blue, clear."""
    return Image.fromarray(np.array([[[255, 0, 0, 255], [0, 255, 0, 128], [0, 0, 255, 0]]], np.uint8))


def palette_with_alpha():
    picture = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return encode(picture, "PNG", transparency=bytes([255, 128, 0]))


def one_clear_colour(mode):
    picture = Image.frombytes(mode, (3, 1), bytes(range(0, 30 * 3 * len(mode), 30)))
    return encode(picture, "PNG", transparency=60 if mode == "L" else (180, 210, 240))


def test_alpha_is_dropped_so_that_hidden_colours_show():
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert levels(read(rgba())).tolist() == expected
    assert levels(read(encode(rgba(), "PNG"))).tolist() == expected
    assert levels(read(palette_with_alpha())).tolist() == expected
    assert levels(read(one_clear_colour("L"))).tolist() == [[[0] * 3, [30] * 3, [60] * 3]]
    assert levels(read(one_clear_colour("RGB"))).tolist() == [[[0, 30, 60], [90, 120, 150], [180, 210, 240]]]


@pytest.mark.parametrize("background, clear, half", [
    ("white", [255, 255, 255], [127, 255, 127]), ("#204060", [32, 64, 96], [16, 160, 48]),
    ("black", [0, 0, 0], [0, 128, 0]),
])
def test_background_shows_through(background, clear, half):
    for source in (rgba(), encode(rgba(), "PNG"), palette_with_alpha()):
        opaque, middle, empty = levels(read(source, background=background))[0].tolist()
        assert (opaque, empty) == ([255, 0, 0], clear)
        assert np.abs(np.subtract(middle, half)).max() <= 1
    assert levels(read(one_clear_colour("L"), background=background))[0, 2].tolist() == clear
    assert levels(read(one_clear_colour("RGB"), background=background))[0, 2].tolist() == clear
    laid = read(rgba(), background=background)
    assert np.array_equal(levels(read(rgba(), background=background, mode="L"), "L"), np.asarray(laid.convert("L")))
    assert np.array_equal(levels(read(rgba(), background=background, mode="RGBA"), "RGBA"), np.asarray(laid.convert("RGBA")))


def test_background_leaves_opaque_pictures_alone():
    assert read(PICTURE, background="white") is PICTURE


@pytest.mark.parametrize("background", ["whitish", "#12", "#ff000080", "", 7, (1, 2, 3)])
def test_a_background_that_is_no_colour_is_a_usage_error(background):
    assert refusal(PICTURE, UsageError, background=background).startswith(f"background {background!r} is not an opaque")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_ignored_unless_asked_for(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(PICTURE, "PNG", exif=exif)
    turned = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
              7: "TRANSVERSE", 8: "ROTATE_90"}.get(orientation)
    expected = PICTURE.transpose(Image.Transpose[turned]) if turned else PICTURE
    assert np.array_equal(levels(read(content)), levels(PICTURE))
    assert np.array_equal(levels(read(content, exif=True)), levels(expected))
    assert np.array_equal(levels(read(Image.open(io.BytesIO(content)), exif=True)), levels(expected))


def test_pillow_always_applies_the_orientation_of_a_tiff():
    content = encode(PICTURE, "TIFF", tiffinfo={0x0112: 6})
    expected = levels(PICTURE.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(by_pillow(content), expected)
    assert np.array_equal(levels(read(content)), expected)
    assert np.array_equal(levels(read(content, exif=True)), expected)


@pytest.mark.parametrize("kind", ["png-animated", "webp-animated", "gif-animated"])
def test_of_an_animation_the_first_frame_is_read(kind):
    assert np.abs(levels(read(FILES[kind])).astype(int) - levels(PICTURE).astype(int)).mean() < 60
    first = Image.open(io.BytesIO(FILES[kind]))
    assert first.n_frames == 2
    assert np.array_equal(levels(read(FILES[kind])), np.asarray(first.convert("RGB")))
    first.seek(1)
    assert not np.array_equal(levels(read(FILES[kind])), np.asarray(first.convert("RGB")))


# --------------------------------------------------------------------------------------------------------- sources

def test_path_bytes_and_files_give_the_same_picture(tmp_path):
    path = tmp_path / "a picture.png"
    path.write_bytes(FILES["png"])
    stream = io.BytesIO(FILES["png"])
    stream.seek(0, io.SEEK_END)
    with open(path, "rb") as file, tempfile.TemporaryFile() as nameless, tempfile.SpooledTemporaryFile() as spooled:
        nameless.write(FILES["png"])
        spooled.write(FILES["png"])
        for source in (path, str(path), FILES["png"], bytearray(FILES["png"]), memoryview(FILES["png"]), stream, file,
                       nameless, spooled, Image.open(path)):
            assert np.array_equal(levels(read(source)), levels(PICTURE))


@pytest.mark.parametrize("source", [None, 5, 3.5, {"a": 1}, np.zeros((4, 4, 3), np.uint8)], ids=str)
def test_other_types_are_a_usage_error(source):
    assert re.match(r"the picture is of type \w+; expected a path, bytes, a binary file or a PIL.Image",
                    refusal(source, UsageError))


def test_a_text_file_is_a_usage_error(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with open(tmp_path / "a.txt") as file:
        assert "gives str, not bytes; open it in binary mode" in refusal(file, UsageError)


def test_a_closed_file_is_a_storage_error():
    stream = io.BytesIO(FILES["png"])
    stream.close()
    assert "cannot be read" in refusal(stream, StorageError)


def test_files_that_are_not_there(tmp_path):
    assert refusal(tmp_path / "cat.jpg", StorageError) == f"{tmp_path}/cat.jpg: no such file; check the name"
    assert "not a possible file name" in refusal("cat\0.jpg", StorageError)
    assert refusal("cat\0.jpg", StorageError).startswith(r"cat\x00.jpg: ")
    assert "cannot be read: File name too long" in refusal("c" * 300 + ".jpg", StorageError)
    (tmp_path / "file").touch()
    assert "cannot be read: Not a directory" in refusal(tmp_path / "file" / "cat.jpg", StorageError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission(tmp_path):
    (tmp_path / "cat.jpg").write_bytes(FILES["jpeg"])
    (tmp_path / "cat.jpg").chmod(0)
    assert "cannot be read: Permission denied" in refusal(tmp_path / "cat.jpg", StorageError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_only_regular_files_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "a pipe, socket or device, not a regular file" in refusal(tmp_path / "pipe.jpg")
    assert "a pipe, socket or device" in refusal("/dev/zero")
    assert "a directory, not a picture" in refusal(tmp_path)
    monkeypatch.chdir(tmp_path)                                            # a socket's name has at most some 100 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        assert "socket.jpg: cannot be read" in refusal("socket.jpg", StorageError)
    (tmp_path / "link.png").symlink_to(tmp_path / "target.png")
    assert "no such file" in refusal(tmp_path / "link.png", StorageError)
    (tmp_path / "target.png").write_bytes(FILES["png"])
    assert np.array_equal(levels(read(tmp_path / "link.png")), levels(PICTURE))


def test_messages_stay_on_one_line(tmp_path):
    name = b"new\nline \x1b[31m \xff.jpg"
    path = os.path.join(os.fsencode(tmp_path), name)
    Path(os.fsdecode(path)).write_bytes(b"")
    assert refusal(os.fsdecode(path)) == rf"{tmp_path}/new\nline \x1b[31m \udcff.jpg: the file is empty; replace it"


# -------------------------------------------------------------------------------------------------- hostile pictures

FOREIGN = {
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an EPS or PostScript file"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF file"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "xml": (b'<?xml version="1.0"?><svg/>', "an XML or SVG file"),
    "html": (b"<!DOCTYPE html><title>404</title>", "a web page"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "a HEIC picture"),
    "avif": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(40), "an AVIF picture"),
    "psd": (b"8BPS\0\x01" + bytes(40), "a Photoshop file"),
    "zip": (b"PK\x03\x04" + bytes(40), "a zip archive"),
    "weights": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "ico": (b"\0\0\1\0\1\0" + bytes(40), "not a known picture format"),
    "fits": (b"SIMPLE  =                    T" + bytes(40), "not a known picture format"),
    "zeros": (bytes(1000), "not a known picture format"),
    "one-byte": (b"P", "not a known picture format"),
    "text": (b"hello", "not a known picture format"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_refused_by_name(kind):
    content, what = FOREIGN[kind]
    message = refusal(content)
    assert message.startswith(f"the picture: {what}")
    assert message.endswith("; convert it to JPEG, PNG, WebP, GIF, BMP, TIFF or PPM first")


def test_an_eps_never_reaches_ghostscript(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *a, **k: pytest.fail("Ghostscript was looked for"))
    (tmp_path / "a.jpg").write_bytes(FOREIGN["eps"][0])
    assert "EPS" in refusal(tmp_path / "a.jpg")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "cat.jpg").touch()
    assert refusal(tmp_path / "cat.jpg") == f"{tmp_path}/cat.jpg: the file is empty; replace it"
    assert "the file is empty" in refusal(b"")


def test_a_file_that_is_too_large_is_refused(tmp_path):
    with open(tmp_path / "cat.png", "wb") as file:
        file.write(FILES["png"])
        file.truncate(reading.MAX_BYTES + 1)                               # a hole: takes no space on the disk
    assert refusal(tmp_path / "cat.png") == f"{tmp_path}/cat.png: larger than 64 MiB; scale it down first"
    with open(tmp_path / "cat.png", "rb+") as file:
        file.truncate(reading.MAX_BYTES)
    assert np.array_equal(levels(read(tmp_path / "cat.png")), levels(PICTURE))


def claiming(format_name, width, height):
    """A small file of the format whose header promises width × height pixels."""
    content = bytearray(FILES[format_name])
    at, code = {"bmp": (18, "<ii"), "gif": (6, "<HH")}.get(format_name, (None, None))
    if format_name == "png":
        return png_claiming(width, height)
    if format_name == "ppm":
        return b"P6 %d %d 255\n" % (width, height)
    if format_name == "jpeg":
        at, code, width, height = content.index(b"\xff\xc0") + 5, ">HH", height, width
    if format_name == "webp":                             # 24-bit sizes less one, in the header of an extended file
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
        return b"RIFF" + struct.pack("<I", 4 + len(chunk) + len(content) - 12) + b"WEBP" + chunk + content[12:]
    if format_name == "tiff":
        for tag, value in ((256, width), (257, height)):
            entry = content.index(struct.pack("<H", tag), struct.unpack_from("<I", content, 4)[0])
            content[entry:entry + 12] = struct.pack("<HHII", tag, 4, 1, value)
        return bytes(content)
    content[at:at + struct.calcsize(code)] = struct.pack(code, width, height)
    return bytes(content)


@pytest.mark.parametrize("size", [(7072, 7071), (9999, 9999), (15000, 15000), (50_000_001, 1)],
                         ids=["just-above-50M", "where-Pillow-warns", "where-Pillow-refuses", "one-row"])
@pytest.mark.parametrize("format_name", ["png", "bmp", "jpeg", "gif", "tiff", "ppm"])
def test_a_bomb_is_refused_before_its_pixels_are_decoded(format_name, size, monkeypatch):
    if max(size) > 65535 and format_name in ("jpeg", "gif"):
        pytest.skip("the format's sizes have 16 bits")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("pixels were decoded"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "more than 50,000,000 pixels" in refusal(claiming(format_name, *size))
    assert not caught


def test_a_webp_bomb_is_refused():
    assert refusal(claiming("webp", 16383, 16383)).startswith("the picture: ")


def test_the_limit_itself_is_allowed():
    reading.refuse_size((10_000, 5_000), "cat.jpg")
    with pytest.raises(ImageError, match="cat.jpg: 10000×5001 is more than 50,000,000 pixels; scale it down first"):
        reading.refuse_size((10_000, 5_001), "cat.jpg")


def test_a_pictures_own_pixels_count_when_it_comes_as_pil_image(monkeypatch):
    monkeypatch.setattr(reading, "MAX_PIXELS", 500)
    assert refusal(PICTURE) == "the picture: 27×19 is more than 500 pixels; scale it down first"


@pytest.mark.parametrize("width, height, good", [(1, 1, True), (20, 1, True), (1, 20, True), (21, 1, False),
                                                 (1, 4000, False), (61, 3, False), (60, 3, True)])
def test_long_thin_pictures_are_refused(width, height, good):
    picture = smooth(height, width)
    for source in (picture, encode(picture, "PNG")):
        if good:
            assert read(source).size == (width, height)
        else:
            assert f"{width}×{height} is longer than 20:1; crop the part that matters first" in refusal(source)


def test_a_picture_without_pixels_is_refused():
    assert "0×5 has no pixels" in refusal(Image.new("RGB", (0, 5)))


def test_a_jpeg_of_very_many_scans_is_refused():
    content = FILES["jpeg-progressive"]
    last = content[content.rindex(b"\xff\xda"):-2]
    some = content[:-2] + 50 * last + content[-2:]
    assert np.array_equal(levels(read(some)), by_pillow(some))
    assert re.search(r"\d{4} scans where a progressive JPEG has about ten",
                     refusal(content[:-2] + 5000 * last + content[-2:]))


def test_scans_are_counted_in_large_files_too():
    """Once a file of 58 MiB might have 1,900 of them: fourteen seconds."""
    content = FILES["jpeg-progressive"]
    last = content[content.rindex(b"\xff\xda"):-2]
    more = 151 - content.count(b"\xff\xda")
    assert "151 scans" in refusal(content[:-2] + more * last + content[-2:] + bytes(5 * 2**20))


def test_a_jpeg_of_very_many_pieces_of_exif_is_refused():
    content = FILES["jpeg"]
    piece = b"\xff\xe1\x00\x10Exif\0\0" + bytes(8)
    assert np.array_equal(levels(read(content[:2] + 20 * piece + content[2:])), levels(read(content)))
    assert "900 pieces of EXIF where a JPEG has one" in refusal(content[:2] + 900 * piece + content[2:])


def test_a_large_bmp_of_run_lengths_is_refused():
    content = bytearray(FILES["bmp"])
    content[30] = 1
    assert "a BMP of run lengths larger than 8 MiB; save it as PNG" in refusal(bytes(content) + bytes(8 * 2**20))


def test_a_video_behind_a_jpeg_is_not_taken_for_scans():
    content = FILES["jpeg"] + np.random.default_rng(0).bytes(30 * 2**20)
    assert np.array_equal(levels(read(content)), levels(read(FILES["jpeg"])))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_refused_or_whole(kind):
    """Cut inside the first frame it is refused; what is cut off behind the last pixel is not missed."""
    content = FILES[kind]
    whole = levels(read(content))
    refused = set()
    for length in range(0, len(content), max(1, len(content) // 200)):
        try:
            assert np.array_equal(levels(read(content[:length])), whole), f"cut after {length} bytes"
        except ImageError as error:
            refused.add(length)
            assert str(error).startswith("the picture: ") and str(error).isprintable()
    assert refused.issuperset(range(0, len(content) // 3, max(1, len(content) // 200)))
    assert "cannot be decoded" in refusal(content[:len(content) // 3])


def test_a_truncated_pil_image_is_refused():
    assert "cannot be decoded" in refusal(Image.open(io.BytesIO(encode(noise(50, 50), "PNG")[:-200])))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_warned_of(kind):
    read(FILES[kind])
    read(FILES[kind], background="white", exif=True)


def test_threads_do_not_disturb_one_another():
    """Bombs in one thread, good pictures in another: right answers in both, and no process-wide setting touched."""
    def settings():
        return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters, warnings.showwarning

    before, list_before = settings(), list(warnings.filters)
    bombs = [claiming("png", 9999, 9999), claiming("bmp", 15000, 15000), FILES["png"][:-200], FILES["jpeg"][:-200]]
    good = {kind: levels(read(FILES[kind])) for kind in ("jpeg", "png", "png-palette", "gif", "tiff")}
    problems, start = [], threading.Barrier(4)

    def refuse_bombs():
        start.wait()
        for k in range(200):
            try:
                read(bombs[k % len(bombs)])
                problems.append("a bomb was read")
            except ImageError:
                pass
            if settings() != before:
                problems.append("a setting changed")

    def read_good():
        start.wait()
        for k in range(200):
            kind = list(good)[k % len(good)]
            if not np.array_equal(levels(read(FILES[kind])), good[kind]):
                problems.append(f"{kind} was read differently")

    threads = [threading.Thread(target=target) for target in (refuse_bombs, read_good, refuse_bombs, read_good)]
    with warnings.catch_warnings(record=True) as caught:
        before = settings()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems and not caught
    assert list(warnings.filters) == list_before


def test_photographs_of_scikit_image():
    """Every picture that it carries reads as Pillow reads it, or is refused for a reason."""
    folder = Path(pytest.importorskip("skimage.data").__file__).parent
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg", ".gif", ".tif")]
    assert len(paths) > 5
    for path in paths:
        if path.name == "multipage_rgb.tif":                              # 32-bit floats in three channels
            assert "cannot be decoded" in refusal(path)
            continue
        with Image.open(path) as picture:
            if picture.mode.startswith("I;16"):
                expected = np.asarray(picture) >> 8
                assert np.array_equal(levels(read(path))[:, :, 0], expected), path.name
            elif picture.mode in ("I", "F"):
                assert "white" in refusal(path), path.name
            else:
                assert np.array_equal(levels(read(path)), by_pillow(path.read_bytes())), path.name


def test_exif_transpose_agrees_with_pillow_on_a_jpeg():
    exif = Image.Exif()
    exif[0x0112] = 8
    content = encode(PICTURE, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(levels(read(content, exif=True)), np.asarray(expected))
