"""A checked config, and how it comes from a YAML file and the command line."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from paddle_mobileseg.config.checks import join
from paddle_mobileseg.config.former import modernise
from paddle_mobileseg.config.overrides import apply_overrides, set_data_root
from paddle_mobileseg.config.reading import dump_yaml, plain, read_config
from paddle_mobileseg.config.validate import validate
from paddle_mobileseg.files import write_text


class Config:
    """A config that passed every check, with what follows from other sections filled in.

    Attributes:
        data: all of it, as plain mappings, lists, text and numbers. The sections below are deep copies.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        """Take ``data`` as it is; ``from_dict`` checks it first."""
        self.data = data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Config:
        """Check ``data`` (left unchanged) again and make a config of it.

        Raises:
            ValueError: what is wrong, with the dotted path of the place.
        """
        if not isinstance(data, dict):
            raise ValueError(f"a config is a mapping, got {type(data).__name__}")
        data = plain(data)
        validate(data)
        return cls(data)

    @property
    def batch_size(self) -> int:
        """Images a training step."""
        return self.data["batch_size"]

    @property
    def iters(self) -> int:
        """Training steps."""
        return self.data["iters"]

    @property
    def device(self) -> str | None:
        """``"cpu"``, ``"gpu"`` (where there is one), or None where the config does not say."""
        return self.data.get("device")

    @property
    def num_classes(self) -> int:
        """Classes of model and datasets, the ignored label not counted."""
        return self.data["model"]["num_classes"]

    @property
    def model(self) -> dict[str, Any]:
        return self._section("model")

    @property
    def train_dataset(self) -> dict[str, Any]:
        return self._section("train_dataset")

    @property
    def val_dataset(self) -> dict[str, Any]:
        """Empty where the config has none; so are the other optional sections."""
        return self._section("val_dataset")

    @property
    def test_dataset(self) -> dict[str, Any]:
        return self._section("test_dataset")

    @property
    def loss(self) -> dict[str, Any]:
        return self._section("loss")

    @property
    def optimizer(self) -> dict[str, Any]:
        return self._section("optimizer")

    @property
    def lr_scheduler(self) -> dict[str, Any]:
        return self._section("lr_scheduler")

    @property
    def test_config(self) -> dict[str, Any]:
        return self._section("test_config")

    @property
    def train_config(self) -> dict[str, Any]:
        return self._section("train_config")

    @property
    def export(self) -> dict[str, Any]:
        return self._section("export")

    def with_changes(self, overrides: Iterable[str] = (), data_root: str | Path | None = None) -> Config:
        """A checked copy with the command line's changes put in, as `load_config` does it.

        Raises:
            ValueError: an override that fits nothing, or a result that is not valid.
        """
        data = copy.deepcopy(self.data)
        if data_root is not None:
            set_data_root(data, str(data_root))
        apply_overrides(data, overrides)
        return Config.from_dict(data)

    def leaves(self, left_out: Collection[str] = ()) -> dict[str, Any]:
        """All values by dotted path, such as ``model.backbone.type``; a list of plain values is one value.

        Args:
            left_out: keys, at any depth, that are left out with all below them.
        """
        return dict(_leaves(self.data, left_out))

    def to_yaml(self) -> str:
        """The whole config as YAML that ``load_config`` reads; it has no ``_base_``."""
        return dump_yaml(self.data)

    def save(self, path: str | Path) -> None:
        """Write ``to_yaml()`` to ``path``; a kill at any moment leaves the previous file whole.

        Raises:
            OSError: the file cannot be written.
        """
        write_text(path, self.to_yaml())

    def _section(self, name: str) -> dict[str, Any]:
        return copy.deepcopy(self.data.get(name, {}))


def _leaves(value: Any, left_out: Collection[str], path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in left_out:
                yield from _leaves(each, left_out, join(path, key))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(each, left_out, join(path, number))
    else:
        yield path, value


def load_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    batch_size: int | None = None,
    iters: int | None = None,
    learning_rate: float | None = None,
    data_root: str | Path | None = None,
    train_config: dict[str, Any] | None = None,
) -> Config:
    """Read a YAML config, put the command line's changes into it and check it.

    Names that PaddleSeg's files of other years have are understood; see :mod:`paddle_mobileseg.config.former`.

    Args:
        path: the YAML file; its ``_base_`` files are merged in.
        overrides: ``a.b.c=value`` each; see ``apply_overrides``.
        batch_size: takes the place of the file's.
        iters: takes the place of the file's.
        learning_rate: takes the place of ``lr_scheduler.learning_rate``.
        data_root: takes the place of every ``dataset_root``.
        train_config: values put over the file's section of that name.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: the file or one of its bases cannot be read.
        ValueError: anything wrong in it, in one line that names the file, the dotted path, and what was expected.
    """
    data = read_config(path)
    try:
        modernise(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if batch_size is not None:
        data["batch_size"] = batch_size
    if iters is not None:
        data["iters"] = iters
    if learning_rate is not None and isinstance(data.get("lr_scheduler"), dict):
        data["lr_scheduler"]["learning_rate"] = learning_rate
    if train_config and isinstance(data.setdefault("train_config", {}), dict):
        data["train_config"].update(train_config)
    try:
        return Config(data).with_changes(overrides, data_root)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
