"""The section test_config, as PaddleSeg's files have it and with what is new."""

from __future__ import annotations

from typing import Any

import pytest

from paddle_mobileseg.config.run_sections import check_test_config


@pytest.mark.parametrize(
    "section",
    [
        {"is_slide": True, "crop_size": [512, 256], "stride": [512, 128]},
        {"is_slide": False, "crop_size": None, "stride": None},
        {"crop_size": [64, 64], "stride": [128, 64]},  # without is_slide neither counts
        {"aug_eval": True, "flip_horizontal": True, "flip_vertical": True, "scales": [0.75, 1.0]},
        {"custom_color": [0, 0, 255, 255, 0, 0], "auc_roc": False, "print_detail": False},
        {"custom_color": None, "batch_size": 4, "num_workers": 0},
        {"expected": {"miou": 0.61, "kappa": -0.5, "tolerance": 0}},
    ],
)
def test_accepted_as_it_is(section: dict[str, Any]) -> None:
    before = dict(section)
    check_test_config(section)
    assert section == before


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"is_slide": True, "stride": [8, 8]}, "is_slide is True, which needs test_config.crop_size"),
        ({"is_slide": True, "crop_size": [8, 8], "stride": None}, "is_slide is True, which needs test_config.stride"),
        ({"is_slide": True, "crop_size": [8], "stride": [8, 8]}, r"crop_size is \[8\]; expected \[width, height\]"),
        (
            {"is_slide": True, "crop_size": [8, 8], "stride": [8, 9]},
            r"stride \[8, 9\] is larger than crop_size \[8, 8\]",
        ),
        ({"crop_size": [0, 8]}, "crop_size is 0; expected a whole number of at least 1"),
        ({"auc_roc": True}, "auc_roc is True: not supported, because"),
        ({"custom_color": [1, 2]}, r"custom_color is \[1, 2\]; expected red, green and blue"),
        ({"custom_color": [1, 2, 256]}, "custom_color is"),
        ({"custom_color": [1.0, 2, 3]}, "custom_color is"),
        ({"custom_color": []}, "custom_color is"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        ({"flip_vertical": 1}, "flip_vertical is 1; expected true or false"),
        ({"expected": 0.6}, "expected is 0.6; expected a mapping"),
        ({"expected": {"miou": 0.6}}, "expected a tolerance and one or more of miou"),
        ({"expected": {"tolerance": 0.1}}, "expected a tolerance and one or more of miou"),
        ({"expected": {"mIoU": 0.6, "tolerance": 0.1}}, "unknown key 'mIoU'; did you mean 'miou'"),
        (
            {"expected": {"miou": 61, "tolerance": 0.1}},
            "expected.miou is 61; expected a number of at least 0 and at most 1",
        ),
        ({"expected": {"miou": 0.6, "tolerance": -1}}, "expected.tolerance is -1"),
    ],
)
def test_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_test_config(section)
