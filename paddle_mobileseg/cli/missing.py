"""What to install for a command whose packages are not there: a machine that only runs bundles has few."""

from __future__ import annotations

_TRAINING = "train,cpu"
_EXTRA_OF = {
    **dict.fromkeys(("paddle", "jinja2", "matplotlib", "prettytable", "scipy", "sklearn", "visualdl"), _TRAINING),
    **dict.fromkeys(("filelock", "requests"), _TRAINING),
    **dict.fromkeys(("onnx", "paddle2onnx"), "train,cpu,onnx"),
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
}
_NAME_OF = {"PIL": "Pillow", "cv2": "opencv-python-headless", "numpy": "numpy", "tqdm": "tqdm", "yaml": "pyyaml"}


def error_text(error: BaseException) -> str:
    """What went wrong, for the line behind ``error:``; of a package that is missing, with the way to install it."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = _EXTRA_OF.get(package)
    if package in _NAME_OF:
        return f"this needs the package {package!r}, which is not installed: pip install {_NAME_OF[package]}"
    if extra is None:
        return str(error)
    hint = f"this needs the package {package!r}, which is not installed: pip install 'paddle_mobileseg[{extra}]'"
    if "train" not in extra:
        return hint
    return (
        f"{hint} (in a checkout: pip install -e '.[{extra}]'; gpu in place of cpu for a GPU build), then "
        "pip install --no-deps paddleseg==2.8.0. Without these packages, bundles can be run: mobileseg infer"
    )
