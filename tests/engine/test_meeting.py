"""Meetings of several processes, here of threads."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from paddle_mobileseg.engine.meeting import Meeting, PeerError
from tests.launched import free_port


def in_ranks(count: int, work: Callable[[int, int], Any]) -> list[Future[Any]]:
    """``work(rank, port)`` in a thread for each rank; all have ended afterwards."""
    port = free_port()
    with ThreadPoolExecutor(count) as pool:
        return [pool.submit(work, rank, port) for rank in range(count)]


def meet(rank: int, port: int, count: int = 3, **times: float) -> Meeting:
    return Meeting(rank, count, ("127.0.0.1", port), **{"join_s": 20.0, "meet_s": 20.0, **times})


def test_everyone_gets_everyones_values_in_order_of_rank() -> None:
    def work(rank: int, port: int) -> list[Any]:
        meeting = meet(rank, port)
        big = bytes([rank]) * 3_000_000
        return [meeting.exchange("name", f"rank {rank}"), [len(b) * b[0] for b in meeting.exchange("big", big)]]

    for future in in_ranks(3, work):
        assert future.result() == [["rank 0", "rank 1", "rank 2"], [0, 3_000_000, 6_000_000]]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_reaches_all_with_rank_and_reason(failing: int) -> None:
    heard = []

    def work(rank: int, port: int) -> str:
        meeting = meet(rank, port)
        if rank == failing:
            meeting.fail("the image is damaged")
            heard.append(time.monotonic())
            return ""
        time.sleep(0.5)
        with pytest.raises(PeerError) as caught:
            meeting.exchange("step", None)
        heard.append(time.monotonic())
        return str(caught.value)

    texts = [future.result() for future in in_ranks(3, work)]
    host = socket.gethostname()
    for rank, text in enumerate(texts):
        expected = "" if rank == failing else f"rank {failing} ({host}, workerlog.?) failed: the image is damaged"
        assert text == expected
    assert max(heard) - min(heard) < 10  # the failing one has waited for the others, and not for the time limit


def test_two_failures_are_both_told() -> None:
    def work(rank: int, port: int) -> str:
        meeting = meet(rank, port)
        if rank:
            meeting.fail(f"reason {rank}")
            return ""
        with pytest.raises(PeerError) as caught:
            meeting.exchange("step", None)
        return str(caught.value)

    text = in_ranks(3, work)[0].result()
    assert "rank 1" in text
    assert "reason 1; rank 2" in text


@pytest.mark.parametrize("lost", [0, 2])
def test_a_process_that_ends_is_named(lost: int) -> None:
    def work(rank: int, port: int) -> str:
        meeting = meet(rank, port)
        if rank == lost:
            meeting._aware = True
            for peer in meeting._peers:
                peer.connection.shutdown(socket.SHUT_RDWR)  # as the kernel does for a process that is killed
            return ""
        with pytest.raises(PeerError) as caught:
            meeting.exchange("step", None)
        return str(caught.value)

    for rank, future in enumerate(in_ranks(3, work)):
        if rank != lost:
            assert future.result().startswith(
                f"rank {lost} ({socket.gethostname()}, workerlog.?) has ended without a word"
            )


def test_a_process_that_does_not_come_is_named() -> None:
    ended = threading.Event()

    def work(rank: int, port: int) -> str:
        meeting = meet(rank, port, count=2, meet_s=0.5)
        if rank == 1:
            ended.wait(10)
            return ""
        with pytest.raises(PeerError) as caught:
            meeting.exchange("step", None)
        ended.set()
        return str(caught.value)

    text = in_ranks(2, work)[0].result()
    assert text == f"rank 1 ({socket.gethostname()}, workerlog.?) has not come for 0 s: it hangs or is stopped"


def test_processes_at_different_places_are_an_error() -> None:
    def work(rank: int, port: int) -> str:
        with pytest.raises(PeerError) as caught:
            meet(rank, port).exchange("evaluate" if rank == 1 else "step", None)
        return str(caught.value)

    for future in in_ranks(3, work):
        assert "different places of the program" in future.result()
        assert "1: 'evaluate'" in future.result()


def test_missing_processes_are_named_to_all_that_came() -> None:
    def work(rank: int, port: int) -> str:
        with pytest.raises(ValueError) as caught:
            meet(rank, port, count=5, join_s=1.0)
        return str(caught.value)

    for future in in_ranks(3, work):
        assert "only 3 of 5 processes have come within 1 s; missing: rank 3, 4." in future.result()


def test_rank_0_out_of_reach_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_NNODES", "2")
    port = free_port()
    with pytest.raises(PeerError) as caught:
        meet(1, port, join_s=0.5)
    assert f"rank 1 could not reach rank 0 at 127.0.0.1:{port} within 0 s (Connection refused)" in str(caught.value)
    assert "give each launcher --host with the address of its machine" in str(caught.value)


@pytest.mark.parametrize(
    ("rank", "count", "words"),
    [
        (1, 4, "was started in a job of 4 processes, rank 0 in one of 2: PADDLE_TRAINERS_NUM must be the same"),
        (7, 2, "has a number that is not among those expected: PADDLE_TRAINER_ID must be 0, 1, 2"),
    ],
)
def test_a_process_of_another_job_is_refused_in_both(rank: int, count: int, words: str) -> None:
    def work(place: int, port: int) -> str:
        with pytest.raises(ValueError) as caught:
            meet(*((0, port, 2) if place == 0 else (rank, port, count)))
        return str(caught.value)

    texts = {future.result() for future in in_ranks(2, work)}
    assert len(texts) == 1
    assert words in texts.pop()


def test_two_processes_with_one_number_are_refused() -> None:
    def work(place: int, port: int) -> str:
        with pytest.raises(ValueError) as caught:
            meet(min(place, 1), port)
        return str(caught.value)

    for future in in_ranks(3, work):
        assert "has already: PADDLE_TRAINER_ID must be 0, 1, 2, ...; give each machine's launcher a --rank" in (
            future.result()
        )


def test_a_process_that_has_ended_in_order_is_not_called_dead(capfd: pytest.CaptureFixture[str]) -> None:
    def work(rank: int, port: int) -> str:
        meeting = meet(rank, port, count=2)
        meeting.exchange("last", None)
        if rank == 1:
            meeting._leave()
            for peer in meeting._peers:
                peer.connection.shutdown(socket.SHUT_RDWR)
            return ""
        time.sleep(2.5)
        assert "ended" not in capfd.readouterr().err
        with pytest.raises(PeerError) as caught:
            meeting.exchange("one more", None)
        return str(caught.value)

    text = in_ranks(2, work)[0].result()
    assert text == f"rank 1 ({socket.gethostname()}, workerlog.?) has ended before this one came here"


def test_a_death_is_told_before_the_next_meeting(capfd: pytest.CaptureFixture[str]) -> None:
    def work(rank: int, port: int) -> None:
        meeting = meet(rank, port, count=2)
        if rank == 1:
            meeting._aware = True
            for peer in meeting._peers:
                peer.connection.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(2.5)  # a long forward pass
        meeting._aware = True

    for future in in_ranks(2, work):
        future.result()
    host = socket.gethostname()
    assert f"error: rank 1 ({host}, workerlog.?) has ended without a word: killed" in capfd.readouterr().err


def test_strangers_at_the_port_are_sent_away() -> None:
    def work(rank: int, port: int) -> list[int]:
        if rank == 1:
            for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"[1, 2]\n", b'{"number": "x"}\n', b""):
                connection = None
                while connection is None:
                    try:
                        connection = socket.create_connection(("127.0.0.1", port))
                    except OSError:
                        time.sleep(0.01)
                connection.sendall(greeting)
                connection.close()
        return meet(rank, port, count=2).exchange("number", rank)

    assert [future.result() for future in in_ranks(2, work)] == [[0, 1], [0, 1]]


def test_the_port_is_free_for_paddle_afterwards() -> None:
    def work(rank: int, port: int) -> int:
        meeting = meet(rank, port, count=2)
        meeting.exchange("wait", None)
        if rank == 0:
            with socket.create_server(("", port)) as server:
                assert server.getsockname()[1] == port
        meeting.exchange("wait", None)
        return 1

    assert [future.result() for future in in_ranks(2, work)] == [1, 1]


def test_connections_end_when_the_other_machine_falls_silent() -> None:
    def work(rank: int, port: int) -> list[int]:
        connection = meet(rank, port, count=2)._peers[0].connection
        tcp = [connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        return [connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *tcp]

    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    if not all(hasattr(socket, name) for name in names):
        pytest.skip("needs Linux's TCP settings")
    for future in in_ranks(2, work):
        assert future.result() == [1, 10, 5, 4, 30000]
