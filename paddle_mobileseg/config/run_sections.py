"""The check of the sections that say how to train and evaluate: ``train_config`` and ``test_config``."""

from __future__ import annotations

from typing import Any

from paddle_mobileseg.config import checks
from paddle_mobileseg.config.checks import join, known_keys

TEST_CONFIG = (
    "aug_eval", "flip_horizontal", "flip_vertical", "scales", "is_slide", "crop_size", "stride",
    "auc_roc", "custom_color", "num_workers", "precision", "amp_level", "print_detail", "batch_size", "expected",
)  # fmt: skip
EXPECTED_SCORES = ("miou", "accuracy", "kappa", "dice")


def check_test_config(section: dict[str, Any]) -> None:
    """Check ``test_config`` and bring it into one form."""
    known_keys(section, TEST_CONFIG, "test_config")
    for key in ("aug_eval", "flip_horizontal", "flip_vertical", "is_slide", "auc_roc", "print_detail"):
        checks.boolean(section.get(key, False), join("test_config", key))
    if section.get("auc_roc"):
        raise ValueError(
            "test_config.auc_roc is True: not supported, because it needs the scores of all classes at every pixel of "
            "the data set in memory at once; leave it out"
        )
    _check_precision(section, "test_config")
    for key, minimum in (("num_workers", 0), ("batch_size", 1)):
        if key in section:
            checks.integer(section[key], join("test_config", key), minimum)
    if "scales" in section:
        if not isinstance(section["scales"], list):
            section["scales"] = [section["scales"]]
        for index, scale in enumerate(checks.sequence(section["scales"], "test_config.scales")):
            checks.number(scale, join("test_config.scales", index), 1e-3)
    _check_window(section)
    if section.get("custom_color") is not None:
        colours = checks.sequence(section["custom_color"], "test_config.custom_color", "a list of numbers")
        if len(colours) % 3 or not all(type(number) is int and 0 <= number <= 255 for number in colours):
            raise ValueError(
                f"test_config.custom_color is {colours!r}; expected red, green and blue of each class, 0 to 255"
            )
    if "expected" in section:
        _check_expected(checks.mapping(section["expected"], "test_config.expected"))


def _check_window(section: dict[str, Any]) -> None:
    """``crop_size`` and ``stride``: [width, height] each, and there if ``is_slide``."""
    for key in ("crop_size", "stride"):
        size = section.get(key)
        if size is None and not section.get("is_slide"):
            continue
        path = join("test_config", key)
        if size is None:
            raise ValueError(f"test_config.is_slide is True, which needs {path}: [width, height]")
        for side in checks.sequence(size, path):
            checks.integer(side, path, 1)
        if len(size) != 2:
            raise ValueError(f"{path} is {size!r}; expected [width, height]")
    if section.get("is_slide") and any(
        step > side for step, side in zip(section["stride"], section["crop_size"], strict=True)
    ):
        raise ValueError(
            f"test_config.stride {section['stride']} is larger than crop_size {section['crop_size']}, which leaves "
            "pixels that no window sees; make it at most as large"
        )


def _check_expected(expected: dict[str, Any]) -> None:
    """Scores, and how far from them an evaluation may be: ``{miou: 0.61, tolerance: 0.005}``."""
    path = "test_config.expected"
    known_keys(expected, (*EXPECTED_SCORES, "tolerance"), path)
    if "tolerance" not in expected or len(expected) < 2:
        raise ValueError(
            f"{path} is {expected!r}; expected a tolerance and one or more of {', '.join(EXPECTED_SCORES)}, such as "
            "{miou: 0.61, tolerance: 0.005}"
        )
    for name, value in expected.items():
        checks.number(value, join(path, name), 0 if name != "kappa" else -1, 1)


def check_train_config(section: dict[str, Any]) -> None:
    """Check ``train_config`` and drop what has no effect."""
    counts = {"save_interval": 1, "log_iters": 1, "num_workers": 0, "seed": 0, "keep_checkpoint_max": 1}
    counts |= {"accumulate": 1, "early_stop": 1}
    switches = ("use_vdl", "do_eval", "freeze_backbone", "channels_last")
    paths = ("save_dir", "resume_model")
    choices = {"precision": ("fp32", "fp16", "bf16"), "amp_level": ("O1", "O2")}
    known_keys(section, (*counts, *switches, *paths, *choices, "ema_decay", "repeats"), "train_config")
    if section.get("repeats") not in (None, 1):
        raise ValueError(f"train_config.repeats is {section['repeats']!r}: not supported; raise iters instead")
    for key in [key for key, value in section.items() if value is None or key == "repeats"]:
        del section[key]
    for key in [key for key in section if key in choices]:
        checks.one_of(section[key], join("train_config", key), choices[key])
    if section.get("precision", "fp32") == "fp32":  # as in every file of PaddleSeg's, where no precision is asked for
        section.pop("precision", None)
        section.pop("amp_level", None)
    for key in [key for key in section if key in counts]:
        checks.integer(section[key], join("train_config", key), counts[key])
    for key in switches:
        checks.boolean(section.get(key, False), join("train_config", key))
    for key in paths:
        if not isinstance(section.get(key, ""), str):
            raise ValueError(f"train_config.{key} is {section[key]!r}; expected the path of a folder")
    if "ema_decay" in section:
        checks.number(section["ema_decay"], "train_config.ema_decay", 0, 0.999999)


def refuse_for_now(section: dict[str, Any], key: str, path: str = "") -> None:
    """Refuse a setting that is known and switched on."""
    if section.get(key):
        raise ValueError(f"{join(path, key)} is {section[key]!r}: not supported yet; leave it out")


def _check_precision(section: dict[str, Any], path: str) -> None:
    if section.get("precision") not in (None, "fp32"):
        raise ValueError(f"{path}.precision is {section['precision']!r}: not supported yet; expected 'fp32'")
