"""Checks of component descriptions: mappings with a ``type`` and the arguments of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from paddle_mobileseg import registry
from paddle_mobileseg.config.checks import join, known_keys

# Keys whose value is a component of one kind, and those whose value is a list of them.
_CHILD_KINDS = {"backbone": "backbones"}
_CHILDREN_KINDS = {
    "losses": "losses",
    "transforms": "transforms",
    "common_transforms": "transforms",
    "transforms1": "transforms",
    "transforms2": "transforms",
}

_ADVICE = " (what a `_base_` file has there is dropped by writing `_inherited_: False`)"


def is_component(value: Any) -> bool:
    """Whether a value of a config describes a component."""
    return isinstance(value, dict) and "type" in value


def find_component(spec: Any, path: str, kind: str | None = None) -> Callable[..., Any]:
    """The class or factory that ``spec["type"]`` names.

    Raises:
        ValueError: ``spec`` describes no component, or none of that name and kind exists.
    """
    if not isinstance(spec, dict):
        raise ValueError(f"{path} is {spec!r}; expected a mapping with `type` and the arguments of that component")
    if not isinstance(spec.get("type"), str):
        got = f"its `type` is {spec['type']!r}" if "type" in spec else f"it has only: {', '.join(spec) or 'nothing'}"
        raise ValueError(f"{path} must name a component by its `type`; {got}")
    try:
        return registry.find(spec["type"], kind)
    except KeyError as error:
        raise ValueError(f"{join(path, 'type')}: {error.args[0]}") from error


def accepted_arguments(component: Callable[..., Any]) -> tuple[set[str], set[str], bool]:
    """Names of all arguments, names of those without default, and whether any other name is taken too.

    A factory with ``**kwargs`` may list what it takes in an attribute ``accepts``.
    """
    parameters = inspect.signature(component).parameters.values()
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    names = {each.name for each in named}
    required = {each.name for each in named if each.default is each.empty}
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters)
    listed = getattr(component, "accepts", None) if anything else None
    return names | set(listed or ()), required, anything and listed is None


def accepts(component: Callable[..., Any], argument: str) -> bool:
    """Whether a component's constructor takes an argument of that name."""
    names, _, anything = accepted_arguments(component)
    return anything or argument in names


def check_component(spec: Any, path: str, kind: str | None = None, supplied: Iterable[str] = ()) -> None:
    """Check a component and the components inside it: types exist, arguments are known, none is missing.

    Args:
        spec: the mapping with ``type``.
        path: its dotted path, for messages.
        kind: the kind of component expected, or None for any.
        supplied: arguments that are filled in later, so that they may be missing.

    Raises:
        ValueError: naming the dotted path and the nearest known name.
    """
    component = find_component(spec, path, kind)
    names, required, anything = accepted_arguments(component)
    arguments = {key: value for key, value in spec.items() if key != "type"}
    if not anything:
        known_keys(arguments, names, path, f"argument of {spec['type']}:", advice=_ADVICE)
    missing = sorted(required - set(arguments) - set(supplied))
    if missing:
        raise ValueError(f"{path}: {spec['type']} needs the argument {missing[0]!r}")
    for key, value in arguments.items():
        if value is None:
            continue
        if key in _CHILDREN_KINDS:
            check_components(value, join(path, key), _CHILDREN_KINDS[key])
        elif key in _CHILD_KINDS or is_component(value):
            check_component(value, join(path, key), _CHILD_KINDS.get(key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if is_component(item):
                    check_component(item, join(path, key, index))


def check_components(specs: Any, path: str, kind: str) -> None:
    """Check a list of components of one kind; see ``check_component``."""
    if not isinstance(specs, list):
        raise ValueError(f"{path} is {specs!r}; expected a list of {kind}, each a mapping with `type`")
    for index, spec in enumerate(specs):
        check_component(spec, join(path, index), kind)
