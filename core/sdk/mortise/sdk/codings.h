// What a coding of a config means as a spec, and what coding a spec has: the arithmetic of groups of modules,
// apart from the names that a dialect gives to tensors and formats.
//
// Pure functions over values. One thread.
#pragma once

#include <cmath>

#include "mortise/sdk/float_groups.h"
#include "mortise/sdk/grids.h"
#include "mortise/sdk/groups.h"
#include "mortise/sdk/inputs.h"

namespace mortise::sdk {

// Code of the host's table: weights would change.
namespace code {
inline constexpr uint32_t lossy = 2205;
}

// Errors: always Unsupported, saying what the coding is.
[[noreturn]] inline void unsupported(std::string what, const Coding& coding, std::string subject,
                                     std::string fix = {}) {
    throw Unsupported({.what = std::move(what),
                       .subject = std::move(subject),
                       .found = text_of(coding),
                       .fix = std::move(fix),
                       .node = coding.node.node()});
}

// Effect: which weights share a scale. Errors: Refused where the group does not divide the columns;
// Unsupported.
inline Grid grid_of(const Coding& coding, const mortise_module& m) {
    if (coding.strategy == "tensor") return {};
    if (coding.strategy == "channel") return {1, 0};
    if (coding.strategy == "block" && coding.block.size() == 2 && coding.block[0] > 0 && coding.block[1] > 0)
        return {static_cast<uint64_t>(coding.block[0]), static_cast<uint64_t>(coding.block[1])};
    const bool groups = coding.strategy == "group" || coding.strategy == "tensor_group";
    const std::string name(view(m.name));
    if (!groups || coding.group_size < 1) unsupported("scales cannot be laid out like this", coding, name);
    const auto size = static_cast<uint64_t>(coding.group_size);
    if (m.columns % size != 0)
        throw Refused({.what = "the group size does not divide the columns",
                       .subject = name,
                       .expected = "a multiple of " + std::to_string(size),
                       .found = std::to_string(m.columns) + " columns",
                       .node = coding.node.node()});
    return {1, size};
}

// Effect: the inputs of module `name` are quantized so; numbers beside it that the rule does not use are
// dropped by name. Dynamic integers: amax over half of the whole range, as the producer of such configs
// computes it.
inline void add_inputs(Spec& spec, const Checkpoint& checkpoint, const std::string& name, const Coding& in) {
    const bool floats = in.type == "float",
               by_group = in.strategy == "group" && in.dynamic && in.group_size > 0;
    const auto bits = static_cast<uint32_t>(in.bits);
    if (in.is("float", 4, "tensor_group") && in.local && in.group_size == 16) {
        add_float4_inputs(spec, name + ".input_global_scale", true);
        return;
    }
    if (floats && in.symmetric && by_group && in.group_size == 32 && in.scale_dtype == "torch.uint8" &&
        (bits == 4 || bits == 8)) {
        spec->activation = microscaled_inputs(bits, MORTISE_EXPONENT_BUMP);
        return;
    }
    const bool by_token = in.strategy == "token" && in.dynamic, whole = in.strategy == "tensor";
    const bool known = floats ? bits == 8 && in.symmetric : in.bits >= 2 && in.bits <= 8;
    if (in.local || !known || !(whole || by_token || by_group))
        unsupported("inputs cannot be quantized like this", in, name);
    const std::string scale = name + ".input_scale", zero = name + ".input_zero_point";
    if (in.dynamic) {
        const auto steps = static_cast<double>((1u << bits) - 1);  // the library halves the whole range
        spec->activation = dynamic_inputs(by_group   ? MORTISE_ACTIVATION_GROUP
                                          : by_token ? MORTISE_ACTIVATION_TOKEN
                                                     : MORTISE_ACTIVATION_TENSOR,
                                          floats ? 0 : bits,
                                          floats         ? 448
                                          : in.symmetric ? steps / 2
                                                         : steps,
                                          in.symmetric, by_group ? static_cast<uint64_t>(in.group_size) : 0);
        add_unused_input(spec, checkpoint, scale, "dynamic_input_scale", false);
    } else {
        add_static_inputs(spec, floats ? 0 : bits, scale, zero, in.symmetric);
    }
    if (in.dynamic || in.symmetric)
        add_unused_input(spec, checkpoint, zero, "constant_zero_points", in.symmetric);
}

// Effect: the coding of a rule for inputs; nothing where they stay as they are. Errors: Unsupported when it
// has none.
inline std::optional<Coding> inputs_as_they_are(const mortise_activation& rule, const std::string& name) {
    if (rule.granularity == MORTISE_ACTIVATION_NONE) return std::nullopt;
    Coding in{.type = rule.encoding == MORTISE_ENCODING_TWOS ? "int" : "float", .bits = rule.bits};
    in.symmetric = rule.asymmetric == 0;
    in.dynamic = rule.dynamic != 0;
    in.strategy = rule.granularity == MORTISE_ACTIVATION_TENSOR  ? "tensor"
                  : rule.granularity == MORTISE_ACTIVATION_TOKEN ? "token"
                                                                 : "group";
    in.group_size = static_cast<int64_t>(rule.group);
    if (rule.exponent_rule != MORTISE_EXPONENT_NONE) in.scale_dtype = "torch.uint8";
    if (rule.second_level != 0) {
        in.strategy = "tensor_group";
        in.scale_dtype = "torch.float8_e4m3fn";
        in.local = true;
    }
    const bool own =
        rule.exponent_rule == MORTISE_EXPONENT_NONE || rule.exponent_rule == MORTISE_EXPONENT_BUMP;
    if (own && rule.second_level != 1) return in;
    throw Refused({.what = "inputs are quantized by a rule that no coding of groups says",
                   .subject = name,
                   .fix = "name a format, with the option 'weights' to leave inputs as they are",
                   .code = code::lossy});
}

// Effect: the coding that weights have as they are. Errors: Refused as lossy when it has none.
inline Coding weights_as_they_are(const mortise_spec& spec, const std::string& name) {
    const mortise_level* scale = nullptr;
    const mortise_field* field = nullptr;
    bool ordered = false;
    for (uint32_t l = 0; l < spec.n_levels; ++l)
        if (spec.levels[l].role == MORTISE_ROLE_SCALE) scale = &spec.levels[l];
    for (uint32_t f = 0; f < spec.n_fields; ++f) {
        if (spec.fields[f].role == MORTISE_ROLE_SCALE) field = &spec.fields[f];
        ordered = ordered || spec.fields[f].role == MORTISE_ROLE_G_IDX;
    }
    const bool ints = spec.encoding >= MORTISE_ENCODING_UNSIGNED && spec.encoding <= MORTISE_ENCODING_TWOS;
    const bool fp4 = spec.encoding == MORTISE_ENCODING_E2M1;
    const bool exponents = field != nullptr && field->encoding == MORTISE_ENCODING_E8M0,
               two = fp4 && !exponents;
    const uint64_t size = scale == nullptr || scale->column_group >= spec.columns ? 0 : scale->column_group;
    if (scale == nullptr || scale->flat != 0 || spec.offset_kind == 3 || spec.n_levels != (two ? 2u : 1u) ||
        (size != 0 && spec.columns % size != 0 && scale->row_group == 1) ||
        (two && scale->column_group != 16) || (exponents && scale->column_group != 32) ||
        !(ints || fp4 || spec.encoding == MORTISE_ENCODING_E4M3))
        throw Refused({.what = "no coding of groups says such weights as they are",
                       .subject = name,
                       .fix = "name the format that they are to be quantized to",
                       .code = code::lossy});
    Coding w{.type = ints ? "int" : "float", .bits = spec.bits};
    const uint64_t rows = scale->row_group >= spec.rows ? 0 : scale->row_group;
    const bool by_row = rows == 1 || scale->n_row_splits != 0;
    w.strategy = by_row && size == 0      ? "channel"
                 : rows == 0 && size == 0 ? "tensor"
                 : by_row                 ? "group"
                                          : "block";
    if (w.strategy == "group") w.group_size = static_cast<int64_t>(size);
    if (w.strategy == "block")
        w.block = {static_cast<int64_t>(scale->row_group), static_cast<int64_t>(scale->column_group)};
    const double middle =
        spec.encoding == MORTISE_ENCODING_UNSIGNED ? std::ldexp(1.0, static_cast<int>(spec.bits) - 1) : 0;
    const double offset = spec.offset_kind == 1 ? spec.offset_constant : 0;
    w.symmetric = !ints || (spec.offset_kind < 2 && offset == middle);
    if (ordered) w.order = "group";
    if (exponents) {
        w.scale_dtype = "torch.uint8";
    } else if (fp4) {
        w.strategy = "tensor_group";
        w.scale_dtype = "torch.float8_e4m3fn";
    }
    if (w.strategy == "tensor_group" || !w.scale_dtype.empty())
        w.group_size = static_cast<int64_t>(scale->column_group);
    return w;
}

}  // namespace mortise::sdk
