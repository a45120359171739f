"""A weights file → a page that says what is in it: the header, and every array with its shape, bytes and digest."""
import os
from dataclasses import dataclass

from npvgg import text, text_table
from npvgg.storage.half_precision import name_of
from npvgg.weights import SelfTest, open_contents, read_labels, read_self_test

LISTED_LABELS = 10


@dataclass(frozen=True)
class Tensor:
    """One array of the file, as its header describes it."""

    path: str
    shape: tuple
    dtype: str
    nbytes: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Inspection:
    """The header of a weights file; `str` of it is a page for people."""

    path: str
    size_bytes: int
    header: dict                              # the attributes of the root
    class_names: tuple | None
    self_test: SelfTest | None
    tensors: tuple                            # every array: parameters, labels, self-test, record

    def __str__(self) -> str:
        return self.page()

    def page(self, width: int | None = None) -> str:
        """For people, on a terminal of so many columns (`text_table`)."""
        fields = {"file": self.path, "bytes": f"{self.size_bytes:,}"} | self.header
        if self.class_names:
            fields["labels"] = f"{len(self.class_names):,}: {text.listed(self.class_names, LISTED_LABELS)}"
        if self.self_test:
            recorded = "" if self.self_test.record is None else ", layers, preparation and class names recorded"
            fields["self_test"] = f"seed {self.self_test.seed}, tolerance {self.self_test.tolerance:g}{recorded}"
        # Texts are whatever the file says: their line breaks are kept, other control characters are shown as escapes.
        fields = {name: "\n".join(map(text.shown, value.split("\n"))) for name, value in fields.items() if value != ""}
        lines = text_table.definitions(fields, width)
        table = text_table.render(("tensor", "shape", "dtype", "bytes", "SHA-256"),
                                  [(t.path, str(t.shape), t.dtype, f"{t.nbytes:,}", t.sha256) for t in self.tensors],
                                  left=(0, 1, 2, 4), width=width)
        return "\n".join([*lines, "", *table])


def inspect(path: str | bytes | os.PathLike) -> Inspection:
    """A weights file → Inspection; the parameters are not read.  Errors: those of `weights.read`."""
    contents, _ = open_contents(path)
    tensors = tuple(Tensor(name, entry.shape, "UTF-8" if entry.dtype.kind == "S" else name_of(entry.dtype), entry.nbytes,
                           entry.sha256) for name, entry in contents.entries.items())
    return Inspection(contents.path, contents.memory.identity.size, contents.attributes[""], read_labels(contents),
                      read_self_test(contents), tensors)
