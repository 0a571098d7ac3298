"""What all processes of a job must have in common, for :func:`paddle_mobileseg.engine.parallel.compare`."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict
from typing import Any

from paddle_mobileseg.config import Config
from paddle_mobileseg.engine.options import TrainOptions
from paddle_mobileseg.machine import package_versions

# What may differ between machines: where things lie, and what only the first process uses or reads.
_FREE_OPTIONS = ("save_dir", "num_workers", "command")
_PLACES = ("dataset_root", "train_path", "val_path", "test_path", "pretrained", "device", "train_config")


def job_facts(cfg: Config, options: TrainOptions) -> dict[str, Any]:
    """Versions, options and configuration, by names that tell a user what to correct.

    Places of files may differ, and so may ``model.pretrained``: the first process's weights are everybody's.
    """
    versions = {"python": ".".join(platform.python_version_tuple()[:2]), **package_versions()}
    own = {name: value for name, value in asdict(options).items() if name not in _FREE_OPTIONS}
    return {
        **{f"the version of {name}": version for name, version in versions.items()},
        **{f"the option {name}": value for name, value in own.items()},
        **{f"{path} of the configuration": value for path, value in cfg.leaves(_PLACES).items()},
    }


def data_facts(dataset: Any) -> dict[str, Any]:
    """How many images a data set has, and a digest of their names below the folder that all lie in."""
    files = [tuple(pair) for pair in getattr(dataset, "file_list", [])]
    names = [str(name) for pair in files for name in pair if name]
    root = os.path.commonpath(names) if names and all(map(os.path.isabs, names)) else ""
    text = "\n".join(os.path.relpath(name, root) if root else name for name in names)
    return {
        "the number of training images": len(dataset),
        "the list of training files (its SHA-256)": hashlib.sha256(text.encode()).hexdigest(),
    }
