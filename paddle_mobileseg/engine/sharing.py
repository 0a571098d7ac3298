"""Images shared out to the processes of a launched job, so that results are those of a single process."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable, Iterator
from typing import TypeVar

from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.parallel import Ranks

_T = TypeVar("_T")

ALONE = Ranks(0, 1)
# Images that the first process does itself, so that it has something to show.
FIRST_IMAGES = 4
# Chunks that a process does before all of them meet: what limits the memory for results on their way.
_ROUND = 8


class Shares:
    """Consecutive images make chunks, and these are dealt to the processes in turn.

    What is in a chunk does not depend on the number of processes.

    Args:
        images: how many.
        chunk: images in each chunk but the last.
        ranks: of this process; ``None`` for a single one.

    Attributes:
        chunks: this process's own, in order.
        indices: of its images, in order.
    """

    def __init__(self, images: int, chunk: int = 1, ranks: Ranks | None = None) -> None:
        self._ranks = ranks or ALONE
        shares: list[list[range]] = [[] for _ in range(self._ranks.count)]
        for number, first in enumerate(range(0, images, chunk)):
            owner = 0 if first < FIRST_IMAGES else number % self._ranks.count
            shares[owner].append(range(first, min(first + chunk, images)))
        self.chunks = shares[self._ranks.number]
        self.indices = list(itertools.chain.from_iterable(self.chunks))
        self._longest = max(map(len, shares))

    def rounds(self, results: Iterable[_T]) -> Iterator[list[_T]]:
        """The results of all processes, a few at a time; a process that has no more goes on taking part.

        Args:
            results: one for each of the own chunks, made while it is iterated over; can be pickled.

        Yields:
            In every process the same: what all of them made since the last time, those of the first process first.

        Raises:
            BaseException: what was raised in any process while it made a result, in all of them.
        """
        source = iter(results)
        if self._ranks.count == 1:
            for result in source:
                yield [result]
            return
        for _ in range(-(-self._longest // _ROUND)):
            done: list[_T] = []
            failure: BaseException | None = None
            try:
                done.extend(itertools.islice(source, _ROUND))
            except (Exception, KeyboardInterrupt) as error:
                failure = error
            gathered = parallel.gather((done, _picklable(failure)), self._ranks)
            if failure is not None:
                raise failure
            for _, theirs in gathered:
                if theirs is not None:
                    raise theirs
            yield [result for results_of_one, _ in gathered for result in results_of_one]


def _picklable(error: BaseException | None) -> BaseException | None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # a class that does not survive pickling: its text does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
