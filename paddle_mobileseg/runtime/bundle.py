"""The manifest of an exported network: a folder with graph files, ``deploy.yaml`` and golden tensors.

``deploy.yaml`` has PaddleSeg's section ``Deploy`` (files of the Paddle graph, transforms, output) and a section
``Bundle`` with all that a program needs beside the graph: classes and colours, layout and range of the input, size and
SHA-256 of every file, figures of the parity check. ``docs/reference/bundle.md`` has every key. ``deploy.json`` says the
same for programs that read no YAML. Needs NumPy and PyYAML only, because devices that run a bundle have no Paddle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from paddle_mobileseg.files import sha256

FORMAT = 1
MANIFEST = "deploy.yaml"
MANIFEST_JSON = "deploy.json"
GOLDEN = "golden.npz"

# What a graph gives: logits, softmax over classes, labels of full interpolation, labels of valid interpolation.
OUTPUT_OPS = ("none", "softmax", "argmax", "vim")

_REQUIRED = {
    "Deploy": ("transforms", "input_shape", "output_op"),
    "Bundle": ("format", "network", "num_classes", "class_names", "palette", "input", "backends", "files"),
}


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and its manifest, as :func:`load_bundle` read them.

    Attributes:
        folder: where it lies.
        deploy: the section ``Deploy``.
        about: the section ``Bundle``.
    """

    folder: Path
    deploy: dict[str, Any]
    about: dict[str, Any]

    @property
    def output_op(self) -> str:
        """One of :data:`OUTPUT_OPS`."""
        return self.deploy["output_op"]

    @property
    def input_shape(self) -> list[int]:
        """[N, 3, H, W] of the graph's input, or [N, H, W, 3] of uint8; -1 where any size is taken."""
        return self.deploy["input_shape"]

    @property
    def class_names(self) -> list[str]:
        """A name for each class."""
        return self.about["class_names"]

    @property
    def palette(self) -> np.ndarray:
        """``[C, 3]`` uint8 RGB."""
        return np.array(self.about["palette"], np.uint8)

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """How each format was written: operators, seconds, versions of the tools; empty in bundles older than that."""
        return self.about.get("targets", {})

    def files_of(self, backend: str) -> list[Path]:
        """Paths of the graph files that a backend runs.

        Raises:
            ValueError: the bundle has none for it.
        """
        names = self.about["backends"].get(backend)
        if names is None:
            present = ", ".join(sorted(self.about["backends"])) or "none"
            raise ValueError(
                f"{self.folder} holds no files for the backend {backend!r} (it has files for: {present}); "
                "use one of those, or export again with that format"
            )
        return [self.folder / name for name in names]

    def verify(self, paths: Iterable[Path] | None = None) -> None:
        """Check that files are as they were exported.

        Args:
            paths: the bundle's files to check; all of them by default.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file has another size or SHA-256; the message has both values.
        """
        recorded = self.about["files"]
        for name in recorded if paths is None else [path.name for path in paths]:
            self._verify_file(name, recorded[name])

    def _verify_file(self, name: str, recorded: dict[str, Any]) -> None:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; copy the whole bundle again, or export again")
        size = path.stat().st_size
        if size != recorded["bytes"]:
            raise ValueError(
                f"{path} has {size} bytes, but {recorded['bytes']} were exported; copy the bundle again, or "
                "export again"
            )
        found = sha256(path)
        if found != recorded["sha256"]:
            raise ValueError(
                f"{path} was changed: its sha256 is {found}, but {recorded['sha256']} was exported; "
                "copy the bundle again, or export again"
            )

    def golden(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs of a graph's input and the trained network's output for it, to check a runtime against.

        Raises:
            FileNotFoundError, ValueError: as :meth:`verify`.
        """
        path = self.folder / GOLDEN
        self.verify([path])
        with np.load(path) as tensors:
            return [(tensors[f"input_{i}"], tensors[f"output_{i}"]) for i in range(len(tensors.files) // 2)]

    def summary(self) -> str:
        """Folder, files with sizes, and parity, as a few lines for a terminal."""
        lines = [f"{self.folder}: {self.about['network']}, output {self.output_op}, input {self.input_shape}"]
        lines += [f"  {name:<16} {entry['bytes'] / 1e6:8.2f} MB" for name, entry in self.about["files"].items()]
        for row in self.about.get("parity", []):
            boundary = (
                "" if row["boundary_agreement"] is None else f", at class boundaries {row['boundary_agreement']:.4%}"
            )
            difference = "" if row["max_abs_diff"] is None else f", max difference {row['max_abs_diff']:.2g}"
            images = f"{row['images']} images" + ("" if row["tolerance"] is not None else "; no limit")
            lines.append(
                f"  {row['stage']}: labels agree on {row['label_agreement']:.4%}{boundary}{difference} ({images})"
            )
        return "\n".join(lines)


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``{name: {"sha256", "bytes"}}`` of files in a folder, for ``Bundle.files``."""
    return {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}


def write_manifest(folder: Path, deploy: dict[str, Any], about: dict[str, Any]) -> None:
    """Write ``deploy.yaml`` and ``deploy.json`` into a bundle that is being made; ``format`` is added.

    Raises:
        ValueError: a number that is not finite, which JSON does not have.
    """
    content = {"Deploy": deploy, "Bundle": {"format": FORMAT, **about}}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    as_json = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    (folder / MANIFEST_JSON).write_text(as_json + "\n", encoding="utf-8")


def read_manifest(folder: str | Path) -> Any:
    """What a bundle's ``deploy.yaml`` holds, unchecked.

    Raises:
        FileNotFoundError: no such folder, or no ``deploy.yaml`` in it.
        ValueError: it is no YAML.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no bundle: there is no {path}; `mobileseg export` makes one")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())}); export again") from error


def load_bundle(folder: str | Path) -> Bundle:
    """Read and check a bundle's manifest. Its other files are checked by :meth:`Bundle.verify`.

    Raises:
        FileNotFoundError: no such folder, or no ``deploy.yaml`` in it.
        ValueError: the manifest is damaged, of an unknown format, names files outside the folder, or is not what
            ``deploy.json`` says, where there is one.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    content = read_manifest(folder)
    for section, keys in _REQUIRED.items():
        values = content.get(section) if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise ValueError(
                f"{path} has no section {section!r}, so it is no bundle of this project; export the checkpoint again"
            )
        if section == "Bundle":
            _check_format(values.get("format"), path)
        if missing := [key for key in keys if key not in values]:
            raise ValueError(f"{path} is damaged: {section} has no {', '.join(missing)}; export again")
    bundle = Bundle(folder, content["Deploy"], content["Bundle"])
    _check_values(bundle, path)
    _check_same_json(folder, content)
    return bundle


def _check_format(found: Any, path: Path) -> None:
    if found == FORMAT and not isinstance(found, bool):
        return
    newer = isinstance(found, int) and found > FORMAT
    what_to_do = "update paddle_mobileseg, which is older than the bundle" if newer else "export again"
    raise ValueError(f"{path} has format {found!r}; this version reads format {FORMAT}; {what_to_do}")


def _check_same_json(folder: Path, content: dict[str, Any]) -> None:
    """Programs without YAML read ``deploy.json``, which must not say anything else. Bundles of before have none."""
    path = folder / MANIFEST_JSON
    if not path.exists():
        return
    try:
        other = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); copy the bundle again, or export again") from error
    for section in ("Deploy", "Bundle"):
        ours, theirs = content[section], other.get(section) if isinstance(other, dict) else None
        if theirs == ours:
            continue
        named = theirs if isinstance(theirs, dict) else ours
        changed = [key for key in ours if key not in named or named[key] != ours[key]]
        where = f"{section}.{changed[0]}" if changed else section
        raise ValueError(
            f"{path} and {MANIFEST} differ at {where}, so that one of them was edited; copy the bundle again, or "
            f"export again ({MANIFEST_JSON} is the same content for programs that read no YAML)"
        )


def _check_values(bundle: Bundle, path: Path) -> None:
    if bundle.output_op not in OUTPUT_OPS:
        raise ValueError(f"{path}: Deploy.output_op is {bundle.output_op!r}; expected one of {', '.join(OUTPUT_OPS)}")
    shape = bundle.input_shape
    if not (
        isinstance(shape, list) and len(shape) == 4 and all(isinstance(n, int) and (n == -1 or n > 0) for n in shape)
    ):
        raise ValueError(
            f"{path}: Deploy.input_shape is {shape!r}; expected [N, C, H, W], each a positive number or -1"
        )
    for name in bundle.about["files"]:
        if Path(name).name != name:
            raise ValueError(f"{path} names the file {name!r}; expected names of files in the bundle's own folder")
    if unknown := [n for names in bundle.about["backends"].values() for n in names if n not in bundle.about["files"]]:
        raise ValueError(
            f"{path} is damaged: Bundle.backends names {unknown[0]!r}, which Bundle.files lacks; export again"
        )
