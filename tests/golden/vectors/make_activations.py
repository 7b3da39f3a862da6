#!/usr/bin/env python3
"""Writes activation_vectors.json: inputs of linears quantized and back by the producers' own functions, in f32.

    make_activations.py OUT.json      needs torch, compressed-tensors 0.20 and nvidia-modelopt 0.47 (CPU)

Each case: {"id", "rule": fields of mortise_activation, "scale", "zero", "scale2", "values"} over the one input "x" [rows][columns]; floats as
the hex of little-endian f32. The input holds zeros, a row or block of zeros, tiny and huge values and values next to rounding borders.
"""
import json, struct, sys

import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import _process_quantization
from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp
from modelopt.torch.quantization.qtensor import MXFP4QTensor, MXFP8QTensor, NVFP4QTensor
from modelopt.torch.quantization.tensor_quant import _tensor_quant, fp8_eager

ROWS, COLUMNS = 6, 256
EPS = float(torch.finfo(torch.float32).eps)


def inputs():
    g = torch.Generator().manual_seed(11)
    x = torch.randn(ROWS, COLUMNS, generator=g)
    x[1] *= 37.5
    x[2] = x[2].abs() * 0.01                                # one sign: the range of an asymmetric rule begins at 0
    x[3] = 0                                                # a token of zeros
    x[4, :128] = 0                                          # groups of zeros
    x[4, 130] = 1000
    x[5] = torch.linspace(-6, 6, COLUMNS)                   # many values on rounding borders
    x[5, 7] = 1e-20
    return x


def text(t):
    return t.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes().hex()


cases = []


def case(name, values, rule, scale=None, zero=None, scale2=None):
    cases.append({"id": name, "rule": rule, "values": text(values),
                  **{k: text(v.reshape(1)) for k, v in (("scale", scale), ("zero", zero), ("scale2", scale2)) if v is not None}})


TENSOR, TOKEN, GROUP = 1, 2, 3
TWOS, E2M1, E4M3, E8M0, F32 = 3, 4, 5, 9, 12


def rule(granularity, encoding, bits, **more):
    return {"granularity": granularity, "encoding": encoding, "bits": bits, "scale_encoding": F32, **more}


def compressed_tensors():
    x = inputs()

    def dynamic(args, **kwargs):
        batch = x.unsqueeze(0)
        scale, zero = compute_dynamic_scales_and_zp(batch, args, None, **kwargs)
        out = _process_quantization(batch, scale, zero, args, **kwargs)
        return out.squeeze(0)

    for bits in (8, 4):
        step = (2**bits - 1) / 2
        a = QuantizationArgs(num_bits=bits, type="int", strategy="token", dynamic=True, symmetric=True)
        case(f"ct_int{bits}_token", dynamic(a), rule(TOKEN, TWOS, bits, dynamic=1, divisor=step, zero_scale=EPS))
        a = QuantizationArgs(num_bits=bits, type="int", strategy="token", dynamic=True, symmetric=False)
        case(f"ct_int{bits}_token_asymmetric", dynamic(a), rule(TOKEN, TWOS, bits, dynamic=1, asymmetric=1, divisor=2**bits - 1, zero_scale=EPS))
    a = QuantizationArgs(num_bits=8, type="int", strategy="tensor", dynamic=True, symmetric=True)
    case("ct_int8_tensor_dynamic", dynamic(a), rule(TENSOR, TWOS, 8, dynamic=1, divisor=127.5, zero_scale=EPS))
    a = QuantizationArgs(num_bits=8, type="int", strategy="group", group_size=128, dynamic=True, symmetric=True)
    case("ct_int8_group128", dynamic(a), rule(GROUP, TWOS, 8, dynamic=1, group=128, divisor=127.5, zero_scale=EPS))
    a = QuantizationArgs(num_bits=8, type="float", strategy="token", dynamic=True, symmetric=True)
    case("ct_fp8_token", dynamic(a), rule(TOKEN, E4M3, 8, dynamic=1, divisor=448, zero_scale=EPS))
    a = QuantizationArgs(num_bits=8, type="float", strategy="tensor", dynamic=True, symmetric=True)
    case("ct_fp8_tensor_dynamic", dynamic(a), rule(TENSOR, E4M3, 8, dynamic=1, divisor=448, zero_scale=EPS))
    a = QuantizationArgs(num_bits=8, type="float", strategy="group", group_size=128, dynamic=True, symmetric=True)
    case("ct_fp8_group128", dynamic(a), rule(GROUP, E4M3, 8, dynamic=1, group=128, divisor=448, zero_scale=EPS))
    a = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16, dynamic="local", symmetric=True,
                         scale_dtype=torch.float8_e4m3fn)
    g = torch.tensor([448 * 6 / 1000.0])
    case("ct_nvfp4_local", dynamic(a, global_scale=g),
         rule(GROUP, E2M1, 4, dynamic=1, group=16, divisor=6, scale_encoding=E4M3, second_level=2, zero_scale=0.125), scale2=g)
    for bits, encoding, divisor in ((4, E2M1, 6), (8, E4M3, 448)):
        a = QuantizationArgs(num_bits=bits, type="float", strategy="group", group_size=32, dynamic=True, symmetric=True, scale_dtype=torch.uint8)
        case(f"ct_mxfp{bits}", dynamic(a), rule(GROUP, encoding, bits, dynamic=1, group=32, divisor=divisor, exponent_rule=4,
                                                   scale_encoding=E8M0, zero_scale=2.0**-127))
    scale, zero = torch.tensor([0.02]), torch.tensor([-11])
    a = QuantizationArgs(num_bits=8, type="int", strategy="tensor", dynamic=False, symmetric=True)
    case("ct_int8_tensor_static", _process_quantization(x, scale, None, a), rule(TENSOR, TWOS, 8), scale=scale)
    a = QuantizationArgs(num_bits=8, type="int", strategy="tensor", dynamic=False, symmetric=False)
    case("ct_int8_tensor_static_asymmetric", _process_quantization(x, scale, zero, a), rule(TENSOR, TWOS, 8, asymmetric=1), scale=scale, zero=zero)
    a = QuantizationArgs(num_bits=8, type="float", strategy="tensor", dynamic=False, symmetric=True)
    case("ct_fp8_tensor_static", _process_quantization(x, scale, None, a), rule(TENSOR, E4M3, 8), scale=scale)


def modelopt():
    x = inputs()
    scale = torch.tensor([0.02])
    case("modelopt_fp8_static", fp8_eager(x, scale * 448), rule(TENSOR, E4M3, 8), scale=scale)
    case("modelopt_fp8_token", fp8_eager(x, x.abs().amax(-1, keepdim=True)), rule(TOKEN, E4M3, 8, dynamic=1, divisor=448, zero_scale=1))
    case("modelopt_fp8_tensor_dynamic", fp8_eager(x, x.abs().amax()), rule(TENSOR, E4M3, 8, dynamic=1, divisor=448, zero_scale=1))
    case("modelopt_int8_static", _tensor_quant(x.clone(), scale * 127, 8, False, False), rule(TENSOR, TWOS, 8), scale=scale)
    s2 = torch.tensor(1000.0 / (6 * 448))
    d, s, again = NVFP4QTensor.quantize(x, 16, None, s2)
    case("modelopt_nvfp4", d.dequantize(torch.float32, scale=s, double_scale=again, block_sizes={-1: 16}),
         rule(GROUP, E2M1, 4, dynamic=1, group=16, divisor=6, scale_encoding=E4M3, second_level=1, scale_floor=2.0**-9, zero_scale=1), scale2=s2)
    d, s = MXFP8QTensor.quantize(x)
    case("modelopt_mxfp8", d.dequantize(torch.float32, scale=s),
         rule(GROUP, E4M3, 8, dynamic=1, group=32, divisor=448, exponent_rule=2, scale_encoding=E8M0, zero_scale=2.0**-127))
    d, s = MXFP4QTensor.quantize(x, 32)
    case("modelopt_mxfp4", d.dequantize(torch.float32, scale=s, block_sizes={-1: 32}),
         rule(GROUP, E2M1, 4, dynamic=1, group=32, divisor=6, exponent_rule=2, scale_encoding=E8M0, zero_scale=2.0**-127, ties_to_zero=1))


compressed_tensors()
modelopt()
json.dump({"schema": "activation_vectors/1", "rows": ROWS, "columns": COLUMNS, "x": text(inputs()), "cases": cases}, open(sys.argv[1], "w"), indent=0)
print(len(cases), "cases")
