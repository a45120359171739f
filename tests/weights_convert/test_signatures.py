"""What a file is, by its first bytes: every other kind of file gets its own sentence."""
import gzip
import io
import lzma
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image
from witnesses import checkpoint_builder as builder
from witnesses.refusal import refusal

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert import signatures


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (5, 3)).save(file, kind)
    return file.getvalue()


def tar(*names):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def numpy_file():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


SAFETENSORS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
OTHER_FILES = {
    "empty": (b"", "empty"),
    "HTML": (b"<!DOCTYPE html>\n<html><head><title>404</title>", "HTML"),
    "HTML after a byte order mark and spaces": (b"\xef\xbb\xbf\n  <html>", "HTML"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "XML"),
    "git-LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 55\n", "git lfs pull"),
    "JSON": (b'{"error": "not found"}', "JSON"),
    "text": (b"Not Found\r\n", "text file"),
    "gzip": (gzip.compress(b"x"), "gzip"),
    "xz": (lzma.compress(b"x"), "an xz"),
    "bzip2": (b"BZh91AY&SY", "bzip2"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
    "RAR": (b"Rar!\x1a\x07\x01\x00", "RAR"),
    "PNG": (picture("PNG"), "PNG"),
    "JPEG": (picture("JPEG"), "JPEG"),
    "GIF": (picture("GIF"), "GIF"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "ELF": (b"\x7fELF\x02\x01", "program"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\x00\x00", "HDF5"),
    "NumPy": (numpy_file(), "NumPy"),
    "safetensors": (struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS + b"\0\0\0\0", "safetensors"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:", "ONNX"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite"),
    "ONNX Runtime's own": (b"\x18\0\0\0ORTM\0\0", "(.ort), not a PyTorch checkpoint (give the .onnx file"),
    "Caffe's solver": (b"\x08\x90\x4e\x12\x16vgg_iter_10.caffemodel\x1a\x05", "(.solverstate), not"),
    "Caffe's mean": (b"\x08\x01\x10\x03\x18\x80\x02\x20\x80\x02\x2a\x10", "(.binaryproto), not"),
    "Caffe's description": (b"# deploy\nname: \"VGG\"\nlayer {\n", "(.prototxt), not a PyTorch checkpoint (give the .caffemo"),
    "TensorFlow": (b"\x08\x01\x12\xa0\x05\x0a\x10\x12\x01", "a SavedModel of TensorFlow"),
    "another text": (b"404: the layer is not here\n", "text file"),
    "GGUF": (b"GGUF\x03\0\0\0", "GGUF"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB"),
    "empty zip": (b"PK\x05\x06" + b"\0" * 18, "empty zip"),
    "half a pickle": (b"\x80", "Python pickle"), "protocol 1 with a mark": (b"\x80\x01}.", "Python pickle"),
    "zeros": (b"\0" * 600, "zeros"),
    "noise": (bytes(range(200, 256)), "starts with the bytes c8 c9"),
    "another tar": (tar("photo.jpg"), "tar archive"),
    "one letter": (b"P", "text file"),
    "half a signature": (b"PK\x03", "starts with the bytes 50 4b 03"),
}
UNSUPPORTED = {
    "tar checkpoint": (tar("sys_info", "pickle", "storages", "tensors"), "0.1.9"),
    "tar checkpoint, other order": (tar("./storages", "tensors"), "0.1.9"),
    "TorchScript preview": (b"PYTORCH1\0\0", "TorchScript"),
    "protocol 0": (b"L119547037146038801333356L\n.", "protocol 0 or 1"),
    "protocol 1": (signatures.MAGIC, "protocol 0 or 1"),
}


@pytest.mark.parametrize("data, text", OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_file_is_named(data, text):
    assert text in refusal(data, BadFileError)


@pytest.mark.parametrize("data, text", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_other_formats_of_pytorch_are_named(data, text):
    assert text in refusal(data, UnsupportedError)


@pytest.mark.parametrize("container, name", [("legacy", signatures.LEGACY), ("zip", signatures.ZIP)])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_checkpoints_are_recognised(container, name, protocol):
    program, storages = builder.state_dict({"w": np.zeros(2, "f4")})
    assert signatures.recognise(builder.write(container, program, storages, protocol)[:signatures.HEAD]) == name


def test_magic_number_in_a_frame():
    framed = b"\x80\x04\x95" + struct.pack("<Q", len(signatures.MAGIC)) + signatures.MAGIC
    assert signatures.recognise(framed) == signatures.LEGACY and signatures.magic_end(framed) == len(framed)
    assert signatures.magic_end(b"\x80\x04\x95" + struct.pack("<Q", 99) + signatures.MAGIC) is None
