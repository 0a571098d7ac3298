"""Our components in PaddleSeg's manager."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paddle_mobileseg import registry
from paddle_mobileseg.models import PPMobileSeg


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
