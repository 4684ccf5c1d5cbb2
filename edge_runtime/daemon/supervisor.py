"""The supervisor: the process that speaks to the broker, decides alarms and keeps on disk what it promised.

It loads no engine, no model and no compiled kernel. One loop on one thread owns all state; the session's network
thread only fills mailboxes and a queue of notices.

The straight line: message -> intake (codec, mailbox) -> ring -> worker -> desk (alarms, verdicts) -> journal (one
transaction) -> acknowledgement -> sender -> broker.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

from edge_runtime.config import load_config
from edge_runtime.daemon import protocol
from edge_runtime.daemon.assembly import Assembly
from edge_runtime.daemon.intake import GivenUp, PartSeen
from edge_runtime.daemon.models import PipelineModel, finding_labels
from edge_runtime.daemon.notes import Connected, Disconnected, Note, OrderToken, Published
from edge_runtime.daemon.service import find_service_manager, forget_service_manager
from edge_runtime.daemon.telling import Occasion
from edge_runtime.errors import BrokerError, BundleError
from edge_runtime.messages import OFFLINE, STOPPED, Reply
from edge_runtime.mqtt.codec import FramePayload, SensorBlock
from edge_runtime.mqtt.interface import Incoming, Outgoing

_log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 0.25
_STOP_S = 4.0
_GOODBYE_S = 1.0
_NOTES = 10_000
#: A closed terminal, a log rotation or a slip of the hand must not end a gateway: these would, by default.
_NOISE = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Supervisor(Assembly):
    """The daemon of one configuration; parameters and errors are those of ``Assembly``."""

    # The loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until ``stop`` is called, then leave everything in order."""
        if self._http is not None:
            self._http.start()
        self._session.subscribe([self._front.commands])
        self._session.start()
        self._inlet.start()
        self._service.ready()
        try:
            while not self._stopping:
                self._turn(self._wait_s())
        finally:
            self._leave()

    def stop(self) -> None:
        """Ask the loop to end; may be called from a signal handler or another thread."""
        self._stopping = True
        os.eventfd_write(self._wake_fd, 1)

    def reload(self) -> None:
        """Ask for the configuration to be read again; may be called from a signal handler or another thread."""
        self._reload_wanted = True
        os.eventfd_write(self._wake_fd, 1)

    def _turn(self, wait_s: float) -> None:
        """One round of the loop."""
        self._wait([self._wake_fd, *self._dispatcher.keeper.filenos(), *self._releases.filenos()], wait_s)
        self._require_network()
        if self._time.tick(self._desk.shift_times) and self._connected:
            self._reporter.greet()
        while self._notes:
            self._take(self._notes.popleft())
        while not self._journal.fault and (order := self._order_queue.take()) is not None:
            self._obey(order)
        self._resends.tick()
        if self._reload_wanted and not self._reloader.busy:
            self._reload_wanted = False
            self._reloader.reload()
        self._dispatcher.poll()
        self._releases.poll()
        self._answers.poll()
        self._desk.decide_overdue(self._dispatcher.facts)
        self._desk.tick()
        self._disk_trouble = "disk_stuck" if self._journal.fault else "outbox_full" if self._outbox.full else ""
        if not self._disk_trouble:
            self._dispatcher.feed()
        self._inlet.hold_or_resume()
        now = self._clock.monotonic()
        self._journal.flush(now)
        if self._connected:
            self._front.flush()
        self._sender.pump()
        self._ready = self._connected and self._inlet.connected and self._dispatcher.keeper.ready
        self._reporter.report(now, connected=self._connected)
        self._service.alive(now, self._reporter.status_line(connected=self._connected))

    def _require_network(self) -> None:
        """End the daemon when a network thread has died of a bug: whoever keeps it running starts it anew."""
        failure = self._session.failure or self._inlet.failure
        if failure is not None:
            raise RuntimeError("a network thread ended; the daemon cannot go on without it") from failure

    def _wait(self, descriptors: list[int], wait_s: float) -> None:
        """Wait until one of the descriptors has something, then clear the wake-up."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(wait_s * 1000)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def _wait_s(self) -> float:
        """Time until something is due by itself."""
        now = self._clock.monotonic()
        deadline = self._desk.next_deadline()
        due = [
            self._reporter.due_in(now),
            self._service.due_in(now),
            self._journal.due_in(now),
            self._sender.due_in(now) if self._connected else None,
            self._releases.due_in(now),
            0.0 if self._resends.busy else None,
            None if deadline is None else deadline - now,
        ]
        return min(_LONGEST_WAIT_S, *(max(0.0, each) for each in due if each is not None))

    def _take(self, note: Note) -> None:
        """Take one word of the network thread."""
        if isinstance(note, PartSeen):
            self._dispatcher.expect_part(note)
        elif isinstance(note, GivenUp):
            self._dispatcher.tell_part(note.source, note.part, note.reason, note.received_at)
            self._journal.finish(note.token, now=self._clock.monotonic())
        elif isinstance(note, Published):
            if note.outcome == "done":
                self._sender.acknowledged(note.ticket)
                self._metrics.published.inc()
            elif note.outcome == "lost":
                self._sender.lost(note.ticket)
            else:
                if not self._sender.failed(note.ticket):
                    self._reporter.greet_later(self._clock.monotonic())
                self._complaints.say("sending", "broker", "publish_refused", note.text)
        elif isinstance(note, Connected):
            self._greet()
        elif isinstance(note, Disconnected):
            self._connected = False
            self._sender.disconnected()
            if note.error is not None:
                self._complaints.say("sending", "broker", "disconnected", str(note.error))

    # The network thread's side ----------------------------------------------------------------------------------

    def _note(self, note: Note | None) -> None:
        """Hand a word to the main loop, or only wake it; called from network threads."""
        if note is not None:
            self._notes.append(note)
        os.eventfd_write(self._wake_fd, 1)

    def _receive(self, message: Incoming) -> None:
        """Take a command; called from the network thread. What comes during the goodbye the broker delivers again."""
        if self._stopping:
            return
        if self._order_queue.put(message):
            self._note(None)
        else:
            self._inlet.count_dropped(message.topic, "too_many_commands")

    def _overload(self) -> str:
        """Say why inputs that nobody holds back cannot be taken; called from the network thread."""
        return self._disk_trouble or ("loop_behind" if len(self._notes) > _NOTES else "")

    def _dropped(self, topic: str, reason: str) -> None:
        """Count a command that the session did not even look at; called from the network thread."""
        self._inlet.count_dropped(topic, reason)

    def _arrived(self, present: bool) -> None:
        """Greet; called from the network thread. A broker that forgot the session is asked for commands anew."""
        if not present:
            self._no_commands = ()
        self._note(Connected())

    def _refused(self, topic_filter: str, error: BrokerError) -> None:
        """Note that no commands come; called from the network thread."""
        self._complaints.say("receiving", topic_filter, "not_subscribed", str(error))
        self._no_commands = ("not_subscribed:commands",)
        self._note(None)

    def _granted(self, _topic_filter: str) -> None:
        """Note that commands come after all; called from the network thread."""
        self._no_commands = ()
        self._note(None)

    # Towards the broker -----------------------------------------------------------------------------------------

    def _acknowledge(self, token: object) -> None:
        """Release an acknowledgement on the session that the message came on."""
        if isinstance(token, OrderToken):
            self._front.answer(token.order, token.reply)
            self._session.acknowledge(token.order.token)
        else:
            self._inlet.acknowledge(token)  # type: ignore[arg-type] # intake passes tokens through unread

    def _publish_event(self, topic: str, payload: bytes, retain: bool) -> int | None:
        return self._session.publish(Outgoing(topic, payload, 1, retain)) if self._connected else None

    def _greet(self) -> None:
        """Say everything that is retained, then let the outbox flow."""
        self._connected = True
        self._sender.connected()
        self._front.begin()
        self._reporter.greet()
        self._releases.book.say_all()
        _log.info("event=online boot_id=%s", self._gateway.boot_id)

    def _built(self, model: PipelineModel, built: protocol.Built) -> str:
        """Record the golden answers of a pipeline where nobody did; says why it may not run, where it may not."""
        self._references.built(built.pipeline, built.reference)
        if built.answers is not None:
            try:
                self._dispatcher.lineup.bind(model.bundle.digest, built.answers)
                self._answers.record(model.bundle, built.answers, partial(self._not_recorded, built.pipeline))
            except BundleError as error:
                return str(error)
        return ""

    def _not_recorded(self, pipeline: str, reason: str) -> None:
        """Tell that the next start will be a first run again."""
        self._complaints.say("processing", pipeline, "answers_not_recorded", reason)
        self._health.hold(f"answers_not_recorded:{pipeline}")

    def _pipeline_changed(self, name: str, status: str, reason: str) -> None:
        self._status.set(name, status, reason, self._dispatcher.facts.get(name))
        if status == "running":
            self._desk.retire_labels(name, finding_labels(self._dispatcher.lineup.models[name].bundle.manifest))
            if self._connected:
                self._reporter.say_installed(name)
        self._releases.pipeline_changed(name, status, reason)

    def _show(self, outcome: protocol.Outcome, occasion: Occasion, payload: FramePayload | SensorBlock) -> None:
        """Publish one result in so many, for dashboards, and count what the float reference said."""
        model = self._dispatcher.lineup.models.get(outcome.pipeline)
        if outcome.compared and model is not None:  # one that has just gone is compared no longer
            in_use = occasion.model.sha256 == model.facts.sha256
            self._references.take(model.pipeline, occasion.model.sha256, outcome.compared, in_use=in_use)
        if self._connected:
            self._reporter.show(outcome, occasion, payload)

    def _obey(self, message: Incoming) -> None:
        """Carry out a command; it is answered and acknowledged after the commit."""

        def answer(reply: Reply) -> None:
            known = "unknown" if reply.reason == "unknown_command" else reply.command
            self._metrics.commands.labels(known, "ok" if reply.ok else reply.reason).inc()
            self._journal.finish(OrderToken(message, reply), now=self._clock.monotonic())

        name = self._front.command_name(message.topic) or ""
        self._orders.take(name, message.payload, answer, retained=message.retain)

    # The end ----------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Stop within five seconds: finish what the worker holds, commit, send what goes, say goodbye."""
        until = self._clock.monotonic() + _STOP_S
        self._service.stopping()
        self._inlet.shut()
        self._releases.close()
        while not self._dispatcher.idle and self._clock.monotonic() < until - _STOP_S / 2:
            self._dispatcher.keeper.wait(0.05)
            while self._notes:  # a part must be open before its answer comes
                self._take(self._notes.popleft())
            self._dispatcher.poll()
        self._dispatcher.close()
        self._journal.flush(self._clock.monotonic(), force=True)
        while self._connected and self._outbox.ready and self._clock.monotonic() < until - _GOODBYE_S:
            self._turn_sending()
            self._sender.pump()
        self._sender.finish()
        self._front.say_available(STOPPED if self._stopping else OFFLINE)
        while self._connected and not self._front.flush() and self._clock.monotonic() < until:
            self._turn_sending()
        self._inlet.stop()
        self._session.stop(flush_s=max(0.2, until - self._clock.monotonic()))
        if self._http is not None:
            self._http.close()
        self._outbox.close()
        self._state.release()
        _log.info("event=stopped boot_id=%s", self._gateway.boot_id)

    def _turn_sending(self) -> None:
        """Only send and take what the broker says."""
        self._wait([self._wake_fd], 0.05)
        while self._notes:
            note = self._notes.popleft()
            if isinstance(note, Published | Connected | Disconnected):
                self._take(note)
        self._sender.finish()


def run_daemon(path: Path) -> None:
    """Run the daemon of a configuration file until SIGTERM or SIGINT; SIGHUP has it read the file again.

    Parameters
    ----------
    path : Path
        TOML.

    Raises
    ------
    ConfigError
        If the configuration has faults.
    HostEnvironmentError
        If state folder, database or port cannot be used.
    """
    for noise in _NOISE:
        signal.signal(noise, signal.SIG_IGN)
    service = find_service_manager(os.environ, os.getpid())
    forget_service_manager()
    supervisor = Supervisor(load_config(path), service=service, path=path)

    def leave(_number: int, _frame: object) -> None:
        supervisor.stop()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, lambda _number, _frame: supervisor.reload())
    supervisor.run()
