"""The tf_keras twin of a recurrent Keras 3 model. Only ever imported in the child process."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ConversionError, UnsupportedModelError

#: Largest difference between a model and its twin that rounding explains.
_TOLERANCE = 1e-4

#: Layers of the twin and the arguments that it takes from the original.
_COPIED: dict[str, tuple[str, ...]] = {
    "LSTM": ("units", "activation", "recurrent_activation", "use_bias", "return_sequences", "go_backwards"),
    "Dense": ("units", "activation", "use_bias"),
    "Dropout": ("rate",),
    "SpatialDropout1D": ("rate",),
    "Activation": ("activation",),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Softmax": ("axis",),
    "Flatten": (),
    "Reshape": ("target_shape",),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Conv1D": ("filters", "kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias"),
    "MaxPooling1D": ("pool_size", "strides", "padding"),
    "AveragePooling1D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling1D": (),
    "GlobalMaxPooling1D": (),
    "Concatenate": ("axis",),
    "Add": (),
    "Multiply": (),
}


def is_recurrent(model: Any) -> bool:  # noqa: ANN401 - Keras has no types
    """Whether a model holds a recurrent layer."""
    return any(type(layer).__name__ in {"LSTM", "GRU", "SimpleRNN", "Bidirectional"} for layer in model.layers)


def build_twin(model: Any) -> Any:  # noqa: ANN401 - Keras has no types
    """Build the same graph in tf_keras and copy the weights.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, with one input.

    Returns
    -------
    twin : tf_keras.Model
        Equal to the model on a probe, to rounding.

    Raises
    ------
    UnsupportedModelError
        If a layer has no twin; it is named.
    ConversionError
        If the twin computes something else.
    """
    import numpy as np  # noqa: PLC0415 - beside the next
    import tf_keras  # noqa: PLC0415 - heavy

    tensors: dict[int, Any] = {}
    source = model.inputs[0]
    tensors[id(source)] = tf_keras.Input(tuple(source.shape[1:]), batch_size=1)
    pairs = []
    for operation in model.operations if hasattr(model, "operations") else model.layers:
        if type(operation).__name__ == "InputLayer":
            continue
        twin_layer = _twin_of(operation, tf_keras)
        for node in operation._inbound_nodes:  # noqa: SLF001 - the only way to a Keras graph
            inputs = [tensors.get(id(each)) for each in node.input_tensors]
            if any(each is None for each in inputs):
                continue
            result = twin_layer(inputs[0] if len(inputs) == 1 else inputs)
            tensors[id(node.output_tensors[0])] = result
        pairs.append((operation, twin_layer))
    twin = tf_keras.Model(tensors[id(source)], [tensors[id(each)] for each in model.outputs])
    for operation, twin_layer in pairs:
        twin_layer.set_weights(operation.get_weights())
    probe = np.random.default_rng(0).normal(size=(1, *source.shape[1:])).astype(np.float32)
    difference = float(np.abs(np.asarray(model(probe)) - np.asarray(twin(probe))).max())
    if not difference <= _TOLERANCE:
        raise ConversionError(f"the recurrent twin differs from the model by {difference:g}; it must not be shipped")
    return twin


def _twin_of(layer: Any, tf_keras: Any) -> Any:  # noqa: ANN401 - Keras has no types
    """Build the twin of one layer."""
    kind = type(layer).__name__
    if kind not in _COPIED:
        known = ", ".join(sorted(_COPIED))
        raise UnsupportedModelError(
            f'layer "{layer.name}" ({kind}) cannot stand in a recurrent model here; these can: {known}'
        )
    if kind == "LSTM" and (layer.stateful or layer.return_state):
        raise UnsupportedModelError(
            f'layer "{layer.name}" is stateful or gives its state; train on whole windows and without return_state'
        )
    if kind == "LSTM" and not layer.use_bias:
        raise UnsupportedModelError(f'layer "{layer.name}" has no bias, which the fused int8 LSTM needs')
    config = layer.get_config()
    arguments = {name: config[name] for name in _COPIED[kind] if name in config}
    return getattr(tf_keras.layers, kind)(**arguments)
