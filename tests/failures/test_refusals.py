"""Calls with a wrong argument are refused in words that help, and change nothing."""
import pytest
from refusals import CALLS, message, namespace


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The library's names and small data, made once: a refused call changes nothing."""
    return namespace(tmp_path_factory.mktemp("refusals"))


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_refused_by_name_and_changes_nothing(call, names, state_of, assert_same):
    before = state_of(names["learn"])
    assert message(call, names), "the call went through"
    assert_same(before, state_of(names["learn"]))
