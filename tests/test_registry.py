"""Our components in PaddleSeg's manager."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_mobileseg import registry
from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg


def test_ours_stand_under_paddlesegs_names_and_upstream_is_reachable() -> None:
    registry.install()
    from paddleseg.cvlibs import manager

    assert manager.MODELS["PPMobileSeg"] is PPMobileSeg
    assert registry.find("PPMobileSeg") is PPMobileSeg
    assert registry.upstream("PPMobileSeg").__module__ == "paddleseg.models.pp_mobileseg"
    assert registry.find("MobileSeg_Tiny", "backbones").__module__ == "paddle_mobileseg.backbones.strideformer"
    assert registry.find("RandomBlur").__module__.startswith("paddleseg.")
    assert "PPMobileSeg" in registry.ours("models")
    assert "UNet" in registry.names("models")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'PPMobileSeg'"):
        registry.find("PPMobilSeg", "models")
    with pytest.raises(KeyError, match="PaddleSeg has no component"):
        registry.upstream("CamVid")


def test_one_name_one_component() -> None:
    with pytest.raises(ValueError, match="PPMobileSeg"):

        @registry.register("models", "PPMobileSeg")
        def something() -> None: ...

    del registry._ours["models"]["something"]
    with pytest.raises(KeyError, match="unknown component kind"):
        registry.register("model")


def test_installing_is_silent_and_leaves_numpy_alone() -> None:
    code = (
        "import numpy as np; before = np.get_printoptions()\n"
        "from paddle_mobileseg import registry; registry.install(); registry.install()\n"
        "assert np.get_printoptions() == before"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:__main__", "-c", code], capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
    assert "exists already" not in run.stderr
    assert run.stdout == ""


def environment_of_install(**variables: str) -> str:
    """SEG_HOME after ``install`` in a process with these environment variables instead of its own folders."""
    code = "import os; from paddle_mobileseg import registry; registry.install(); print(os.environ['SEG_HOME'])"
    kept = {name: value for name, value in os.environ.items() if name not in ("SEG_HOME", "MOBILESEG_CACHE")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **variables})
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_paddleseg_keeps_to_our_cache_folder(tmp_path: Path) -> None:
    assert environment_of_install(HOME=str(tmp_path)) == str(tmp_path / ".cache" / "paddle_mobileseg" / "paddleseg")
    assert not (tmp_path / ".paddleseg").exists()


def test_paddleseg_goes_to_a_temporary_folder_where_there_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = environment_of_install(HOME=str(tmp_path), MOBILESEG_CACHE=str(tmp_path / "file"), TMPDIR=str(tmp_path))
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()
    assert not (tmp_path / ".paddleseg").exists()


def test_paddleseg_goes_where_the_user_wants_it(tmp_path: Path) -> None:
    assert environment_of_install(HOME=str(tmp_path), SEG_HOME=str(tmp_path / "mine")) == str(tmp_path / "mine")
    assert not (tmp_path / ".paddleseg").exists()
