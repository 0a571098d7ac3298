"""Names that PaddleSeg's files of other years have for what is called otherwise here, and in PaddleSeg 2.8.0."""

from __future__ import annotations

from typing import Any

from paddle_mobileseg.config import checks
from paddle_mobileseg.config.checks import join, known_keys

# Sections of PaddleSeg's `_base_/runtime.yml`.
_SECTIONS = {"train": "train_config", "test": "test_config"}
_GLOBAL = {
    "device": ("device",),
    "num_workers": ("train_config.num_workers", "test_config.num_workers"),
    "save_dir": ("train_config.save_dir",),
}


def modernise(data: dict[str, Any]) -> None:
    """Give sections and components of a config that was just read their present names, in place.

    ``train`` and ``test`` become ``train_config`` and ``test_config``; ``global`` goes to these and to ``device``.

    Raises:
        ValueError: a section under both its names, or something in ``global`` that is not known or not supported.
    """
    for former, present in _SECTIONS.items():
        if former in data:
            if present in data:
                raise ValueError(f"{former} and {present} are two names of one section; keep one of them")
            data[present] = data.pop(former)
    if "global" in data:
        _spread_global(data, checks.mapping(data.pop("global"), "global"))
    if isinstance(data.get("model"), dict):
        _modernise_model(data["model"])


def modern_overrides(text: str) -> list[str]:
    """What an override of the command line, such as ``test.scales=0.5``, is called today; mostly itself."""
    section, dot, rest = text.partition(".")
    if not dot:
        return [text]
    if section in _SECTIONS:
        return [f"{_SECTIONS[section]}.{rest}"]
    key, equals, value = rest.partition("=")
    if section == "global" and key in _GLOBAL:
        return [f"{place}{equals}{value}" for place in _GLOBAL[key]]
    return [text]


def _spread_global(data: dict[str, Any], section: dict[str, Any]) -> None:
    known_keys(section, ("data_format", *_GLOBAL), "global")
    if section.pop("data_format", "NCHW") != "NCHW":
        raise ValueError("global.data_format: only 'NCHW' is supported; leave it out")
    for key, value in section.items():
        for place in _GLOBAL[key]:
            name, _, below = place.partition(".")
            if not below:
                data[name] = value
                continue
            holder = checks.mapping(data.setdefault(name, {}), name)
            holder.setdefault(below, value)


def _modernise_model(spec: dict[str, Any]) -> None:
    """PP-LiteSeg's first names, and MobileSeg's from before PP-MobileSeg was called so."""
    if spec.get("type") == "PPMobileSeg" and {"cm_bin_sizes", "arm_out_chs"} & set(spec):
        spec["type"] = "MobileSeg"
    if spec.get("type") == "PPSeg":
        spec["type"] = "PPLiteSeg"
        for key, only in (("head_type", "PPSegHead"), ("eval_seg_head_id", 0)):
            if spec.pop(key, only) != only:
                raise ValueError(f"{join('model', key)}: only {only!r} is supported; leave it out")
