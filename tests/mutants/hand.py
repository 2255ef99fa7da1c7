"""Bugs put in by hand, each with the test that has to find it: ``python -m tests.mutants --hand``.

Each was made once and found by no test. `old` is looked for in all of `src/telex`, white space aside, and has to be
there once (`near` narrows it down to files with that in their path), so that a file may be moved or wrapped anew.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.cover import SOURCE
from tests.mutants.sample import over_trees
from tests.mutants.trees import Tree

SECONDS = 120.0
"""The longest that the test of one bug may take."""


@dataclass(frozen=True)
class Bug:
    old: str
    new: str
    test: str
    tells: str
    """The behaviour that goes wrong."""
    near: str = ""


class NotThere(Exception):
    """The code that a bug changes is gone, or is there more than once: the bug has to be written anew."""


@functools.cache
def texts(source: Path) -> dict[Path, str]:
    """Return the files of a source, which nobody has changed yet."""
    return {path: path.read_text() for path in sorted(source.rglob("*.py"))}


def locate(bug: Bug, source: Path = SOURCE) -> tuple[str, str]:
    """The file of a bug, relative to the source, and its text with the bug in it. Raises `NotThere`."""
    words = textwrap.dedent(bug.old).split()
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    found: list[tuple[Path, re.Match[str], str]] = []
    for path, text in texts(source).items():
        if bug.near in path.relative_to(source).as_posix() and all(word in text for word in words):
            found += [(path, match, text) for match in pattern.finditer(text)]
    if len(found) != 1:
        where = ", ".join(path.relative_to(source).as_posix() for path, _, _ in found) or "nowhere"
        raise NotThere(f"{bug.old!r} is there {len(found)} times ({where})")
    path, match, text = found[0]
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    indent = line[: len(line) - len(line.lstrip())]
    new = textwrap.dedent(bug.new).strip().replace("\n", f"\n{indent}")
    return path.relative_to(source).as_posix(), text[: match.start()] + new + text[match.end() :]


def put_in(bug: Bug, copy: Tree) -> tuple[bool, str]:
    """Whether the test of a bug finds it, and a line for the user."""
    try:
        file, text = locate(bug, copy.source)
    except NotThere as error:
        return False, f"GONE   {error}"
    clean, output = copy.run([bug.test], SECONDS)
    if clean != "passed":
        return False, f"BROKEN {bug.test} {clean} without the bug: {output.strip()[-200:]}"
    with copy.change(file, text):
        outcome, output = copy.run([bug.test], SECONDS)
    found = outcome != "passed" and "no tests ran" not in output
    return found, f"{'found' if found else 'LIVES':6} {file}: {bug.tells} [{bug.test.partition('::')[2]}]"


def put_in_all(only: str, jobs: int) -> int:
    """Put each in and run its test; returns how many were not found."""
    chosen = [bug for bug in BUGS if only in f"{bug.near} {bug.old} {bug.tells} {bug.test}"]
    found = 0
    for was_found, line in over_trees(put_in, chosen, jobs):
        found += was_found
        print(line, flush=True)
    print(f"{found} of {len(chosen)} found")
    return len(chosen) - found


EDGES = "tests/unit/test_edges.py::"
TOPICS = "tests/unit/topics/"
SQLITE = "tests/unit/engines/sqlite/"
COMMANDS = "tests/unit/commands/"
ONCE = "tests/unit/once/"
TRIGGERS = "tests/unit/triggers/"
GATEWAY = "tests/unit/gateway/"
CHAT = "tests/unit/chat/"
CLI = "tests/unit/cli/"
LIMITS = "tests/unit/limits/"
GROUPS = "tests/unit/groups/"

BUGS: Sequence[Bug] = (
    # -- the kernel, handlers, middleware
    Bug(
        "for log in logs: for cursor in list(log.blocking_cursors):",
        "for log in (self.log,):\n    for cursor in list(log.blocking_cursors):",
        TOPICS + "test_stored.py::test_a_full_blocking_subscriber_is_closed_when_another_process_publishes",
        "a full blocking subscriber of a pattern is not closed when another process publishes",
    ),
    Bug(
        "for waiter in rest: waiter.wake() raise",
        "raise",
        "tests/unit/process/test_waiters.py::test_a_task_that_ends_the_program_leaves_no_sleeper_asleep",
        "after SystemExit in a task the other sleepers are not woken",
    ),
    Bug(
        "counts = cursor.published, cursor.received, cursor.lost, cursor.expired",
        "counts = cursor.published, cursor.received, 0, cursor.expired",
        EDGES + "test_losses_of_a_handler_are_counted_over_a_removal",
        "`lost` of a subscription is forgotten when its topic is removed",
    ),
    Bug(
        "known.move_to_end(of)",
        "pass",
        "tests/unit/handlers/test_middleware.py::test_deduplicate_forgets_the_key_that_was_handled_longest_ago",
        "a key that is handled again keeps its old place and is forgotten first",
    ),
    Bug(
        "if not self._records.compare(bucket, key, before): raise",
        "if False:\n    raise",
        TOPICS + "test_transaction.py::test_a_record_that_was_changed_meanwhile_fails_the_transaction_in_memory",
        "a record that was changed meanwhile is overwritten at commit",
    ),
    Bug(
        "except BaseException as error: future.cancel() if self._over:",
        "except BaseException as error:\n    if self._over:",
        EDGES + "test_an_interrupted_receive_takes_no_message",
        "an interrupted receive is left running and takes the next message",
        near="blocking",
    ),
    # -- SQLite
    Bug(
        "if state == LEASED and due > now:",
        "if state == LEASED:",
        SQLITE + "test_settling.py::test_a_lease_is_renewed_when_that_of_the_other_of_its_key_has_ended",
        "extend is refused though the lease of the other of its key has ended",
    ),
    Bug(
        "limit, now - young, 2**62",
        "limit, now, 2**62",
        SQLITE + "test_retention.py::test_messages_of_the_last_two_seconds_are_not_deleted",
        "the two seconds for slow processes are not kept",
    ),
    Bug(
        "self.arm(time() + self._client.address.bounds.delay_seconds)",
        "pass",
        SQLITE + "test_delayed.py::test_a_due_message_is_tried_again_after_the_engine_failed",
        "a due message is not tried again after the engine failed",
    ),
    Bug(
        "wait = min(max(0.0, due - time()), LONGEST)",
        "wait = max(0.0, due - time())",
        SQLITE + "test_delayed.py::test_the_timer_of_delayed_messages_looks_again_every_hour",
        "the timer does not look again hourly",
    ),
    Bug(
        "return found, row[0] + 1",
        "return found, limit",
        SQLITE + "test_change_reader.py::test_messages_that_do_not_fit_one_read_are_read_next",
        "after 16 MiB the rest of a read is taken for read",
        near="change_reader",
    ),
    Bug(
        "if own_known is None or seen.pos <= own_known:",
        "if True:",
        SQLITE + "test_change_reader.py::test_a_batch_that_is_being_committed_is_not_known_yet",
        "`known` moves past a batch of its own that is being committed",
    ),
    Bug(
        "batch.error = error self.claimed = self._known",
        "batch.error = error",
        SQLITE + "test_writer.py::test_a_batch_that_was_rolled_back_claims_no_commit",
        "`claimed` stays after a rollback, and the next commit of another process is taken for its own",
    ),
    Bug(
        "closing = self._closing.is_set() and monotonic() > patience",
        "closing = False",
        SQLITE + "test_writer.py::test_closing_gives_up_on_a_file_that_stays_locked",
        "closing does not give up when the file is locked",
    ),
    Bug(
        'connection.execute("ROLLBACK TO telex_call")',
        "pass",
        SQLITE + "test_jobs.py::test_a_function_that_fails_half_way_is_undone",
        "no ROLLBACK TO when a guarded function fails half way",
    ),
    Bug(
        "self.row_factory: Any = None",
        "pass",
        SQLITE + "test_connection.py::test_settings_of_a_program_end_with_its_statement",
        "row_factory of a program stays on the writing connection",
        near="sqlite/connection",
    ),
    Bug(
        "lambda: self.dropped or monotonic() >= self._end",
        "lambda: self.dropped",
        SQLITE + "test_session.py::test_a_statement_is_interrupted_at_the_end_of_its_transaction",
        "a statement is not interrupted at the end of the transaction's time",
    ),
    Bug(
        "except BaseException: session.drop() raise",
        "except BaseException:\n    raise",
        SQLITE + "test_session.py::test_a_transaction_whose_entering_was_cancelled_holds_nothing",
        "entering was cancelled, and the transaction begins all the same and holds the file",
    ),
    Bug(
        "if version > VERSION:",
        "if version > VERSION + 1:",
        SQLITE + "test_schema.py::test_a_file_of_the_next_version_is_refused_and_left_as_it_is",
        "a file of the very next version is opened",
        near="schema",
    ),
    Bug(
        "if highest >= end:",
        "if highest > end + 10**9:",
        SQLITE + "test_upkeep.py::test_checking_finds_a_message_behind_the_end_of_its_topic",
        "`telex check` does not see a message behind the end of its topic",
    ),
    Bug(
        'connection.execute("VACUUM")',
        "pass",
        SQLITE + "test_upkeep.py::test_compacting_gives_back_space_and_wants_the_file_for_itself",
        "`telex compact` gives back nothing",
    ),
    Bug(
        "self._ids.clear() self._prune = True",
        "self._ids.clear()",
        SQLITE + "test_ledger.py::test_ids_are_forgotten_after_their_window",
        "telex_ids is never pruned",
    ),
    Bug(
        "row[2] is not None or row[3] <= oldest or",
        "row[2] is not None or",
        SQLITE + "test_ledger.py::test_an_id_made_here_is_known_for_its_window",
        "an id that was made here is found after its two minutes",
    ),
    # -- commands and once
    Bug(
        "if abs(self._now() - heartbeat.at) < SERVES_SECONDS:",
        "if abs(self._now() - heartbeat.at) < ALIVE_SECONDS:",
        COMMANDS + "transports/test_services.py::test_a_hub_without_a_heartbeat_serves_nothing",
        "a hub that was killed counts as serving for a day instead of 15 s",
    ),
    Bug(
        "self._gates[invocation.command].notify() if invocation.throttle is not None: invocation.throttle.close()",
        "self._gates[invocation.command].notify()",
        COMMANDS + "test_progress.py::test_the_timer_of_progress_ends_with_a_command_that_is_cancelled",
        "the timer of progress is left when a command is cancelled",
    ),
    Bug(
        'if inbox.partition(":")[2] not in alive:',
        "if False:",
        COMMANDS + "transports/test_replies.py::test_the_inboxes_of_killed_hubs_are_removed",
        "inboxes of killed hubs are never removed",
    ),
    Bug(
        "if len(waiting) >= MAX_UNSERVED_COMMANDS:",
        "if False:",
        COMMANDS + "transports/test_local.py::test_commands_that_wait_for_a_handler_are_bounded",
        "no bound on commands that wait for a handler in memory",
    ),
    Bug(
        "self.renewed = now",
        "self.renewed = monotonic()",
        ONCE + "test_leases.py::test_a_lease_counts_from_when_its_renewal_was_asked_for",
        "a lease counts from when the renewal was answered",
    ),
    Bug(
        "return await self.store.put(self.bucket, key, value, revision, entry.expires or None)",
        "expires = entry.expires or time() + entry.lease + self.options.keep\n"
        "return await self.store.put(self.bucket, key, value, revision, expires)",
        ONCE + "test_leases.py::test_a_record_without_an_outcome_does_not_expire",
        "a record without an outcome expires, and a clock that is set takes a key from its worker",
    ),
    # -- triggers
    Bug(
        "revision, instant + KEY_KEPT_SECONDS)",
        "revision)",
        TRIGGERS + "test_when_claims.py::test_a_firing_for_a_key_long_ago_is_not_repeated",
        "records of keys never expire",
    ),
    Bug(
        "life = self._begin(key, now) life.touched = now state = life.state",
        "life = self._begin(key, now)\nstate = life.state",
        TRIGGERS + "conditions/test_evaluator.py::test_a_key_in_use_is_kept_where_rates_are_skimmed",
        "a key in use is not marked as used, and is forgotten first",
    ),
    Bug(
        "leave(self._firings) if self.pause_check is not None: self.pause_check.cancel()",
        "    leave(self._firings)",
        TRIGGERS + "test_when_claims.py::test_a_paused_trigger_that_ends_leaves_no_timer",
        "the timer of a paused trigger is left when it ends",
    ),
    Bug(
        "wait = min(max(first - self.clock(), 0.0), MAX_SLEEP_SECONDS)",
        "wait = max(first - self.clock(), 0.0)",
        TRIGGERS + "test_timers.py::test_the_timer_looks_again_when_the_clock_was_set",
        "the timer does not look again when the clock was set",
    ),
    Bug(
        "if seq > self._seq:",
        "if seq:",
        TRIGGERS + "test_values.py::test_an_older_change_does_not_replace_a_newer_value",
        "an older change overwrites a newer value",
    ),
    # -- the gateway and the chat room
    Bug(
        "x-forward.*|.*-ip|",
        "x-forward.*|",
        GATEWAY + "test_auth.py::test_only_programs_of_this_machine_come_without_an_origin",
        "X-Real-IP is no sign of a proxy",
    ),
    Bug(
        'headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))',
        'headers[name.decode("latin-1").lower()] = value.decode("latin-1")',
        GATEWAY + "test_auth.py::test_of_two_origins_the_first_counts_for_a_websocket",
        "the last of two Origin headers counts",
    ),
    Bug(
        'headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))',
        'headers[name.decode("latin-1").lower()] = value.decode("latin-1")',
        GATEWAY + "test_auth.py::test_of_two_origins_the_first_counts_for_http",
        "the last of two Origin headers counts, by HTTP",
    ),
    Bug(
        "asyncio.timeout(limit)",
        "asyncio.timeout(None)",
        GATEWAY + "test_connection.py::test_an_operation_that_takes_too_long_is_answered_with_timeout",
        "operation_timeout of a WebSocket frame is not held",
        near="connection",
    ),
    Bug(
        "self._early_frames = 0 try:",
        "try:",
        GATEWAY + "test_protocol.py::test_a_client_that_waits_as_it_was_told_is_never_closed",
        "strikes for haste are never reset",
    ),
    Bug(
        "idle: float = 60.0",
        "idle: float = 600.0",
        GATEWAY + "test_limits.py::test_the_limits_are_those_of_the_page",
        "idle is 600 s by default",
    ),
    Bug(
        '"proxy_headers": False',
        '"proxy_headers": True',
        CHAT + "test_server.py::test_the_server_believes_no_proxy",
        "uvicorn believes X-Forwarded-For",
    ),
    Bug(
        "except BaseException: self.lose(room, name) raise",
        "except BaseException:\n    raise",
        CHAT + "test_lobby.py::test_somebody_whose_entering_failed_is_not_in_the_room",
        "somebody whose entering failed stays in the room for ever",
    ),
    Bug(
        "if topic not in self._rooms and len(self._rooms) >= MAX_ROOMS:",
        "if topic not in self._rooms and len(self._rooms) >= 10 * MAX_ROOMS:",
        CHAT + "test_lobby.py::test_rooms_are_bounded",
        "no bound of 1000 rooms",
    ),
    Bug(
        "if self._body_bytes > MAX_BODIES * most: raise _busy()",
        "",
        GATEWAY + "test_commands.py::test_all_bodies_together_are_bounded",
        "bodies of all requests together have no bound",
    ),
    Bug(
        "if len(body) > most:\n    raise _too_large(most)\nif self",
        "if len(body) > most and not message.get('more_body'):\n    raise _too_large(most)\nif self",
        GATEWAY + "test_commands.py::test_a_body_is_refused_before_it_is_read",
        "the body limit is checked at the end of the body only",
    ),
    Bug(
        "self._malformed_frames = 0 return request",
        "return request",
        GATEWAY + "test_protocol.py::test_unreadable_frames_are_counted_in_a_row",
        "unreadable frames are counted over a whole connection",
    ),
    Bug(
        'if parts not in {"http", "https"}: return False',
        "",
        GATEWAY + "test_auth.py::test_handshakes",
        "the scheme of an Origin is not compared",
    ),
    Bug(
        "listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)",
        "pass",
        CHAT + "test_server.py::test_a_listener_cuts_off_who_confirms_nothing",
        "TCP_USER_TIMEOUT is not set",
    ),
    # -- the program
    Bug(
        "return 1 if ran > STEADY_SECONDS else before + 1",
        "return before + 1",
        CLI + "test_supervisor.py::test_a_crash_after_a_steady_run_counts_as_the_first",
        "crashes are counted for ever, not anew after 10 s that were fine",
    ),
    Bug(
        "process.kill()",
        "pass",
        CLI + "test_supervisor.py::test_a_worker_that_hangs_is_killed_15_seconds_later",
        "a worker that hangs is not killed after 15 s",
        near="supervisor",
    ),
    Bug(
        "since = frame.position",
        "pass",
        CLI + "test_client.py::test_a_follower_goes_on_where_it_was",
        "`telex sub` comes back to where it began, and prints all again",
    ),
    # -- a second series
    Bug(
        "if self._on_engine: await lease.stop()",
        "if self._on_engine:\n    pass",
        COMMANDS + "test_once_server.py::test_a_renewal_does_not_wait_for_its_own_transaction",
        "the renewal of a lease is not stopped before its transaction: a `tx` handler hangs until its timeout",
    ),
    Bug(
        "*(sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_REINDEX),",
        "*(sqlite3.SQLITE_REINDEX,),",
        SQLITE + "test_session.py::test_a_transaction_may_not_change_the_tables_of_telex",
        "a transaction may ALTER the tables of telex",
    ),
    Bug(
        "lambda _, total: total >= room",
        "lambda _, total: total > room",
        SQLITE + "test_retention.py::test_bytes_are_kept_as_in_memory",
        "`bytes=` is off by one",
    ),
    Bug(
        "record is not None and record.value == value and record.revision != revision",
        "record is not None and record.revision != revision",
        ONCE + "test_leases.py::test_a_claim_whose_answer_was_lost_is_known_by_its_value",
        "a claim is recognised without comparing its value",
    ),
    Bug(
        "return min(wait, left)",
        "return wait",
        CLI + "test_client.py::test_nobody_waits_past_the_deadline",
        "retries go on past the deadline",
        near="cli",
    ),
    # -- limits, prefetch
    Bug(
        "if self.limiter.is_full(key): return",
        "if False:\n    return",
        LIMITS + "test_gate.py::test_a_process_asks_for_no_record_for_each_call_while_it_keeps_its_slots",
        "each end of a call reads the record of a limit whose slots are all used",
    ),
    Bug(
        "self._block(key, granted) self.limiter.pass_on(key)",
        "self._block(key, granted)",
        LIMITS + "test_disturbed.py::test_a_slot_that_is_free_while_the_record_is_written_goes_to_another_process",
        "a slot that became free while the record was written is kept without a call",
    ),
    Bug(
        "now - seen.read > max(MIN_GAP_SECONDS, seen.lease / 4)",
        "False",
        LIMITS + "test_disturbed.py::test_a_process_that_lives_keeps_its_slots_while_the_engine_is_away",
        "processes that could send no heartbeat count as gone when the engine comes back",
    ),
    Bug(
        "if passage.begun: gate.ended(key) else:",
        "if not passage.begun:",
        LIMITS + "test_passage.py::test_a_call_that_is_cancelled_when_its_turn_has_come_gives_its_turn_back",
        "a command that is cancelled when its turn has come keeps its slot",
    ),
    Bug(
        "use.held = max(use.held, decision.state.slots.get(self._holder.id, 0))",
        "pass",
        LIMITS + "test_limiter.py::test_slots_whose_write_failed_are_given_back",
        "slots of a write that seemed to fail are never given back",
    ),
    Bug(
        "self.gates.remove(gate) self.gates.append(gate) return",
        "return",
        LIMITS + "test_disturbed.py::test_gates_of_one_name_take_turns",
        "the first handler of a name gets every free slot",
    ),
    Bug(
        "return latest if state.arrival > latest + MAX_LATE_SECONDS else state.arrival",
        "return state.arrival",
        LIMITS + "test_disturbed.py::test_a_clock_that_is_set_back_does_not_stop_the_calls",
        "a clock that is set back stops the calls of a rate for as long",
    ),
    Bug(
        "self.ready.append(delivery)  # code of the program has cancelled the task before its first step",
        "pass",
        GROUPS + "test_limited.py::test_a_call_whose_task_is_cancelled_before_it_begins_waits_again",
        "a delivery whose task is cancelled before its first step is never handled",
    ),
    Bug(
        "if grown and len(self.leased.by_token) > room:",
        "if False:",
        GROUPS + "test_consumer.py::test_slow_calls_that_end_together_leave_the_messages_to_other_processes",
        "the prefetch grows by its own growth, and one process leases the messages of all",
    ),
)
