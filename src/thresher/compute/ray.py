"""The same map on a Ray cluster, and any function on one item at a time (extra: ray)."""

from __future__ import annotations

import logging
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from thresher.compute.cluster import Place, capacity, connect, losses, taken, why
from thresher.compute.local import Work
from thresher.core import parcel
from thresher.core.pool import Pool
from thresher.errors import ThresherError

log = logging.getLogger(__name__)
ATTEMPTS = 3  # a part that ends so many workers ends the run
LEAVING = 10.0  # seconds for a worker to take its folder away
PATIENCE = 30.0  # seconds without a worker after which the cluster is said to be busy
Part = tuple[int, Pool]


@dataclass(frozen=True)
class Ray:
    """Parts of a pool over the workers of a cluster; each worker writes its results into the store's folder itself.

    The store's folder (and models, where they are folders) must be seen under the same path by every machine; where
    the store has an address, workers never look into its folder and leave their results at the address. A worker
    keeps its models open from part to part. One that is lost is said, and its parts are done again.

    Attributes:
        address: of a running cluster; None takes RAY_ADDRESS, else starts Ray on this machine.
        workers: how many; None as many as the cluster holds.
        cpus: of each worker, which are also its threads.
        gpus: of each worker; several share a device where it is below 1. None: one, where the cluster has any and the
            work is a model's.
        ahead: parts given to a worker at a time, the one under way included.
        progress: called here after each part.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float | None = None
    ahead: int = 2
    progress: Work | None = None

    def map(self, fn: Work, parts: Iterable[Part]) -> None:
        """Run `fn` over all parts.

        Raises:
            ThresherError: no such cluster, no room in it, a machine without the store's folder, or a part that ended
                three workers.
        """
        ray, gpus, size = self._room(getattr(fn, "on_model", False))
        payload = fn.packed() if hasattr(fn, "packed") else pickle.dumps(fn)
        crew = _Crew(ray, replace(self, gpus=gpus), ray.put(payload), size, getattr(fn, "sends_rows", False))
        crew.work_off(iter(parts))

    def each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """(item, fn(item)) as they finish, each in a process of its own, one a slot; a lost one is done again.

        Raises:
            ThresherError: no such cluster, no room in it, or an item that ended three workers.
        """
        ray, gpus, size = self._room(on_model=True)
        remote = ray.remote(
            num_cpus=self.cpus, num_gpus=gpus, max_calls=1, max_retries=0, scheduling_strategy="SPREAD"
        )(_apply)
        waiting, running, lost = iter(items), {}, Counter[int]()

        def submit(item: Any) -> None:
            running[remote.remote(fn, item, Place.here(self.cpus, gpus))] = item

        for item in islice(waiting, size):
            submit(item)
        while running:
            (ref,), _ = ray.wait(list(running), num_returns=1)
            item = running.pop(ref)
            try:
                result = taken(ray, ref)
            except losses(ray) as error:
                lost[id(item)] += 1
                if lost[id(item)] >= ATTEMPTS:
                    raise ThresherError(f"{_short(item)} ended {ATTEMPTS} workers; the last: {why(error)}") from error
                log.warning("a worker was lost (%s); its work is done again: %s", why(error), _short(item))
                submit(item)
                continue
            for following in islice(waiting, 1):
                submit(following)
            yield item, result

    def _room(self, on_model: bool) -> tuple[Any, float, int]:
        """(ray, GPUs of a worker, how many workers)."""
        ray = connect(self.address)
        gpus = self.gpus
        if gpus is None:
            gpus = 1.0 if on_model and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        room = capacity(ray, self.cpus, gpus)
        return ray, gpus, room if self.workers is None else min(room, self.workers)


class _Worker:
    """A process somewhere: unpacks the work once, then part after part."""

    def __init__(self, payload: bytes, place: Place) -> None:
        place.take()
        self.fn = pickle.loads(payload)

    def hello(self) -> tuple[str, bool]:
        """(where this is, whether the store is seen from here)."""
        import ray

        reachable = getattr(self.fn, "reachable", None)
        return ray.util.get_node_ip_address(), True if reachable is None else reachable()

    def do(self, number: int, rows: Pool) -> None:
        self.fn(number, rows)
        rows.release()

    def leave(self) -> None:
        """Nothing stays behind."""
        parcel.clear()


def _apply(fn: Callable[[Any], Any], item: Any, place: Place) -> Any:
    place.take()
    return fn(item)


@dataclass
class _Crew:
    """Actors, and the parts that each has been given."""

    ray: Any
    how: Ray
    payload: Any
    size: int
    sends_rows: bool = False  # a worker does not see the pool's file
    waiting: deque[Part] = field(default_factory=deque)
    given: dict[Any, deque[tuple[Any, Part | None]]] = field(default_factory=dict)  # by actor: (answer, part), in turn
    ready: set[Any] = field(default_factory=set)
    died_in: Counter[int] = field(default_factory=Counter)
    not_started: int = 0

    def work_off(self, parts: Iterator[Part]) -> None:
        """All parts; no more are read ahead than the workers may have."""
        room = self.size * self.how.ahead
        try:
            while True:
                self.waiting.extend(islice(parts, max(room - len(self.waiting), 0)))
                if not self.waiting and not any(part for turn in self.given.values() for _, part in turn):
                    return
                idle = sum(not any(part for _, part in turn) for turn in self.given.values())
                for _ in range(min(self.size - len(self.given), len(self.waiting) - idle)):
                    self._start()
                self._give()
                answers = [turn[0][0] for turn in self.given.values() if turn]
                done, _ = self.ray.wait(answers, num_returns=1, timeout=PATIENCE)
                if not done and not self.ready:
                    log.warning("no worker has started for %.0f s: the cluster is busy, or starting", PATIENCE)
                for actor in [actor for actor, turn in self.given.items() if turn and turn[0][0] in done]:
                    self._hear(actor)
        finally:
            self._dismiss()

    def _start(self) -> None:
        how = self.how
        actor = self.ray.remote(_Worker).options(
            num_cpus=how.cpus, num_gpus=how.gpus, max_restarts=0, scheduling_strategy="SPREAD"
        ).remote(self.payload, Place.here(how.cpus, how.gpus or 0.0))  # fmt: skip
        self.given[actor] = deque([(actor.hello.remote(), None)])

    def _dismiss(self) -> None:
        """End all; those that have nothing left to do take their folders away first."""
        leaving = [actor.leave.remote() for actor in self.ready if self.sends_rows and not self.given[actor]]
        if leaving:
            self.ray.wait(leaving, num_returns=len(leaving), timeout=LEAVING)
        for actor in self.given:
            self.ray.kill(actor)

    def _give(self) -> None:
        """One part to each in turn, until all have as many as they may."""
        for _ in range(self.how.ahead):
            for actor in sorted(self.ready, key=lambda actor: len(self.given[actor])):
                if self.waiting and len(self.given[actor]) < self.how.ahead:
                    part = self.waiting.popleft()
                    number, rows = part
                    sent = rows.alone() if self.sends_rows else rows
                    self.given[actor].append((actor.do.remote(number, sent), part))

    def _hear(self, actor: Any) -> None:
        """Take a worker's next answer.

        Raises:
            ThresherError: its machine does not see the store, or it was the third to end in a part.
        """
        answer, part = self.given[actor][0]
        try:
            said = taken(self.ray, answer)
        except losses(self.ray) as error:
            self._lost(actor, error)
            return
        self.given[actor].popleft()
        if part is not None:
            if self.how.progress is not None:
                self.how.progress(*part)
            return
        where, reachable = said
        if not reachable:
            raise ThresherError(
                f"{where} does not see the store's folder. Put the store (--store) on a file system that every machine "
                "of the cluster mounts under the same path, or name a place that they all reach with --parts-at."
            )
        log.info("a worker on %s is ready", where)
        self.not_started = 0
        self.ready.add(actor)

    def _lost(self, actor: Any, error: Exception) -> None:
        turn = self.given.pop(actor)
        self.ready.discard(actor)
        parts = [part for _, part in turn if part is not None]
        self.waiting.extendleft(reversed(parts))
        if not parts:
            self.not_started += 1
            if self.not_started >= ATTEMPTS:
                raise ThresherError(f"workers do not start: {why(error)}") from error
            return
        number = parts[0][0]
        self.died_in[number] += 1
        if self.died_in[number] >= ATTEMPTS:
            raise ThresherError(
                f"part {number} ({len(parts[0][1])} rows) ended {ATTEMPTS} workers; the last: {why(error)}. What is "
                "finished is kept: run the same command again, perhaps with more memory a worker."
            ) from error
        log.warning("a worker was lost in part %d (%s); another one does the part again", number, why(error))


def _short(item: Any) -> str:
    return str(getattr(item, "name", item))[:200]
