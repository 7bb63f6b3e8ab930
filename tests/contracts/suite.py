"""How a class of promises becomes the tests of one place."""

from collections.abc import Callable

from tests.contracts.place import ABILITIES, Ability, Place


def needs(*abilities: Ability) -> Callable:
    """A promise that only places with these abilities can be asked for."""

    def marked(promise: Callable) -> Callable:
        promise.needs = frozenset(abilities)
        return promise

    return marked


class Suite:
    """Promises; a class of tests is made of them by `place=`, without those that the place cannot be asked for."""

    place: type[Place]

    def __init_subclass__(cls, *, place: type[Place] | None = None) -> None:
        if place is None:
            return
        assert set(place.lacks) <= set(ABILITIES)
        assert all(place.lacks.values()), "a place says why it lacks something"
        cls.place = place
        for name in dir(cls):
            if getattr(getattr(cls, name), "needs", frozenset()) & set(place.lacks):
                setattr(cls, name, None)  # nothing that pytest would collect
