"""Schedules against PyTorch's, to 10⁻¹⁵."""
import math

import pytest

from npvgg.training import schedules
from npvgg.training.recipe import Schedule

torch = pytest.importorskip("torch")
RATE, TOTAL = 0.3, 12


def torch_rates(make, count=TOTAL):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE, momentum=0.9)
    scheduler, rates = make(optimiser), []
    for _ in range(count):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


CASES = {
    "step": (lambda o: torch.optim.lr_scheduler.StepLR(o, 5), lambda t: schedules.step_decay(t, TOTAL, length=5)),
    "multi-step": (lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 7, 7]),
                   lambda t: schedules.multi_step(t, TOTAL, milestones=[3, 7, 7])),
    "cosine": (lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1 * RATE),
               lambda t: schedules.cosine(t, TOTAL, floor=0.1)),
    "linear": (lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.25, TOTAL),
               lambda t: schedules.linear(t, TOTAL, end=0.25)),
    "one-cycle": (lambda o: torch.optim.lr_scheduler.OneCycleLR(o, RATE, total_steps=TOTAL),
                  lambda t: schedules.one_cycle(t, TOTAL)),
    "warm-up": (lambda o: torch.optim.lr_scheduler.SequentialLR(
        o, [torch.optim.lr_scheduler.LinearLR(o, 0.01, 1.0, 4), torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL - 4)], [4]),
        lambda t: schedules.warm_up(t, TOTAL, schedules.cosine, length=4, start=0.01)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_the_rates_are_pytorchs(name):
    theirs, ours = CASES[name]
    assert [RATE * ours(t) for t in range(TOTAL)] == pytest.approx(torch_rates(theirs), abs=1e-15)


def test_the_momentum_of_one_cycle_is_pytorchs():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=TOTAL)
    for t in range(TOTAL):
        assert schedules.one_cycle_momentum(t, TOTAL) == pytest.approx(optimiser.param_groups[0]["momentum"], abs=1e-15)
        optimiser.step()
        if t + 1 < TOTAL:
            scheduler.step()


def test_plateau_falls_where_pytorchs_does():
    losses = [3, 2, 2, 2.5, 1.99999, 1.9999, 1.5, 1.5, 1.5, 1.5, 1.5, 1.4, 1.6, 1.6, 1.6]
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, patience=1, cooldown=1)
    ours = schedules.Plateau(patience=1, cooldown=1)
    for loss in losses:
        theirs.step(loss)
        again = schedules.Plateau(patience=1, cooldown=1)          # what a checkpoint keeps is enough to go on
        again.restore(ours.state())
        ours = again
        assert ours.observe(loss) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-15)


def test_the_cosine_stays_at_its_end():
    assert schedules.cosine(15, 12, floor=0.1) == pytest.approx(0.1)


def test_the_triangle():
    values = [schedules.triangle(t, 100, peak=0.25, low=0.2, end=0.0) for t in (0, 25, 100)]
    assert values == pytest.approx([0.2, 1.0, 0.0])


def test_a_schedule_per_epoch_stands_still_within_one():
    schedule = Schedule("multi-step", per="epoch", milestones=(1, 2))
    assert [schedule.factor_at(step, 4, 3) for step in (0, 3, 4, 8)] == pytest.approx([1, 1, 0.1, 0.01])


def test_milestones_are_counted_from_the_beginning_whatever_the_warm_up():
    schedule = Schedule("multi-step", milestones=(2,), warm_up=1)
    assert [schedule.factor_at(step, 10, 4) for step in (0, 5, 10, 19, 20)] == pytest.approx([0, 0.5, 1, 1, 0.1])


def test_every_schedule_ends_finite_and_positive():
    for name in schedules.SCHEDULES:
        values = [Schedule(name).factor_at(step, 7, 3) for step in range(21)]
        assert all(math.isfinite(value) and 0 <= value <= 1 + 1e-12 for value in values)
