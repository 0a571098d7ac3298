"""Our components in PaddleSeg's component manager, under PaddleSeg's names.

``register`` only writes a name down, so a module that uses it imports neither Paddle nor PaddleSeg.
``install`` imports PaddleSeg, keeps what it had under our names (``upstream``) and puts ours in its place.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pkgutil
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from paddle_mobileseg.suggestion import did_you_mean

KINDS = ("models", "backbones", "datasets", "transforms", "losses", "optimizers")

# Modules whose import registers components, and packages all of whose modules do.
_COMPONENT_MODULES = ("data.datasets", "data.transforms")
_COMPONENT_PACKAGES = ("losses", "backbones", "models")

_PADDLESEG_MISSING = (
    "PaddleSeg 2.8.0 is not installed. Install it without its outdated pins: pip install --no-deps paddleseg==2.8.0"
)

_Component = TypeVar("_Component", bound=Callable[..., Any])

_ours: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
_upstream: dict[str, Any] = {}
_installed = False


def register(kind: str, *aliases: str) -> Callable[[_Component], _Component]:
    """Decorator: offer a class or factory function as a component.

    Args:
        kind: one of ``KINDS``.
        aliases: further names for the same component (PaddleSeg's, where its own name misleads).

    Raises:
        KeyError: unknown kind.
        ValueError: another component of this project already has the name.
    """
    if kind not in KINDS:
        raise KeyError(f"unknown component kind {kind!r}; expected one of {', '.join(KINDS)}")

    def add(component: _Component) -> _Component:
        for name in (component.__name__, *aliases):
            if _ours[kind].setdefault(name, component) is not component:
                raise ValueError(f"two components of kind {kind!r} are called {name!r}; rename one of them")
        return component

    return add


def install() -> None:
    """Put every component of this project into PaddleSeg's manager. Calling it again does nothing.

    Raises:
        ImportError: PaddleSeg is missing (the message has the command that installs it), or a module of components
            cannot be imported (the message names it).
    """
    global _installed
    if _installed:
        return
    managers = _paddleseg_managers()
    for module in _component_modules():
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ImportError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    for kind in KINDS:
        components = managers[kind].components_dict
        _upstream.update({name: component for name, component in components.items()})
        components.update(_ours[kind])
    _installed = True


def names(kind: str) -> list[str]:
    """Sorted names of all usable components of a kind, PaddleSeg's and ours."""
    install()
    return sorted(_paddleseg_managers()[kind].components_dict)


def ours(kind: str) -> list[str]:
    """Sorted names of the components of a kind that this project itself provides."""
    install()
    return sorted(_ours[kind])


def find(name: str, kind: str | None = None) -> Any:
    """The component called ``name``; ours where both have one.

    Args:
        kind: look in this kind only; otherwise in all of them, in the order of ``KINDS``.

    Raises:
        KeyError: no such component; the message names the nearest one.
    """
    install()
    managers = _paddleseg_managers()
    kinds = KINDS if kind is None else (kind,)
    for each in kinds:
        if name in managers[each].components_dict:
            return managers[each].components_dict[name]
    known = [other for each in kinds for other in managers[each].components_dict]
    what = "component" if kind is None else f"component of kind {kind!r}"
    raise KeyError(f"there is no {what} called {name!r}{did_you_mean(name, known)}")


def upstream(name: str) -> Any:
    """PaddleSeg's own component of that name, also where ours has taken its place.

    Raises:
        KeyError: PaddleSeg has none of that name.
    """
    install()
    if name not in _upstream:
        raise KeyError(f"PaddleSeg has no component called {name!r}")
    return _upstream[name]


def _component_modules() -> Iterator[str]:
    yield from (f"paddle_mobileseg.{module}" for module in _COMPONENT_MODULES)
    for package in _COMPONENT_PACKAGES:
        name = f"paddle_mobileseg.{package}"
        yield from (each.name for each in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."))


def _paddleseg_managers() -> dict[str, Any]:
    """PaddleSeg's component managers by kind, imported without side effects on NumPy and warnings.

    On import PaddleSeg makes folders below ``SEG_HOME``, or in the home folder without it.
    """
    import numpy as np

    if not os.environ.get("SEG_HOME"):
        os.environ["SEG_HOME"] = str(_paddleseg_folder())
    print_options = np.get_printoptions()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import paddleseg  # noqa: F401  (registers its components)
            from paddleseg.cvlibs import manager
    except ModuleNotFoundError as error:
        if error.name == "paddleseg":
            raise ImportError(_PADDLESEG_MISSING) from error
        raise
    finally:
        np.set_printoptions(**print_options)
    return {kind: getattr(manager, kind.upper()) for kind in KINDS}


def _paddleseg_folder() -> Path:
    """A folder for PaddleSeg in our cache, or a temporary one where that cannot be made."""
    from paddle_mobileseg.files import cache_folder

    try:
        folder = cache_folder() / "paddleseg"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # no home folder
        pass
    temporary = Path(tempfile.mkdtemp(prefix="paddleseg-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary
