"""Weights in several files: an index, and the shards that it names, which lie beside it.

    model.safetensors.index.json    {"metadata": …, "weight_map": {"features.0.weight": "model-00001-of-00002.safetensors", …}}
    pytorch_model.bin.index.json    the same for pytorch_model-00001-of-00002.bin

Every key of the index has to be in the shard that it names, and no shard may hold another.  A shard alone is refused, for it is
a part of a network that may look like a whole one.  Source: huggingface_hub, serialization; transformers, modeling_utils.
"""
import hashlib
import re
from pathlib import Path

from npvgg.errors import BadFileError
from npvgg.storage import strict_json
from weights_convert import opened_file
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import quoted

LONGEST_INDEX = 8 << 20                   # bytes; a VGG's has three thousand
MOST_SHARDS = 1000
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|bin|pth|pt)")


def check_whole(path: Path) -> None:
    """BadFileError for a file that is called as one of several shards."""
    match = SHARD.fullmatch(path.name)
    if match and int(match[3]) > 1:
        raise BadFileError(f"it is called as shard {int(match[2])} of {int(match[3])}, a part of a network; name "
                           f"{match[1]}.{match[4]}.index.json beside it, or the folder")


def read(file, size, one):
    """An index, opened → FileContents of all shards; `one` reads a shard, (file, size) → FileContents.

    BadFileError for JSON that is no index, for a shard that is missing, and where index and shards disagree.
    """
    places, folder = weight_map(file, size), Path(file.name).parent
    names = list(dict.fromkeys(places.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BadFileError(f"of the {len(names)} shards it names, {len(missing)} are missing ({quoted(missing)}); put all of "
                           "them beside it")
    tensors, read_from, remarks, containers = {}, {}, [], {}
    for name in names:
        with opened_file.opened(folder / name) as (shard, length):
            if shard.read(1) == b"{":
                raise BadFileError("it is JSON text where a shard belongs; fetch it again")
            contents = one(shard, length)
            shard.seek(0)
            digest = hashlib.file_digest(shard, "sha256").hexdigest()
        read_from |= dict.fromkeys(contents.tensors, name)
        tensors |= contents.tensors
        containers[contents.container] = None
        remarks += [remark for remark in contents.remarks if remark not in remarks]
        remarks.append(f"shard {name}: SHA-256 {digest}")
    wrong = [key for key in {**places, **read_from} if places.get(key) != read_from.get(key)]
    if wrong:
        raise BadFileError(f"index and shards disagree about {quoted(wrong)}; fetch them again")
    return FileContents(tensors={key: tensors[key] for key in places}, remarks=tuple(remarks),
                        files=tuple(folder / name for name in names),
                        container=f"{len(names)} shards ({', '.join(containers)})")


def weight_map(file, size):
    """An index, opened → {key: name of its shard}."""
    try:
        content = strict_json.read(file.read(LONGEST_INDEX)) if size <= LONGEST_INDEX else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise BadFileError("it is JSON text, or was cut; give a file with weights (fetch it again if it should be one)")
    places = content.get("weight_map")
    if places is None:
        raise BadFileError(f"it is JSON text ({quoted(list(content))}) without weights, a description for example; name the "
                           "file with the weights, or the folder")
    is_map = isinstance(places, dict) and places and all(is_name(name) for name in places.values())
    if not is_map or len(set(places.values())) > MOST_SHARDS:
        raise BadFileError("its \"weight_map\" does not name files beside it; fetch it again")
    return places


def is_name(name):
    """Whether it is the name of a file, without a folder."""
    return type(name) is str and name.isprintable() and "\\" not in name and Path(name).name == name not in ("", ".", "..")
