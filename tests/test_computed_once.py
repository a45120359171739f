from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from npvgg.computed_once import computed_once


class Circle:
    """A circle."""

    made = 0

    @computed_once
    def area(self):
        """Its area."""
        Circle.made += 1
        return object()


def test_it_is_computed_when_it_is_asked_for_and_kept():
    circle = Circle()
    assert not circle.__dict__ and circle.area is circle.area and Circle.made == 1
    assert Circle.area.__doc__ == "Its area."


def test_nobody_waits_and_all_get_the_same():
    both = Barrier(2, timeout=10)

    class Slow:
        @computed_once
        def value(self):
            both.wait()                 # with a lock around it, the second thread would never come here
            return object()

    slow = Slow()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: slow.value, range(2))
    assert first is second
