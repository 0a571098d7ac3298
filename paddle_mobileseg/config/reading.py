"""YAML files with inheritance, read strictly: duplicate keys, cycles and values that are no plain data are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.config.checks import join
from paddle_mobileseg.suggestion import did_you_mean

BASE_KEY = "_base_"
INHERIT_KEY = "_inherited_"

# PyYAML follows YAML 1.1, where `1e-4` (no dot) and `1.0e6` (no sign) are text. YAML 1.2 and people mean numbers.
_FLOAT_WITH_EXPONENT = re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(
                    f"the key {key.value!r} is written twice in one mapping, in lines {lines[key.value]} and {line}; "
                    "keep one of them"
                )
            lines[key.value] = line
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT_WITH_EXPONENT, list("-+.0123456789"))


def parse_yaml(text: str) -> Any:
    """Plain Python data from YAML text.

    Raises:
        ValueError: syntax error (with its line), a key written twice, or data that is neither mapping, list, text,
            number, boolean nor null.
    """
    try:
        return plain(yaml.load(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"not valid YAML{where}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ValueError("not usable: a YAML alias refers to something that contains it") from None


def dump_yaml(data: dict[str, Any]) -> str:
    """YAML text of plain data, keys in their order; ``parse_yaml`` gives the same data back."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def plain(value: Any, path: str = "") -> Any:
    """A deep copy of ``value`` that shares nothing with it, checked to be plain data (tuples become lists).

    Raises:
        ValueError: a value or key of another type, named with its dotted path.
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{join(path, key)}: the key {key!r} is not text; put it in quotes")
        return {key: plain(item, join(path, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, join(path, index)) for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(f"{path or 'the value'} is {value!r}; expected text, a number, true, false or null")


def read_config(path: str | Path, _chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file, merged over the files that its ``_base_`` names.

    ``_base_`` is a path or list of paths relative to the file; where several bases have a key, the first one wins, as
    in PaddleSeg. ``_inherited_: False`` in a mapping drops what the bases have there.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: the file, or one that ``_base_`` names, cannot be read.
        ValueError: it is not YAML, is no mapping, or ``_base_`` goes in a circle; the message names the file.
    """
    path = Path(path)
    resolved = path.resolve()
    if resolved in _chain:
        circle = " -> ".join(each.name for each in (*_chain[_chain.index(resolved) :], resolved))
        raise ValueError(f"{_chain[0]}: `{BASE_KEY}` goes in a circle: {circle}")
    own = _read_file(path)
    bases = own.pop(BASE_KEY, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ValueError(f"{path}: `{BASE_KEY}` is {bases!r}; expected a path or a list of paths")
    inherited: dict[str, Any] = {}
    for base in bases:
        if not (path.parent / base).exists():
            raise FileNotFoundError(f"{path}: `{BASE_KEY}` names {base!r}, but {path.parent / base} does not exist")
        inherited = merge(inherited, read_config(path.parent / base, (*_chain, resolved)))
    return merge(own, inherited)


def merge(over: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over`` put on top, mapping by mapping; ``_inherited_`` is obeyed and removed.

    Lists are replaced as a whole. Neither argument is changed.
    """
    if not over.get(INHERIT_KEY, True):
        base = {}
    merged = dict(base)
    for key, value in over.items():
        if key == INHERIT_KEY:
            continue
        if isinstance(value, dict):
            below = base.get(key)
            merged[key] = merge(value, below if isinstance(below, dict) else {})
        elif isinstance(value, list):
            merged[key] = [merge(item, {}) if isinstance(item, dict) else item for item in value]
        else:
            merged[key] = value
    return merged


def _read_file(path: Path) -> dict[str, Any]:
    """The mapping in one YAML file, its ``_base_`` not yet followed."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a config file (.yml)")
    if not path.exists():
        others = [str(other) for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise FileNotFoundError(f"config file {path} does not exist{did_you_mean(path, others)}")
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file (UTF-8), so it is no YAML config") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        found = "empty" if data is None else f"a {type(data).__name__}"
        raise ValueError(f"{path}: the top level is {found}; expected a mapping with keys such as model, train_dataset")
    return data
