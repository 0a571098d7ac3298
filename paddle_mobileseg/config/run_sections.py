"""The check of the sections that say how to train and evaluate: ``train_config`` and ``test_config``."""

from __future__ import annotations

from typing import Any

from paddle_mobileseg.config import checks
from paddle_mobileseg.config.checks import join, known_keys

TEST_CONFIG = (
    "aug_eval", "flip_horizontal", "flip_vertical", "scales", "is_slide", "crop_size", "stride",
    "auc_roc", "custom_color", "num_workers", "precision", "amp_level", "print_detail",
)  # fmt: skip
# Of train_config, in PaddleSeg's files: of one value only, or (amp_level) of use with another precision only.
_WITHOUT_EFFECT = ("precision", "amp_level", "repeats")


def check_test_config(section: dict[str, Any]) -> None:
    """Check ``test_config`` and bring it into one form."""
    known_keys(section, TEST_CONFIG, "test_config")
    for key in ("aug_eval", "flip_horizontal", "flip_vertical", "is_slide", "auc_roc", "print_detail"):
        checks.boolean(section.get(key, False), join("test_config", key))
    for key in ("is_slide", "flip_vertical", "auc_roc", "custom_color"):
        refuse_for_now(section, key, "test_config")
    _check_precision(section, "test_config")
    if "num_workers" in section:
        checks.integer(section["num_workers"], "test_config.num_workers", 0)
    if "scales" in section:
        if not isinstance(section["scales"], list):
            section["scales"] = [section["scales"]]
        for index, scale in enumerate(checks.sequence(section["scales"], "test_config.scales")):
            checks.number(scale, join("test_config.scales", index), 1e-3)
    for key in ("crop_size", "stride"):
        for size in checks.sequence(section[key], join("test_config", key)) if section.get(key) else []:
            checks.integer(size, join("test_config", key), 1)


def check_train_config(section: dict[str, Any]) -> None:
    """Check ``train_config`` and drop what has no effect."""
    counts = {"save_interval": 1, "log_iters": 1, "num_workers": 0, "seed": 0, "keep_checkpoint_max": 1}
    known = (*counts, "use_vdl", "ema_decay", "save_dir", "do_eval", "resume_model", *_WITHOUT_EFFECT)
    known_keys(section, known, "train_config")
    _check_precision(section, "train_config")
    if section.get("repeats") not in (None, 1):
        raise ValueError(f"train_config.repeats is {section['repeats']!r}: not supported; raise iters instead")
    for key in [key for key, value in section.items() if value is None or key in _WITHOUT_EFFECT]:
        del section[key]
    for key in [key for key in section if key in counts]:
        checks.integer(section[key], join("train_config", key), counts[key])
    for key in ("use_vdl", "do_eval"):
        checks.boolean(section.get(key, False), join("train_config", key))
    for key in ("save_dir", "resume_model"):
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
