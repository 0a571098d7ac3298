from __future__ import annotations

import numpy as np
import pytest

from paddle_mobileseg.export.parity import ParityError, ParityMeter, Tolerance, check, class_boundary


def meter(**tolerance: float) -> ParityMeter:
    return ParityMeter("dynamic->file", Tolerance(**tolerance))


def test_class_boundary_by_hand() -> None:
    labels = np.zeros((2, 5, 7), np.int32)
    labels[0, :, 4:] = 3
    expected = np.zeros((2, 5, 7), bool)
    expected[0, :, 2:6] = True  # the two columns at the change, and one more on each side
    assert np.array_equal(class_boundary(labels), expected)


def test_class_boundary_of_one_pixel() -> None:
    labels = np.zeros((1, 7, 7), np.int32)
    labels[0, 3, 3] = 1
    rows, columns = np.mgrid[:7, :7]
    assert np.array_equal(class_boundary(labels)[0], abs(rows - 3) + abs(columns - 3) <= 2)


def test_labels_by_hand() -> None:
    reference = np.zeros((1, 4, 10), np.int32)
    reference[0, :, 5:] = 1  # boundary: columns 3 to 6, 16 pixels
    candidate = reference.copy()
    candidate[0, 0, 0] = 2
    candidate[0, :2, 4] = 1
    compared = meter(label_agreement=0.9)
    compared.add(reference, candidate)
    compared.add(reference[:, :, :5], reference[:, :, :5])
    assert compared.result() == {
        "stage": "dynamic->file",
        "images": 2,
        "label_agreement": 57 / 60,
        "boundary_agreement": 14 / 16,
        "max_abs_diff": None,
        "mean_abs_diff": None,
        "tolerance": 0.9,
        "max_abs_diff_limit": None,
        "classes": 2,
        "passed": True,
    }


def test_logits_by_hand() -> None:
    reference = np.zeros((1, 2, 1, 4), np.float32)
    reference[0, 0] = -8.0
    candidate = reference.copy()
    candidate[0, 0, 0, 1] = -8.5
    candidate[0, 1, 0, 2] = -0.25
    compared = meter(max_abs_diff=0.0625)
    compared.add(reference, candidate)
    result = compared.result()
    assert result["label_agreement"] == 1
    assert result["boundary_agreement"] is None
    assert result["max_abs_diff"] == 0.5
    assert result["mean_abs_diff"] == 0.75 / 8
    assert result["max_abs_diff_limit"] == 0.5
    assert result["passed"] is True


@pytest.mark.parametrize("wrong", [8.6, np.nan, np.inf])
def test_a_value_that_is_off_fails_though_labels_agree(wrong: float) -> None:
    reference = np.zeros((1, 2, 2, 2), np.float32)
    reference[0, 0] = 8.0
    candidate = reference.copy()
    candidate[0, 0, 0, 0] = wrong
    compared = meter(max_abs_diff=0.0625)
    compared.add(reference, candidate)
    compared.add(reference, reference)  # what comes later does not hide it
    assert compared.result()["passed"] is False


def test_the_least_agreement_is_inclusive() -> None:
    reference = np.zeros((1, 10, 100), np.int32)
    candidate = reference.copy()
    candidate[0, 0, 0] = 1
    for wanted, passed in [(0.999, True), (0.9991, False)]:
        compared = meter(label_agreement=wanted)
        compared.add(reference, candidate)
        assert compared.result()["passed"] is passed


def test_failing_names_hop_and_figures() -> None:
    reference = np.zeros((1, 2, 4), np.int32)
    reference[:, :, 2:] = 1
    compared = meter()
    compared.add(reference, 1 - reference)
    with pytest.raises(ParityError) as caught:
        check(compared.result(), hint="Nothing was written to out.")
    message = str(caught.value)
    assert message.startswith(
        "dynamic->file: labels agree on 0.0000% of the pixels of 1 image(s) (0.0000% at class boundaries)"
    )
    assert "needed are 99.9000%" in message
    assert "nearly equal" in message
    assert message.endswith("Nothing was written to out.")


def test_without_a_tolerance_it_is_only_measured() -> None:
    labels = np.zeros((1, 2, 4), np.int32)
    measured = ParityMeter("predict->file", None)
    measured.add(labels, labels + 1)
    measured.add(labels, labels)
    result = measured.result()
    assert (result["label_agreement"], result["tolerance"], result["passed"]) == (0.5, None, None)
    check(result)


def test_other_shape_or_dtype() -> None:
    labels = np.zeros((1, 4, 4), np.int32)
    with pytest.raises(ParityError, match=r"gives int64 \[1, 4, 4\], but the network int32 \[1, 4, 4\]"):
        meter().add(labels, labels.astype(np.int64))
    with pytest.raises(ParityError, match=r"gives int32 \[1, 4, 3\]"):
        meter().add(labels, labels[:, :, :3])


def test_no_image_is_no_proof() -> None:
    with pytest.raises(ValueError, match="no image to compare"):
        meter().result()


@pytest.mark.parametrize("wrong", [{"label_agreement": 1.5}, {"label_agreement": float("nan")}, {"max_abs_diff": -1.0}])
def test_wrong_tolerance(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a share from 0 to 1"):
        Tolerance(**wrong)
