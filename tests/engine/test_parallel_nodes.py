"""Several machines: two launchers on loopback, and in network namespaces of their own."""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.launched import Launcher, free_port, launched


@contextlib.contextmanager
def nodes(*launchers: Launcher) -> Iterator[tuple[Launcher, ...]]:
    try:
        yield launchers
    finally:
        for launcher in launchers:
            launcher.end()


def options(rank: int, master: str, host: str) -> list[object]:
    return ["--nnodes", 2, "--master", master, "--rank", rank, "--host", host]


def words(config_file: Path, repository: Path, folder: Path) -> list[object]:
    return [repository / "tools" / "train.py", "--config", config_file, "--save_dir", folder]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return paddle.load(str(folder / "iter_4" / "model.pdparams"), return_numpy=True)


@pytest.fixture(scope="module")
def one_machine(config_file: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What two processes of one launcher train."""
    folder = tmp_path_factory.mktemp("one_machine")
    with launched(folder, *words(config_file, repository, folder / "out")) as job:
        assert job.wait() == 0, job.printed()
    return weights(folder / "out")


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_two_machines_on_loopback_train_what_one_does(
    config_file: Path, repository: Path, tmp_path: Path, one_machine: dict[str, np.ndarray]
) -> None:
    master = f"127.0.0.1:{free_port()}"
    with nodes(
        *(
            Launcher(
                tmp_path / f"node{rank}",
                words(config_file, repository, tmp_path / f"node{rank}" / "out"),
                processes=1,
                options=options(rank, master, "127.0.0.1"),
            )
            for rank in (0, 1)
        )
    ) as (first, second):
        for node in (first, second):
            assert node.wait() == 0, first.printed() + second.printed()
    assert_equal(weights(tmp_path / "node0" / "out"), one_machine)
    assert not (tmp_path / "node1" / "out").exists()


@pytest.fixture
def two_networks() -> Iterator[tuple[list[str], list[str], str]]:
    """Two network namespaces with a cable between them: a command prefix for each, and how to cut the cable."""
    name = f"ms{uuid.uuid4().hex[:6]}"
    namespaces = [f"{name}a", f"{name}b"]
    commands = [
        *(f"ip netns add {each}" for each in namespaces),
        f"ip link add {name}x netns {namespaces[0]} type veth peer name {name}y netns {namespaces[1]}",
        f"ip -n {namespaces[0]} addr add 10.213.7.1/24 dev {name}x",
        f"ip -n {namespaces[1]} addr add 10.213.7.2/24 dev {name}y",
        *(f"ip -n {each} link set lo up" for each in namespaces),
        f"ip -n {namespaces[0]} link set {name}x up",
        f"ip -n {namespaces[1]} link set {name}y up",
    ]
    try:
        try:
            for command in commands:
                subprocess.run(command.split(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", b"") or str(error).encode()
            pytest.skip(f"cannot make network namespaces (needs root and iproute2): {reason.decode().strip()}")
        prefixes = [["ip", "netns", "exec", each] for each in namespaces]
        yield prefixes[0], prefixes[1], f"ip -n {namespaces[1]} link set {name}y down"
    finally:
        for each in namespaces:
            subprocess.run(["ip", "netns", "del", each], check=False, capture_output=True)


def apart(
    networks: tuple[list[str], list[str], str], config_file: Path, repository: Path, folder: Path, *more: object
) -> tuple[Launcher, Launcher]:
    first, second = (
        Launcher(
            folder / f"node{rank}",
            [*words(config_file, repository, folder / f"node{rank}" / "out"), *more],
            processes=1,
            options=options(rank, "10.213.7.1:7171", f"10.213.7.{rank + 1}"),
            prefix=networks[rank],
        )
        for rank in (0, 1)
    )
    return first, second


def test_machines_in_networks_of_their_own_train_what_one_does(
    two_networks: tuple[list[str], list[str], str],
    config_file: Path,
    repository: Path,
    tmp_path: Path,
    one_machine: dict[str, np.ndarray],
) -> None:
    with nodes(*apart(two_networks, config_file, repository, tmp_path)) as (first, second):
        for node in (first, second):
            assert node.wait() == 0, first.printed() + second.printed()
    assert_equal(weights(tmp_path / "node0" / "out"), one_machine)


@pytest.mark.slow
def test_a_cable_that_is_cut_ends_both_machines(
    two_networks: tuple[list[str], list[str], str], config_file: Path, repository: Path, tmp_path: Path
) -> None:
    more = ["--iters", 100000, "--log_iters", 1]
    with nodes(*apart(two_networks, config_file, repository, tmp_path, *more)) as (first, second):
        log = tmp_path / "node0" / "out" / "log.jsonl"
        first.wait_until(lambda: log.is_file() and log.read_text().count('"train"') >= 2)
        subprocess.run(two_networks[2].split(), check=True)
        for node in (first, second):
            assert node.wait() not in (0, None)
            error = next(line for line in node.log(0).splitlines() if line.startswith("error: "))
            assert "cannot be reached any more" in error or "lost while gradients were exchanged" in error, error
            assert "--resume auto" in error
