"""Everything that a training is made of, as data: the sections of a TOML file, checked field by field.

    recipe("cifar10")            one that npvgg carries, see NAMES
    recipe("mine.toml")          one of your own; keys that are left out have the defaults below
    recipe.with_(rate=0.05)      the same with other values
    recipe.scaled(epochs=20)     the same in so many epochs: everything that is counted in epochs scales along

Lengths of time are in epochs, fractions allowed.
"""
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from npvgg import images
from npvgg.architecture import Architecture, architecture, canonical_name
from npvgg.checks import check_choice, check_count, check_flags, is_number, refuse_unknown
from npvgg.errors import BadFileError, NpvggError, StorageError, UsageError
from npvgg.initialisation import INITIALISATIONS
from npvgg.text import meant, said, shown
from npvgg.training import schedules
from npvgg.training.augmentation import NOTHING, Augmentation
from npvgg.training.optimisers import OPTIMISERS, Optimiser, optimiser
from npvgg.training.selection import factors_of, without_decay

NAMES = ("cifar10", "tiny-imagenet", "paper", "torchvision", "mmpretrain", "gluon", "pytorchvggnet", "fine-tune")
CARRIED = Path(__file__).parents[1] / "data" / "recipes"
CLASSES = "classes"             # stands in a head for the number of classes of the data
SMALL = 128                     # pixels; below it the default head is one dense layer behind global pooling
KEPT = ("last", "best")
PER = ("step", "epoch")
BALANCED = "balanced"


def check_positive(what: str, value: float, zero: bool = False) -> None:
    """UsageError unless `value` is a number above 0, or with `zero` at least 0."""
    if not is_number(value) or value < 0 or value == 0 and not zero:
        raise UsageError(f"{what} is {value!r:.80}; give a number {'of at least' if zero else 'above'} 0")


@dataclass(frozen=True)
class Network:
    """[network]: the table, its size and how it starts.

    `head` as in npvgg.heads, with the word `classes` for the number of classes; "" chooses by the size.  `start` is one of
    initialisation.INITIALISATIONS.
    """

    model: str = "vgg11_bn"
    width: float = 1.0
    head: str = ""
    input_size: int = 224
    bias: bool = True
    padding_mode: str = "zeros"
    pooling: str = "max"
    start: str = "torchvision"

    def architecture(self, classes: int, channels: int, is_multi_label: bool = False) -> Architecture:
        """For so many classes and channels → Architecture; UsageError where the head has another number of outputs."""
        net = self.table(classes, channels, "sigmoid" if is_multi_label else "softmax")
        if net.num_classes != classes:
            raise UsageError(f"the head {self.head!r} has {net.num_classes} outputs and the data {classes} classes; write the "
                             f"word {CLASSES} for the last number")
        return net

    def table(self, classes: int, channels: int = 3, output: str | None = None) -> Architecture:
        """The same, however many outputs the head has."""
        head = self.head or (f"avg1 flatten {CLASSES}" if self.input_size < SMALL
                             else f"avg7 flatten 4096 relu drop 4096 relu drop {CLASSES}")
        return architecture(self.model, width=self.width, input_size=self.input_size, input_channels=channels, bias=self.bias,
                            padding_mode=self.padding_mode, pooling=self.pooling, head=filled(head, classes), output=output)


def filled(head: str, classes: int) -> str:
    """'avg1 flatten classes' → 'avg1 flatten 10'."""
    return " ".join(str(classes) if word == CLASSES else word for word in head.split())


@dataclass(frozen=True)
class Optimisation:
    """[optimiser]: sgd or adamw, its settings, and what happens to gradients on the way.

    `rates` are factors by layers, {"conv1:conv4" = 0.1}; `decay_norms` and `decay_biases` say whether these decay too; `clip`
    is the longest that all gradients together may be; `accumulate` batches make one step; `average` is the decay of the running
    mean of the weights, 0 for none.
    """

    name: str = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    dampening: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 5e-4
    decoupled: bool | None = None
    decay_norms: bool = True
    decay_biases: bool = True
    rates: Mapping[str, float] = field(default_factory=dict)
    clip: float | None = None
    accumulate: int = 1
    average: float = 0.0
    norm_momentum: float = 0.1

    def __post_init__(self):
        check_choice("the optimiser", self.name, tuple(OPTIMISERS))
        check_positive("rate", self.rate)
        check_count("accumulate", self.accumulate)
        check_flags(decay_norms=self.decay_norms, decay_biases=self.decay_biases)
        if not is_number(self.average) or not 0 <= self.average < 1:
            raise UsageError(f"average is {self.average!r:.80}; give a decay from 0, for none, to below 1")
        if not is_number(self.norm_momentum) or not 0 < self.norm_momentum <= 1:
            raise UsageError(f"norm_momentum is {self.norm_momentum!r:.80}; give a number above 0 and at most 1")
        if not isinstance(self.rates, Mapping):
            raise UsageError(f"rates is {self.rates!r:.80}; give factors by layers, {{\"conv1:conv4\" = 0.1}}")
        for factor in self.rates.values():
            check_positive("each of rates", factor)
        self.bare()

    def bare(self) -> Optimiser:
        """The optimiser without a network."""
        own = {"sgd": ("momentum", "nesterov", "dampening"), "adamw": ("betas", "eps")}[self.name]
        decoupled = self.name == "adamw" if self.decoupled is None else self.decoupled
        return optimiser(self.name, decay=self.decay, decoupled=decoupled, **{name: getattr(self, name) for name in own})

    def optimiser(self, net: Architecture) -> Optimiser:
        """The optimiser of a network's parameters."""
        made = self.bare()
        made.rate_of = factors_of(net, self.rates)
        made.decay_of = without_decay(net, norms=not self.decay_norms, biases=not self.decay_biases)
        return made


@dataclass(frozen=True)
class Schedule:
    """[schedule]: how the rate goes.

    `name` one of schedules.SCHEDULES or "plateau"; `per` step or epoch: whether it moves at every step or stands still for an
    epoch; `warm_up` epochs that rise from `warm_up_start` times the rate, or stay there with `warm_up_constant`.  The others
    belong to the schedules of these names; `milestones` and `length` are in epochs.
    """

    name: str = "cosine"
    per: str = "step"
    warm_up: float = 0.0
    warm_up_start: float = 0.0
    warm_up_constant: bool = False
    milestones: tuple[float, ...] = ()
    length: float = 30.0
    factor: float = 0.1
    floor: float = 0.0
    peak: float | None = None
    low: float | None = None
    end: float | None = None
    patience: int = 10

    def __post_init__(self):
        check_choice("the schedule", self.name, (*schedules.SCHEDULES, "plateau"))
        check_choice("per", self.per, PER)
        check_flags(warm_up_constant=self.warm_up_constant)
        for name in ("warm_up", "warm_up_start", "floor"):
            check_positive(name, getattr(self, name), zero=True)
        check_positive("length", self.length)
        check_positive("factor", self.factor)
        check_count("patience", self.patience)
        if not isinstance(self.milestones, (tuple, list)):
            raise UsageError(f"milestones are {self.milestones!r:.80}; give numbers of epochs")
        for milestone in self.milestones:
            check_positive("each of milestones", milestone)
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name in ("peak", "low", "end"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name), zero=True)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the schedule's function, lengths in epochs."""
        own = {"step": ("length", "factor"), "multi-step": ("milestones", "factor"), "cosine": ("floor",), "linear": ("end",),
               "triangle": ("peak", "low", "end"), "one-cycle": ("peak",)}.get(self.name, ())
        return {name: getattr(self, name) for name in own if getattr(self, name) is not None}

    def plateau(self) -> schedules.Plateau | None:
        """The one that watches the validation's loss, where that is the schedule."""
        return schedules.Plateau(self.patience, self.factor) if self.name == "plateau" else None

    def factor_at(self, step: int, steps: int, epochs: int) -> float:
        """The factor of the rate at a step, from 0, of so many an epoch."""
        if self.name == "plateau":
            main, options = schedules.constant, {}
        else:
            main, options = schedules.SCHEDULES[self.name], self.options
        unit = steps if self.per == "step" else 1
        for name in ("milestones", "length"):
            if name in options:
                value = options[name]
                options[name] = [part * unit for part in value] if name == "milestones" else value * unit
        now, total = (step, steps * epochs) if self.per == "step" else (step // steps, epochs)
        warm = round(self.warm_up * unit)
        if not warm:
            return main(now, total, **options)
        if "milestones" in options:              # they are counted from the beginning
            options["milestones"] = [part - warm for part in options["milestones"]]
        return schedules.warm_up(now, total, lambda s, t: main(s, t, **options), length=warm, start=self.warm_up_start,
                                 is_constant=self.warm_up_constant)

    def momentum_at(self, step: int, steps: int, epochs: int) -> float | None:
        """The momentum at a step where the schedule moves it too."""
        if self.name != "one-cycle":
            return None
        return schedules.one_cycle_momentum(step, steps * epochs, **self.options)


@dataclass(frozen=True)
class Training:
    """[training]: how long, on what, and what the loss is.

    `val` is the share that is held out where no data set for it is given, 0 for none.  `sizes` are pairs (epochs, side): until
    the end of so many epochs the pictures have this side, then the network's.  In the last `calm` epochs [calm] takes the place
    of [augmentation].  `class_weights` are numbers, or "balanced": N/(C·n) for a class of n.  `early_stopping` epochs without a
    better validation end it, 0 for never.  `keep`: the final weights are those of the last epoch or of the best one.

    With a `teacher`, a weights file of the same classes and preset, `trust` of each target is what that network answers to the
    very picture, at this `temperature`:  (1 − trust)·target + trust·softmax(z/T)  (Hinton et al. 2015).
    """

    epochs: int = 30
    batch: int = 128
    seed: int = 0
    val: float = 0.1
    smoothing: float = 0.0
    sizes: tuple[tuple[float, int], ...] = ()
    calm: float = 0.0
    class_weights: tuple[float, ...] | str | None = None
    early_stopping: int = 0
    keep: str = "last"
    teacher: str = ""
    trust: float = 0.5
    temperature: float = 1.0

    def __post_init__(self):
        for name in ("epochs", "batch"):
            check_count(name, getattr(self, name))
        check_choice("keep", self.keep, KEPT)
        if not is_number(self.seed) or self.seed != int(self.seed) or not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed!r:.80}; give a whole number of at least 0")
        check_positive("temperature", self.temperature)
        if not isinstance(self.teacher, str):
            raise UsageError(f"teacher is {self.teacher!r:.80}; give the path of a weights file")
        for name in ("val", "smoothing", "trust"):
            if not is_number(getattr(self, name)) or not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r:.80}; give a share from 0 to below 1")
        for name in ("calm", "early_stopping"):
            check_positive(name, getattr(self, name), zero=True)
        try:
            object.__setattr__(self, "sizes", tuple((float(until), int(side)) for until, side in self.sizes))
        except (TypeError, ValueError):
            raise UsageError(f"sizes are {self.sizes!r:.80}; give pairs of epochs and side, [[36, 48]]") from None
        weights = self.class_weights
        if isinstance(weights, (list, tuple)):
            for weight in weights:
                check_positive("each of class_weights", weight)
            object.__setattr__(self, "class_weights", tuple(map(float, weights)))
        elif weights not in (None, BALANCED):
            raise UsageError(f"class_weights is {weights!r:.80}; give a number for each class, or {BALANCED!r}")


@dataclass(frozen=True)
class Recipe:
    """A whole training.  `stages` are tables of sections that are trained one after the other, each with what differs in it;
    one whose network has `start = "previous"` begins with the layers of the stage before (`transfer`).
    """

    name: str = ""
    about: str = ""
    network: Network = Network()
    optimiser: Optimisation = field(default_factory=Optimisation)
    schedule: Schedule = Schedule()
    training: Training = Training()
    augmentation: Augmentation = NOTHING
    calm: Augmentation = NOTHING
    preset: images.Preset | None = None
    stages: tuple[Mapping[str, Any], ...] = ()

    def with_(self, section: str, **values: Any) -> "Recipe":
        """The same with other values in one section."""
        return replace(self, **{section: replace(getattr(self, section), **values)}) if values else self

    def scaled(self, epochs: int) -> "Recipe":
        """The same in so many epochs: warm-up, milestones, sizes and calm end scale along."""
        check_count("epochs", epochs)
        share = epochs / self.training.epochs
        schedule = replace(self.schedule, warm_up=self.schedule.warm_up * share, length=self.schedule.length * share,
                           milestones=tuple(milestone * share for milestone in self.schedule.milestones))
        training = replace(self.training, epochs=epochs, calm=self.training.calm * share,
                           sizes=tuple((until * share, side) for until, side in self.training.sizes))
        return replace(self, schedule=schedule, training=training)

    def augmentation_of(self, epoch: int) -> Augmentation:
        """What is done to the pictures in one epoch, from 0."""
        return self.calm if epoch >= self.training.epochs - self.training.calm else self.augmentation

    def size_of(self, epoch: int) -> int | None:
        """The side of the pictures in one epoch, None for the network's own."""
        return next((side for until, side in self.training.sizes if epoch < until), None)

    def staged(self) -> list["Recipe"]:
        """The recipes of the stages, one after the other; itself where there are none."""
        return [merged(self, stage, f"stage {number}") for number, stage in enumerate(self.stages, 1)] or [self]

    def to_json(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dicts, to compare with another."""
        return asdict(self)


# What `npvgg train` does when no recipe is named.
DEFAULT = Recipe(name="the default recipe", network=Network(head=f"avg1 flatten {CLASSES}"),
                 optimiser=Optimisation(rate=0.05, nesterov=True, decay_norms=False, decay_biases=False),
                 schedule=Schedule(warm_up=1), augmentation=Augmentation(resized_crop=(0.35, 1.0), flip="random"))
SECTIONS = {"network": Network, "optimiser": Optimisation, "schedule": Schedule, "training": Training,
            "augmentation": Augmentation, "calm": Augmentation}


def recipe(source: str) -> Recipe:
    """A name of NAMES or the path of a TOML file → Recipe.  UsageError (an unknown key, say), BadFileError, StorageError."""
    if not isinstance(source, str):
        raise UsageError(f"the recipe is {source!r:.80}; give a name or the path of a TOML file")
    path = Path(source)
    if source in NAMES:
        text = (CARRIED / f"{source}.toml").read_text(encoding="utf-8")
    elif path.suffix == ".toml" or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{shown(path)} cannot be read ({error.strerror or error}); check the name") from None
        except UnicodeDecodeError:
            raise BadFileError(f"{shown(path)} is not UTF-8 text; write TOML") from None
    else:
        raise UsageError(f"there is no recipe {shown(source, 80)!r}{meant(source, NAMES)}; give {', '.join(NAMES)}, or the "
                         "name of a .toml file")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFileError(f"{shown(source)} is not TOML ({said(error)}); compare it with docs/training.md") from None
    return of_tables(tables, source)


def of_tables(tables: Mapping[str, Any], name: str = "the recipe") -> Recipe:
    """{"network": {"model": "vgg16"}, …} → Recipe."""
    made = merged(Recipe(name=name), {key: value for key, value in tables.items() if key != "stages"}, name)
    stages = tables.get("stages", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise UsageError(f"stages in {shown(name)} are no tables; write [[stages]]")
    made = replace(made, stages=tuple(stages))
    made.staged()                                   # refuses now what makes no sense
    return made


def merged(recipe_: Recipe, tables: Mapping[str, Any], name: str, keep_stages: bool = False) -> Recipe:
    """A recipe with the values of some tables in the place of its own, and without stages, or with them."""
    refuse_unknown(shown(name), [key for key in tables if key not in ("about", "preset", *SECTIONS)],
                   ("about", "preset", *SECTIONS, "stages"))
    changes: dict[str, Any] = {"stages": recipe_.stages if keep_stages else ()}
    for section, values in tables.items():
        if section == "about":
            changes["about"] = str(values)
        elif section == "preset":
            changes["preset"] = preset_of(values, name)
        else:
            changes[section] = section_of(getattr(recipe_, section), section, values, name)
    return replace(recipe_, **changes)


def section_of(present, section, values, name):
    """One section with other values; UsageError for a key that it lacks, and for a value that makes no sense."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{section} in {shown(name)} is {values!r:.60}; write a table [{section}]")
    known = [item.name for item in fields(present)]
    refuse_unknown(f"[{section}] of {shown(name)}", [key for key in values if key not in known], known)
    try:
        made = replace(present, **values)
        if section == "network":
            check_choice("start", made.start, (*INITIALISATIONS, "previous"))
            made.table(2)
        return made
    except NpvggError as error:
        raise UsageError(f"[{section}] of {shown(name)}: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"[{section}] of {shown(name)} has a value of another kind ({said(error)}); compare it with "
                         "docs/training.md") from None


def preset_of(values, name):
    """A preset by its name or its fields."""
    if isinstance(values, str):
        return images.preset(values)
    if not isinstance(values, Mapping):
        raise UsageError(f"preset in {shown(name)} is {values!r:.60}; give a name or a table [preset]")
    known = [item.name for item in fields(images.Preset)]
    refuse_unknown(f"[preset] of {shown(name)}", [key for key in values if key not in known], known)
    lacking = {"name", "crop", "mean", "std"} - values.keys()
    if lacking:
        raise UsageError(f"[preset] of {shown(name)} lacks {', '.join(sorted(lacking))}; give these, or the name of a preset")
    return images.Preset(**{"resize": None} | {key: tuple(value) if isinstance(value, list) else value
                                              for key, value in values.items()})


def names_of(recipes: Iterable[Recipe]) -> list[str]:
    """A name for each stage: its number and its network."""
    return [f"{number}-{canonical_name(one.network.model)}" for number, one in enumerate(recipes, 1)]
