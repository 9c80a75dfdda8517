"""Argument checks: what is welcome, and what a refusal says."""
import math
import re

import numpy as np
import pytest

from transfer_lessons.arguments import check_count, check_fraction, check_positive


@pytest.mark.parametrize("value", [0, -4, "16", 16.5, 16.0, True, None, (16, 16), math.nan])
def test_what_is_no_count_is_refused_with_name_value_and_remedy(value):
    with pytest.raises(ValueError, match=re.escape(f"bs must be a whole number, at least 1; got {value!r}. "
                                                   "Try bs=16.")):
        check_count("bs", value, suggestion=16)


def test_counts_from_the_minimum_on_pass():
    check_count("bs", 1)
    check_count("bs", np.int64(3))
    check_count("start_epoch", 0, minimum=0)
    with pytest.raises(ValueError, match="at least 20; got 19. Try num_it=20"):
        check_count("num_it", 19, minimum=20)


@pytest.mark.parametrize("value", [20, -0.1, 1.0001, math.nan, "0.2", None])
def test_what_is_no_fraction_is_refused(value):
    with pytest.raises(ValueError, match=re.escape(f"pct must be a fraction, 0 to 1; got {value!r}. Try")):
        check_fraction("pct", value)
    for fine in (0, 1, 0.5, np.float32(0.5)):
        check_fraction("pct", fine)


@pytest.mark.parametrize("value", [0, -1e-3, math.nan, math.inf, "1e-3", None, True])
def test_what_is_not_positive_is_refused_by_its_own_name(value):
    with pytest.raises(ValueError, match=re.escape(f"lr must be a number above 0; got {value!r}. Try lr=")):
        check_positive("lr", value)
    check_positive("lr", 1e-300)
    check_positive("div", np.float64(25))
