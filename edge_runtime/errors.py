"""The errors of the runtime: the name says the cause, the attributes carry the values, the message says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class EdgeRuntimeError(Exception):
    """Base of every error that this project raises on purpose.

    Attributes
    ----------
    exit_code : int
        What a command line ends with when the error reaches it.
    """

    exit_code = 1


class UsageError(EdgeRuntimeError):
    """A command was called with arguments that do not fit together."""

    exit_code = 2


class HostEnvironmentError(EdgeRuntimeError):
    """A file, disk, network, port or permission stands in the way."""

    exit_code = 5


class StoreBusyError(HostEnvironmentError):
    """Another program holds the bundle store at this moment; the same can be tried again."""


class ConfigError(EdgeRuntimeError):
    """The configuration is not usable.

    Parameters
    ----------
    path : str
        The configuration file.
    problems : sequence of str
        Every fault found, each as ``$.path.to.key: what is wrong and what to write``.
    """

    exit_code = 78

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{path}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n  ".join([head, *self.problems]))


class BundleError(EdgeRuntimeError):
    """A bundle is refused."""

    exit_code = 4


class BundleFormatError(BundleError):
    """The archive or its manifest does not follow the format, or exceeds a limit."""


class BundleIntegrityError(BundleError):
    """A member's bytes do not have the digest in the manifest."""


class BundleSignatureError(BundleError):
    """The signature is missing, does not fit, or is by a key that is not trusted."""


class BundleRollbackError(BundleError):
    """The bundle's release is older than the one installed."""


class BundleCompatibilityError(BundleError):
    """The model does not give the bundle's golden outputs here, or no engine here can run it."""


class MessageError(EdgeRuntimeError):
    """A message from outside is refused; it is counted and dropped and never stops the daemon.

    Attributes
    ----------
    reason : str
        A short stable word for the counter, ``[a-z_]+``.
    """

    reason = "message"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class PayloadFormatError(MessageError):
    """The payload is not what the source's declared format says."""

    reason = "payload_format"


class PayloadSizeError(MessageError):
    """The payload, or what it would decode into, exceeds a limit."""

    reason = "payload_size"


class InferenceError(EdgeRuntimeError):
    """A model could not be loaded or run."""

    exit_code = 4


class ModelLoadError(InferenceError):
    """The engine refuses the model's bytes."""


class TensorMismatchError(InferenceError):
    """An array given to a model has another name, dtype or shape than its TensorSpec."""


class InvocationError(InferenceError):
    """The engine failed while it ran the model, or gave back something that is not finite."""


class BrokerError(EdgeRuntimeError):
    """The MQTT broker cannot be used."""

    exit_code = 5


class BrokerConnectionError(BrokerError):
    """The broker cannot be reached, or TLS fails."""


class BrokerAuthorizationError(BrokerError):
    """The broker refuses the credentials or a topic."""


class CompressionError(EdgeRuntimeError):
    """The toolchain cannot do what the recipe asks."""

    exit_code = 4


class RecipeError(CompressionError):
    """The recipe is not usable.

    Parameters
    ----------
    path : str
        The recipe file.
    problems : sequence of str
        Every fault found, each with its path.
    """

    exit_code = 78

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{path}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n  ".join([head, *self.problems]))


class UnsupportedModelError(CompressionError):
    """The model, or one of its operators, cannot take the requested method."""


class CalibrationError(CompressionError):
    """The calibration or evaluation data cannot be used."""

    exit_code = 5


class ConversionError(CompressionError):
    """A converter failed, crashed, or gave back something else than was asked for."""


class AccuracyGateError(CompressionError):
    """A gate, goal or budget is not met.

    Parameters
    ----------
    message : str
        Which lines failed, by how much, and what may help.
    metrics : mapping of str to float
        What was measured.
    """

    exit_code = 3

    def __init__(self, message: str, metrics: Mapping[str, float]) -> None:
        self.metrics = dict(metrics)
        super().__init__(message)


class FirmwareError(EdgeRuntimeError):
    """A model cannot be emitted for, or does not agree on, a device."""

    exit_code = 4


class UnsupportedOperatorError(FirmwareError):
    """The model holds an operator, type or shape that cannot be emitted; the message names it and its place."""


class ArenaOverflowError(FirmwareError):
    """The model needs more RAM than the target has."""

    exit_code = 3


class LinkError(FirmwareError):
    """The serial link to a device failed."""

    exit_code = 5
