from __future__ import annotations

from typing import Any

import pytest

from paddle_mobileseg.runtime.tensorrt_profile import Profile, make_profile

ANY = (-1, 3, -1, -1)


def test_a_graph_of_fixed_size_needs_no_shapes() -> None:
    assert make_profile((1, 3, 512, 1024)) == Profile(*[(1, 3, 512, 1024)] * 3)


@pytest.mark.parametrize("name", ["min_shape", "opt_shape", "max_shape"])
def test_one_shape_stands_for_all_three(name: str) -> None:
    assert make_profile(ANY, **{name: [2, 3, 64, 96]}) == Profile(*[(2, 3, 64, 96)] * 3)


def test_the_usual_shape_is_the_largest_unless_given() -> None:
    small, middle, large = (1, 3, 64, 64), (1, 3, 128, 96), (4, 3, 256, 256)
    assert make_profile(ANY, min_shape=small, max_shape=large) == Profile(small, large, large)
    assert make_profile(ANY, small, middle, large) == Profile(small, middle, large)
    assert make_profile(ANY, min_shape=small, opt_shape=middle) == Profile(small, middle, middle)


@pytest.mark.parametrize(
    ("graph", "shapes", "words"),
    [
        (ANY, {}, ["min_shape=[1, 3, 256, 256]", "max_shape=[1, 3, 1024, 1024]", "--input_shape"]),
        ((-1, -1, -1, 3), {}, ["min_shape=[1, 256, 256, 3]"]),
        ((1, 3, 64, 64), {"max_shape": [1, 3, 64, 96]}, ["max_shape", "[1, 3, 64, 96]", "[1, 3, 64, 64]"]),
        (ANY, {"opt_shape": [1, 4, 64, 64]}, ["opt_shape", "[any, 3, any, any]"]),
        (ANY, {"opt_shape": [1, 3, 64]}, ["opt_shape is [1, 3, 64]", "4 whole numbers"]),
        (ANY, {"opt_shape": [1, 3, 64, 0]}, ["whole numbers from 1"]),
        (ANY, {"opt_shape": [1, 3, -1, 64]}, ["whole numbers from 1"]),
        (ANY, {"opt_shape": [1, 3, 64.0, 64]}, ["whole numbers from 1"]),
        (ANY, {"opt_shape": "1364"}, ["whole numbers from 1"]),
        (
            ANY,
            {"min_shape": [1, 3, 64, 128], "max_shape": [1, 3, 128, 64]},
            ["min_shape [1, 3, 64, 128] is larger than opt_shape [1, 3, 128, 64]"],
        ),
        (
            ANY,
            {"opt_shape": [1, 3, 256, 256], "max_shape": [1, 3, 128, 512]},
            ["opt_shape [1, 3, 256, 256] is larger than max_shape [1, 3, 128, 512]"],
        ),
    ],
)
def test_what_does_not_fit_is_refused(graph: Any, shapes: Any, words: list[str]) -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        make_profile(graph, **shapes)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 3, 63, 64), (1, 3, 64, 129), (3, 3, 64, 64), (1, 64, 64), (1, 1, 3, 64, 64)])
def test_an_input_beyond_the_limits_is_refused(shape: tuple[int, ...]) -> None:
    profile = make_profile(ANY, min_shape=(1, 3, 64, 64), max_shape=(2, 3, 128, 128))
    profile.check((2, 3, 64, 128))
    with pytest.raises(ValueError, match=r"takes \[1, 3, 64, 64\] to \[2, 3, 128, 128\]"):
        profile.check(shape)
