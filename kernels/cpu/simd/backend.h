// Everything a backend has in common. Included once per level, after its vec.h.
#pragma once

#include "../backend.h"
#include "attention.h"
#include "decode.h"
#include "elementwise.h"
#include "gemm.h"
#include "gemv.h"
#include "probes.h"

namespace mortise::cpu {
namespace {

constexpr Backend common_backend(const char* name, const char* matrix_name) {
    Backend b{};
    b.name = name;
    b.bf16_inputs = false;
    b.gemm_panels = gemm_panel_block;
    b.cache_share = 512 << 10;
    b.most_block = 1024;
    b.gemm_scratch = gemm_scratch;
    b.group_sums = group_sums;
    b.gemv = gemv;
    b.gemm = gemm;
    b.gemm_f32 = gemm;
    b.gemm_f32_scratch = gemm_scratch;
    b.row = row;
    b.norm = norm;
    b.turn = turn;
    b.cos_sin = fused ? cos_sin : nullptr;
    b.act = act;
    b.add = add;
    b.scale = scale;
    b.softcap = softcap;
    b.to_cache = to_cache;
    b.attend = attend;
    b.read = read_memory;
    b.matrix = multiply_f32;
    b.matrix_name = matrix_name;
    b.matrix_scratch = multiply_f32_scratch;
    return b;
}

}  // namespace
}  // namespace mortise::cpu
