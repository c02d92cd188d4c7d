"""Which moves a job may make, and what follows a failure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge import errors
from bridge.ledger import states
from bridge.ledger.states import MAX_ATTEMPTS, TRANSITIONS, State

P, R, D, F, W = State.PENDING, State.RUNNING, State.DONE, State.FAILED, State.WITHDRAWN

# Written down anew, as the table in the issue of who may do what.
ALLOWED = {
    (P, R): "claimed",
    (P, W): "source gone or rendered again",
    (R, D): "published",
    (R, F): "failed for good",
    (R, P): "shut down, recovered, or failed for now",
    (R, W): "source gone",
    (D, P): "redone on request",
    (F, P): "retried on request",
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_only_the_allowed_moves_are_legal(old: State, new: State) -> None:
    if (old, new) in ALLOWED:
        assert states.check_transition(old, new) is new
    else:
        with pytest.raises(errors.LedgerError, match=f"from {old.value} to {new.value}"):
            states.check_transition(old, new)


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    reached = {P}
    for _ in State:
        reached |= {new for old in reached for new in TRANSITIONS[old]}
    assert reached == set(State)


@given(st.integers(1, 10))
def test_a_failure_that_cannot_pass_is_final(attempts: int) -> None:
    assert states.after_failure(attempts, retryable=False) == (F, 0.0)


def test_a_failure_that_may_pass_is_tried_again_with_growing_pauses() -> None:
    outcomes = [states.after_failure(attempts, retryable=True) for attempts in (1, 2, 3, 4)]
    assert outcomes == [(P, 5.0), (P, 30.0), (F, 0.0), (F, 0.0)]


class JobLife(RuleBasedStateMachine):
    """A job under any sequence of events ends, unless someone keeps asking."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.attempts, self.asked = P, 0, 0

    @precondition(lambda self: self.state is P)
    @rule()
    def claim(self) -> None:
        self.state, self.attempts = states.check_transition(self.state, R), self.attempts + 1

    @precondition(lambda self: self.state is R)
    @rule(retryable=st.booleans())
    def fail(self, retryable: bool) -> None:
        state, wait_s = states.after_failure(self.attempts, retryable=retryable)
        assert (wait_s > 0) == (state is P)
        self.state = states.check_transition(self.state, state)

    @precondition(lambda self: self.state is R)
    @rule(end=st.sampled_from([D, W]))
    def finish(self, end: State) -> None:
        self.state = states.check_transition(self.state, end)

    @precondition(lambda self: self.state in {D, F} and self.asked < 3)
    @rule()
    def ask(self) -> None:
        self.state, self.attempts, self.asked = (
            states.check_transition(self.state, P),
            0,
            self.asked + 1,
        )

    @rule(new=st.sampled_from(State))
    def disturb(self, new: State) -> None:
        if new not in TRANSITIONS[self.state]:
            with pytest.raises(errors.LedgerError):
                states.check_transition(self.state, new)

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert self.attempts <= MAX_ATTEMPTS
        assert self.state is not R or self.attempts >= 1


TestJobLife = JobLife.TestCase
