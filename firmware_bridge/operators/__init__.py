"""How each operator becomes kernel calls; an operator that is not here is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from firmware_bridge.lowering import Lowering
from firmware_bridge.model import Operator
from firmware_bridge.operators import (
    binary,
    convolution,
    fully_connected,
    movement,
    pointwise,
    pooling,
    recurrent,
    svdf,
    variables,
)

LOWERINGS: Final = MappingProxyType[str, Callable[[Lowering, Operator], None]](
    {
        "ADD": binary.lower,
        "ASSIGN_VARIABLE": variables.lower_assign,
        "AVERAGE_POOL_2D": pooling.lower,
        "CALL_ONCE": variables.lower_call_once,
        "CONCATENATION": movement.lower_concatenation,
        "CONV_2D": convolution.lower_convolution,
        "DEPTHWISE_CONV_2D": convolution.lower_depthwise,
        "DEQUANTIZE": pointwise.lower_dequantize,
        "EXPAND_DIMS": movement.lower_rename,
        "FULLY_CONNECTED": fully_connected.lower,
        "HARD_SWISH": pointwise.lower_hard_swish,
        "LEAKY_RELU": pointwise.lower_leaky_relu,
        "LOGISTIC": pointwise.lower_logistic,
        "MAX_POOL_2D": pooling.lower,
        "MEAN": pooling.lower_mean,
        "MUL": binary.lower,
        "PAD": movement.lower_pad,
        "QUANTIZE": pointwise.lower_quantize,
        "READ_VARIABLE": variables.lower_read,
        "RELU": pointwise.lower_relu,
        "RELU6": pointwise.lower_relu,
        "RESHAPE": movement.lower_rename,
        "RESIZE_NEAREST_NEIGHBOR": movement.lower_resize_nearest,
        "SOFTMAX": pointwise.lower_softmax,
        "SPLIT": movement.lower_split,
        "SPLIT_V": movement.lower_split,
        "SQUEEZE": movement.lower_rename,
        "STRIDED_SLICE": movement.lower_strided_slice,
        "SUB": binary.lower,
        "SVDF": svdf.lower_svdf,
        "TANH": pointwise.lower_tanh,
        "TRANSPOSE": movement.lower_transpose,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": recurrent.lower_lstm,
        "VAR_HANDLE": variables.lower_handle,
    }
)
