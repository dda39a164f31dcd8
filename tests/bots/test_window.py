"""What may be acknowledged of a queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from b24oauth.bots.window import Window


def test_nothing_is_acknowledged_before_it_is_done() -> None:
    window = Window()
    assert window.advance() is None
    assert window.add(5)
    assert window.add(6)
    window.reached(7)
    assert window.advance() == 5
    window.done(6)
    assert window.advance() == 5
    assert not window.add(6), "what is done and not acknowledged is delivered again"
    window.done(5)
    assert window.advance() == 7
    assert len(window) == 0


def test_an_empty_response_moves_the_place() -> None:
    window = Window(5)
    window.reached(9)
    assert window.advance() == 9
    window.reached(None)
    assert window.advance() == 9


def test_the_place_never_goes_back() -> None:
    window = Window(100)
    assert window.add(3), "an event below the place was not handled here"
    assert window.advance() == 100
    window.done(3)
    window.reached(50)
    assert window.advance() == 100


@given(st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_every_event_is_handled_once_and_acknowledged_at_last(ends: list[bool], random: object) -> None:
    window, queue, handled, running = Window(), list(range(1, 31)), list[int](), list[int]()
    for ends_one in [*ends, *[True] * 60]:
        offset = window.advance()
        assert offset is None or all(event >= offset for event in running)
        queue = [event for event in queue if offset is None or event >= offset]
        page = queue[: 5 + len(window)]
        for event in page:
            if window.add(event):
                handled.append(event)
                running.append(event)
        window.reached(page[-1] + 1 if page else None)
        if ends_one and running:
            window.done(running.pop(random.randrange(len(running))))  # type: ignore[attr-defined]
    assert handled == list(range(1, 31))
    assert window.advance() == 31
