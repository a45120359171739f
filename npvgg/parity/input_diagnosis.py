"""Two inputs that differ → which of them is prepared wrongly, and how.

With the picture each input is looked for among everything that people make of it.  Without it one of the two is taken to be
right, if it can be: then it comes from whole levels from 0 to 255; and the other one is looked for among what can be made of
those levels.
"""
import numpy as np

from npvgg import images
from npvgg.errors import UsageError
from npvgg.images import PRESETS, Preset
from npvgg.images.reading import read
from npvgg.parity import input_search
from npvgg.parity.catalogue.normalising import of_preset
from npvgg.parity.catalogue.rounding import rounded, step_of
from npvgg.parity.diagnosis import Cause, Finding
from npvgg.parity.facts import facts
from npvgg.parity.input_search import Reading, of_levels, of_picture, readings
from npvgg.parity.profile import profile
from npvgg.text import counted

NEAR = 1e-5                               # of the largest value: another order of float32 operations
WHOLE = 0.05                              # of a level, that levels which are whole may be off
SHIFTS = 24                               # pixels, up to which a crop that is off is looked for without the picture
CROP = "crop the middle: the offset is half of what is left over, rounded"


def diagnosed(a: np.ndarray, b: np.ndarray, preset: Preset | None, pictures: list | None) -> Finding:
    """Two inputs (N, C, H, W), the network's preset and the picture files where they are known → Finding for "input"."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    if a.ndim != 4 or b.ndim != 4:
        return unexplained(a, b, None, [])
    n = differing(a, b)
    if pictures is not None and preset is not None:
        return from_picture(a, b, n, preset, pictures[n])
    if a.shape != b.shape:
        return unexplained(a, b, None, [])
    return from_each_other(a, b, n, preset)


def differing(a: np.ndarray, b: np.ndarray) -> int:
    """The first picture in which two inputs differ."""
    if a.shape != b.shape:
        return 0
    gap = np.nan_to_num(np.abs(a - b), nan=np.inf).reshape(len(a), -1).max(axis=1)
    return int(np.argmax(gap > NEAR * np.abs(b[np.isfinite(b)]).max(initial=1e-30)))


def from_picture(a, b, n, preset, picture) -> Finding:
    """Both inputs beside what the picture gives."""
    causes, unknown = [], []
    right = prepared(picture, preset)
    for which, x in (("A", a[n]), ("B", b[n])):
        if not is_right(x, right):
            found = of_one_picture(x, right, preset, picture)
            if found is None:
                unknown.append(which)
            else:
                causes.append(cause(which, found))
    runs = {found.run for found in causes} | set(unknown)
    sentences = [fact for which, x in (("A", a), ("B", b)) if which in unknown
                 for fact in facts(x[n:n + 1], right[np.newaxis], NEAR * np.abs(right).max(), f"{which}'s input",
                                   "what the picture gives")]
    return Finding("input", runs.pop() if len(runs) == 1 else None, tuple(causes), tuple(sentences), profile(a, b))


def of_one_picture(x: np.ndarray, right: np.ndarray, preset: Preset, picture: object) -> Reading | None:
    """(C, H, W) → how it was made of the picture, None where nobody knows."""
    plain, turned = (read(picture, mode=preset.mode, exif=exif) for exif in (False, True))
    levels = of_preset(preset).back(right)
    return (short_of_digits(x, right) or next(readings(x, of_levels(levels), preset), None)
            or next(readings(x, of_picture(plain, turned, preset, x), preset), None))


def prepared(picture: object, preset: Preset) -> np.ndarray:
    """What the preset makes of one picture: (C, H, W) float64."""
    return images.batch(picture, preset)[0].astype(np.float64)


def is_right(x: np.ndarray, right: np.ndarray) -> bool:
    """Whether an input is what the picture gives, but for rounding."""
    return x.shape == right.shape and bool(np.abs(x - right).max() <= NEAR * np.abs(right).max())


def unlike(both: list[dict], preset: Preset, pictures: list) -> list[str]:
    """A sentence where both inputs agree and are not what the preset makes of the pictures."""
    wrong = [str(n) for n, picture in enumerate(pictures) if not is_right(both[0]["input"][n], prepared(picture, preset))]
    return [f"both inputs agree, and are not what the preset {preset.name} makes of the pictures given (counted from 0: "
            f"{', '.join(wrong)})"] if wrong else []


def from_each_other(a, b, n, preset) -> Finding:
    """Each input from the levels of the other one."""
    found = {}
    for which, x, other in (("A", a[n], b[n]), ("B", b[n], a[n])):
        for recipe in [preset] if preset else PRESETS.values():
            if recipe.channels != x.shape[0]:
                continue
            levels = of_preset(recipe).back(other)
            if levels.min() < -WHOLE or levels.max() > 255 + WHOLE:
                continue
            reading = short_of_digits(x, other) or next(readings(x, of_levels(levels), recipe), None) or shifted(
                x, levels, recipe)
            if reading is not None and reading.name:
                is_whole = bool(np.abs(levels - np.rint(levels)).max() <= WHOLE)
                found.setdefault(which, []).append((not is_whole, reading.is_estimated, reading))
    if not found:
        return unexplained(a, b, n, [
            "neither input is the other one normalised otherwise, mirrored, turned, grey or moved by a few pixels; give the "
            "picture (--picture FILE) to have resizes and crops tried"])
    ranked = {which: min(several, key=lambda fit: fit[:2]) for which, several in found.items()}
    best = min(fit[:2] for fit in ranked.values())
    wrong = [which for which, fit in ranked.items() if fit[:2] == best]
    run = wrong[0] if len(wrong) == 1 else None
    return Finding("input", run, (cause(run, ranked[wrong[0]][2]),), (), profile(a, b))


def shifted(x: np.ndarray, levels: np.ndarray, preset: Preset) -> Reading | None:
    """The same levels some pixels away, by what both squares show of the picture."""
    expected = of_preset(preset).of(levels)
    height, width = x.shape[1:]
    reach = min(SHIFTS, height // 4, width // 4)
    unit = float(np.abs(of_preset(preset).gain).min())
    places = sorted(np.ndindex(2 * reach + 1, 2 * reach + 1), key=lambda at: abs(at[0] - reach) + abs(at[1] - reach))
    for down, right in ((i - reach, j - reach) for i, j in places):
        ours = x[:, max(0, -down):height - max(0, down), max(0, -right):width - max(0, right)]
        theirs = expected[:, max(0, down):height - max(0, -down), max(0, right):width - max(0, -right)]
        step = np.s_[:, ::max(1, ours.shape[1] // 12), ::max(1, ours.shape[2] // 12)]
        gaps = (np.abs(y - z).max() for y, z in ((ours[step], theirs[step]), (ours, theirs)))
        if (down or right) and all(gap <= 0.02 * unit for gap in gaps):
            said = f"cropped {input_search.direction(down, 'further down', 'further up')} and " \
                   f"{input_search.direction(right, 'further right', 'further left')}"
            return Reading(said, CROP, float(np.abs(ours - theirs).max() / unit))
    return None


def short_of_digits(x: np.ndarray, right: np.ndarray) -> Reading | None:
    """The right numbers in 16 bits."""
    for name in ("float16", "bfloat16"):
        is_short = x.shape == right.shape and np.array_equal(rounded(x, name), x)
        if is_short and (np.abs(x - right) <= 0.51 * step_of(right, name)).all():
            return Reading(f"rounded to {name}", "keep the input in float32", 0.0)
    return None


def cause(run: str | None, reading: Reading) -> Cause:
    """A Reading → Cause of run "A" or "B", or of either."""
    who = f"{run} has its input" if run else "one run has its input"
    evidence = f"made so, it is what the run holds to {reading.off:.2g} of a level"
    return Cause(f"{who} {reading.name}", reading.name, "input", run, evidence, 1.0, min(1.0, reading.off), reading.remedy)


def unexplained(a, b, n, sentences: list) -> Finding:
    """What can be said in numbers."""
    known = facts(a, b, NEAR * np.abs(b).max(), "A's input", "B's input")
    return Finding("input", None, (), (*known, *sentences), profile(a, b))


def checked(picture: object, preset: Preset | None, both: list[dict]) -> list | None:
    """One picture, or a list of as many as the runs hold → the list; None for None.  UsageError where they cannot be used."""
    if picture is None:
        return None
    if any("input" not in arrays for arrays in both):
        raise UsageError("a picture was given and the runs hold no input; record it as well, or leave the picture out")
    if preset is None:
        raise UsageError("a picture was given and nothing says how to prepare it; give the network, or traces with a preset")
    pictures, count = list(picture) if isinstance(picture, list | tuple) else [picture], len(both[0]["input"])
    if len(pictures) != count:
        raise UsageError(f"the runs hold {counted(count, 'picture')} and {len(pictures)} were given; "
                         "give one for each, in their order")
    return pictures
