"""`Writer`: the one writing thread of the process. All jobs that wait when it is free become one transaction."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic, time

import msgspec

from telex.engines.sqlite import problems
from telex.engines.sqlite.address import FileAddress
from telex.engines.sqlite.clock import Clock
from telex.engines.sqlite.files import Place, persist, writing
from telex.engines.sqlite.jobs import Batch, EngineCall, Job, JobObserver
from telex.engines.sqlite.ledger import Ledger
from telex.engines.sqlite.retention import Sweeper
from telex.engines.sqlite.session import TransactionSession

logger: logging.Logger = logging.getLogger("telex")
MOST = 4096
"""The most jobs in one transaction; more wait for the next."""
PATIENCE = 2.0
"""The default of the seconds for which closing waits while another process has the file locked."""


class WriterEvents:
    """The callbacks of the thread; `FileClient` handles them in the event loop."""

    def __init__(
        self,
        opened: Callable[[], None],
        ended: Callable[[BaseException | None], None],
        begun: Callable[[Batch], None],
        committed: Callable[[Batch], None],
        post: Callable[..., None],
    ) -> None:
        self.opened: Callable[[], None] = opened
        self.ended: Callable[[BaseException | None], None] = ended
        self.begun: Callable[[Batch], None] = begun  # called in the thread itself, before the commit
        self.committed: Callable[[Batch], None] = committed
        self.post: Callable[..., None] = post


class Writer:
    """The owner of the writing connection.

    Invariant: between two batches no transaction is open, except that of a `TransactionSession`. ``patience``: the
    seconds for which closing waits while another process has the file locked.
    """

    def __init__(self, address: FileAddress, told: WriterEvents, clock: Clock, patience: float = PATIENCE) -> None:
        self.address: FileAddress = address
        self._patience = patience
        self.events: WriterEvents = told
        self._inbox: SimpleQueue[Sequence[Job | TransactionSession] | None] = SimpleQueue()
        self._waiting: deque[Job | TransactionSession] = deque()
        self._closing = threading.Event()
        self._ended = False
        self._hurried = False
        self.sweeper: Sweeper = Sweeper(address.bounds)
        self.clock: Clock = clock
        self._before = 0  # rows changed by the connection before the transaction
        self._known = -1  # the value of `Ledger.commits` at that time
        self.claimed: int = -1  # the value of `telex_state.commits` up to which this process knows all writes
        self._current: Sequence[JobObserver] = ()  # the jobs of the current transaction
        self.ledger: Ledger
        self.place: Place
        self.thread: threading.Thread = threading.Thread(target=self._run, name="telex-sqlite-writer", daemon=True)

    def put(self, jobs: Sequence[Job | TransactionSession]) -> None:
        """Add jobs. From the event loop; never waits."""
        self._inbox.put(jobs)

    def close(self) -> None:
        """End after the jobs that were added before."""
        self._closing.set()
        self._inbox.put(None)

    def left(self) -> list[JobObserver]:
        """Return the jobs that will not be done. From the event loop, after the thread has ended."""
        found: list[JobObserver] = [*self._current, *self._waiting]
        while not self._inbox.empty():
            found += self._inbox.get_nowait() or ()
        return found

    def hurry(self) -> None:
        """End at once: open transactions of programs are rolled back. From the event loop."""
        self._patience, self._hurried = 0.0, True
        for job in self._current:
            if isinstance(job, TransactionSession):
                job.drop()

    # -- in the thread

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            # From here on the program may change its working directory.
            self.address = msgspec.structs.replace(self.address, path=os.path.abspath(self.address.path))  # noqa: PTH100
            connection = writing(self.address, self.clock)
        except BaseException as error:  # noqa: BLE001  # `open` raises it in the event loop
            self.events.post(self.events.ended, error)
            return
        try:
            self.ledger = Ledger(connection)
            self._begin_to_know()
            self.place = Place(self.address.path)  # now the log beside it exists
            self.events.post(self.events.opened)
            while self._turn():
                pass
        except BaseException as error:  # noqa: BLE001  # an error in telex: all waiters get it
            failure = error
        finally:
            connection.close()
        self.events.post(self.events.ended, failure)

    def _begin_to_know(self) -> None:
        self.ledger.connection.execute("BEGIN")
        self.ledger.refresh()
        self.notice_all()
        self.ledger.connection.execute("COMMIT")
        self.claimed = self.ledger.commits

    def notice_all(self) -> None:
        """Find the topics that have messages to delete. In the thread, inside of a transaction."""
        ledger = self.ledger
        for name, first, end, swept in ledger.connection.execute("SELECT name, first, end, swept FROM telex_topics"):
            self.sweeper.notice(name, first, end, swept, ledger.rules.of(name))

    def _turn(self) -> bool:
        """Do the waiting jobs, or wait for some. Return false at the end."""
        self._gather()
        if not self._waiting:
            if not self._ended:
                self._batch([])  # no job waits: there is time to delete
            return not self._ended
        if isinstance(self._waiting[0], TransactionSession):
            session = self._waiting[0]
            self._current = (session,)
            self._waiting.popleft()
            self._serve(session)
            return True
        jobs: list[Job] = []
        self._current = jobs
        while self._waiting and len(jobs) < MOST:
            job = self._waiting[0]
            alone = isinstance(job, EngineCall) and job.alone
            if isinstance(job, TransactionSession) or (alone and jobs):
                break
            self._waiting.popleft()
            if job.is_wanted():
                jobs.append(job)
            if alone:
                break
        if jobs:
            self._batch(jobs)
        return True

    def _gather(self) -> None:
        """Take all added jobs. Wait for the first one, unless a job waits here."""
        inbox, waiting = self._inbox, self._waiting
        try:
            if not waiting and not self._ended:
                self._take(inbox.get(timeout=self.sweeper.wait(time(), self.ledger.rules.ages)))
            while True:
                self._take(inbox.get_nowait())
        except Empty:
            pass

    def _take(self, jobs: Sequence[Job | TransactionSession] | None) -> None:
        if jobs is None:
            self._ended = True
        else:
            self._waiting.extend(jobs)

    def _batch(self, jobs: Sequence[Job]) -> None:
        batch = Batch(jobs)
        try:
            self._begin(batch)
            now = time()
            for job in jobs:
                job.perform(self.ledger, now)
            self._end(batch, now)
        except BaseException as error:  # noqa: BLE001  # the waiting operations get any exception
            self._undo(batch, error)
        if jobs or batch.error is not None or batch.foreign:
            self.events.post(self.events.committed, batch)
        self._current = ()

    def _begin(self, batch: Batch, is_wanted: Callable[[], bool] | None = None) -> None:
        ledger, patience = self.ledger, monotonic() + self._patience

        def hurry() -> bool:
            closing = self._closing.is_set() and monotonic() > patience
            return closing or not (is_wanted is None or is_wanted())

        persist(ledger.connection, "BEGIN IMMEDIATE", self.address.busy, hurry)
        self._known = ledger.commits
        ledger.refresh()
        if ledger.commits != self._known:
            batch.foreign = True
        batch.start = ledger.pos
        self._before = ledger.connection.total_changes

    def _end(self, batch: Batch, now: float) -> None:
        ledger, connection = self.ledger, self.ledger.connection
        ledger.flush()
        sweep = self.sweeper.is_due(now, ledger.rules.ages)
        if connection.total_changes != self._before or sweep:
            ledger.finish(now)
            deleted = -1
            # not more are deleted than added, so that the transaction ends
            while sweep and deleted < len(ledger.entries):
                deleted += 1 + self._sweep(now)
                sweep = self.sweeper.is_due(now, ledger.rules.ages)
        batch.end, batch.entries, batch.decode = ledger.pos, ledger.entries, ledger.decode
        if batch.entries:
            batch.heads = [(a.id, a.name, a.epoch, a.uid, a.end) for a in ledger.touched.values()]
        self.claimed = ledger.commits
        self.events.begun(batch)
        connection.execute("COMMIT")
        self.place.check()  # after the commit: an acknowledged message is in the file of this name
        batch.kept = True
        touched = ledger.touched
        ledger.clear()
        for account in touched.values():
            self.sweeper.notice(account.name, account.first, account.end, account.swept, ledger.rules.of(account.name))

    def _sweep(self, now: float) -> int:
        """Delete messages that are not kept. A failure undoes only the deletion: publishers do not fail."""
        connection = self.ledger.connection
        connection.execute("SAVEPOINT telex_sweep")
        try:
            done = self.sweeper.step(connection, self.ledger.rules, now)
        except Exception as error:
            if not connection.in_transaction or problems.is_fatal(error):
                raise
            connection.execute("ROLLBACK TO telex_sweep")
            self.sweeper.rest(now)
            logger.error("expired messages of %s are deleted later: %s", self.address.path, problems.explain(error))
            done = None
        connection.execute("RELEASE telex_sweep")
        if done is None:
            return 0
        name, swept = done
        account = self.ledger.accounts.get(name)
        if account is not None:
            account.first, account.swept = swept.first, swept.swept
        return swept.deleted

    def _undo(self, batch: Batch, error: BaseException) -> None:
        if batch.kept:  # it is committed, and only the cached data has to be read again
            logger.error("after a commit to %s: %s", self.address.path, problems.explain(error))
            self.ledger.forget()
            return
        batch.error = error
        self.claimed = self._known
        self.sweeper.rest(time())
        try:
            if self.ledger.connection.in_transaction:
                self.ledger.connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled it back; the first error is raised
        self.ledger.forget()

    def _serve(self, session: TransactionSession) -> None:
        """Give the transaction to a program until the program ends it."""
        batch = Batch([session])
        if self._hurried or not session.is_wanted():
            batch.error = session.cause
            self.events.post(self.events.committed, batch)
            return
        self._current = batch.jobs
        keys = self.address.foreign_keys  # foreign keys cannot be switched inside of a transaction
        try:
            if keys:
                self.ledger.connection.execute("PRAGMA foreign_keys = ON")
            self._begin(batch, session.is_wanted)
            if session.serve(self.ledger):
                self._end(batch, time())
            else:
                self._undo(batch, session.cause)
        except BaseException as error:  # noqa: BLE001  # as above
            if isinstance(error, sqlite3.IntegrityError):
                session.cause = error
            self._undo(batch, error)
        if keys:
            self.ledger.connection.execute("PRAGMA foreign_keys = OFF")
        self.events.post(self.events.committed, batch)
        self._current = ()
