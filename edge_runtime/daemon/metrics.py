"""Counters and gauges of the daemon, in Prometheus' terms; labels are few and bounded by the configuration."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Every figure that the daemon counts. One object per daemon, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter("edge_inputs", "Messages from sources.", ["source"], registry=self.registry)
        self.processed = Counter(
            "edge_processed", "Inputs that the worker finished.", ["source"], registry=self.registry
        )
        self.dropped = Counter(
            "edge_dropped", "Inputs that gave no result, by reason.", ["source", "reason"], registry=self.registry
        )
        self.irregular = Counter(
            "edge_irregular_samples",
            "Sensor samples, or values of them, that were not simply used, by reason.",
            ["pipeline", "source", "reason"],
            registry=self.registry,
        )
        self.values = Counter("edge_sensor_values", "Sensor values taken in.", ["source"], registry=self.registry)
        self.findings = Counter("edge_findings", "Abnormal findings.", ["pipeline"], registry=self.registry)
        self.alerts = Counter(
            "edge_alert_events", "Alert events, by transition.", ["event_type"], registry=self.registry
        )
        self.evidence_bytes = Counter(
            "edge_evidence_bytes", "Inputs kept that raised alarms.", ["pipeline"], registry=self.registry
        )
        self.evidence_missing = Counter(
            "edge_evidence_missing",
            "Alarms whose input is not kept although that is wanted, by reason.",
            ["pipeline", "reason"],
            registry=self.registry,
        )
        self.verdicts = Counter("edge_verdicts", "Part verdicts.", ["pipeline", "verdict"], registry=self.registry)
        self.published = Counter("edge_published", "Events that the broker acknowledged.", registry=self.registry)
        self.commands = Counter("edge_commands", "Commands, by result.", ["command", "result"], registry=self.registry)
        self.busy = Counter("edge_worker_busy_seconds", "Time the worker spent on inputs.", registry=self.registry)
        self.latency = Histogram(
            "edge_latency_seconds",
            "From an input's arrival to its result.",
            ["pipeline"],
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.replaced = Counter(
            "edge_worker_replacements", "Workers lost, by reason.", ["reason"], registry=self.registry
        )
        self.evidence_dropped = Counter(
            "edge_evidence_dropped", "Unsent evidence that was dropped, by reason.", ["reason"], registry=self.registry
        )
        self.compared = Counter(
            "edge_reference_compared",
            "Inputs that the float reference looked at too.",
            ["pipeline"],
            registry=self.registry,
        )
        self.disagreement = Gauge(
            "edge_reference_disagreement_ratio",
            "Share of them, of the last ones, that int8 decides otherwise.",
            ["pipeline"],
            registry=self.registry,
        )
        self.trial_inputs = Counter(
            "edge_trial_inputs",
            "Inputs that a model on trial was given too, by what came of them.",
            ["model", "result"],
            registry=self.registry,
        )
        self.rollout_stages = Counter(
            "edge_rollout_stages", "Stages that new models reached.", ["model", "stage"], registry=self.registry
        )
        self.results_held_back = Counter(
            "edge_results_held_back", "Results that were not shown, since events waited.", registry=self.registry
        )
        self.sequence_gaps = Counter(
            "edge_sequence_gaps", "Audits that found numbers missing.", ["series"], registry=self.registry
        )
        self.outboxes_mended = Counter(
            "edge_outboxes_set_aside", "Damaged outboxes that were replaced by a new one.", registry=self.registry
        )
        self.outbox_depth = Gauge("edge_outbox_events", "Events that the broker lacks.", registry=self.registry)
        self.outbox_age = Gauge("edge_outbox_oldest_seconds", "Age of the oldest of them.", registry=self.registry)
        self.connected = Gauge("edge_broker_connected", "1 while the broker is there.", registry=self.registry)
        self.clock_jumps = Counter("edge_clock_jumps", "Jumps of the wall clock.", registry=self.registry)
        self.memory = Gauge("edge_memory_bytes", "Proportional memory of all processes.", registry=self.registry)
        self.mailbox = Gauge("edge_mailbox_items", "Inputs that wait.", ["source"], registry=self.registry)

    def drop(self, source: str, reason: str) -> None:
        """Count an input that gave no result."""
        self.dropped.labels(source, reason).inc()

    def text(self) -> bytes:
        """Write all of them in the exposition format."""
        return generate_latest(self.registry)
