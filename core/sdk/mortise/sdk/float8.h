// 8-bit floats (E4M3) under float scales, of weights and of inputs: one scale per row, per block, per matrix
// or per part of a fused matrix. The arithmetic that many dialects share, and the names that they give its
// tensors.
//
// Pure functions over values. One thread.
#pragma once

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

struct Float8 {
    uint64_t experts = 1, rows = 0, columns = 0;
    uint64_t block_rows = 0, block_columns = 0;  // that share a scale, the last ones may be short; 0 = all
};

// Effect: rows and columns that share a scale, as a config says; empty where it does not.
// Errors: Refused when they are not two positive numbers.
inline std::vector<uint64_t> block_size(const Config& size) {
    if (!size) return {};
    const auto block = size.list<int64_t>();
    if (block.size() != 2 || block[0] <= 0 || block[1] <= 0)
        throw Refused({.what = "weight_block_size is not two positive numbers", .node = size.node()});
    return {static_cast<uint64_t>(block[0]), static_cast<uint64_t>(block[1])};
}

// What every stored scale of 8-bit floats promises.
inline constexpr uint32_t float8_scale = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;

namespace detail {

inline Spec float8_codes(uint64_t experts, uint64_t rows, uint64_t columns, const std::string& weight) {
    Spec spec(experts, rows, columns);
    spec.codes(weight, MORTISE_ENCODING_E4M3, 8, {MORTISE_DTYPE_F8_E4M3}, {stacked(experts, {rows, columns})})
        .flags = MORTISE_FIELD_FINITE;
    return spec;
}

}  // namespace detail

// Effect: codes [rows][columns] and scales that multiply them. The grid of scales [A][B] may be kept as
// [A][1][B][1], one column [A][1] as [A], a single scale without axes.
inline Spec float8(const Float8& form, const std::string& weight, const std::string& scale) {
    Spec spec = detail::float8_codes(form.experts, form.rows, form.columns, weight);
    mortise_field& field =
        spec.level(MORTISE_ROLE_SCALE, scale, form.block_rows, form.block_columns, float_dtypes, {});
    field.experts = form.experts;
    field.flags = float8_scale;
    const auto accept = [&](std::initializer_list<uint64_t> dims) {
        field.shapes[field.n_shapes++] = detail::stacked(form.experts, dims);
    };
    if (form.block_rows == 0 && form.block_columns == 0) accept({});
    accept({field.rows, field.columns});
    if (form.block_columns == 0) accept({field.rows});
    if (form.block_columns != 0) accept({field.rows, 1, field.columns, 1});
    if (form.block_rows + form.block_columns != 0 && field.rows * field.columns == 1) accept({});
    return spec;
}
// Effect: the same with one scale per row, kept as [rows][1] or [rows].
inline Spec float8_rows(uint64_t rows, uint64_t columns, const std::string& weight,
                        const std::string& scale) {
    return float8({.rows = rows, .columns = columns, .block_rows = 1}, weight, scale);
}
// Effect: the same with one scale for each part of a matrix that is fused on disk, kept as [parts] or
// [parts][1]: each stays the scale of its own rows.
inline Spec float8_parts(const mortise_module& module, const std::string& weight, const std::string& scale) {
    Spec spec = detail::float8_codes(module.experts, module.rows, module.columns, weight);
    std::vector<uint64_t> ends;
    for (uint64_t p = 0; p < module.n_parts; ++p)
        ends.push_back((ends.empty() ? 0 : ends.back()) + module.part_rows[p]);
    mortise_field& field = spec.level_of_pieces(MORTISE_ROLE_SCALE, scale, std::move(ends), float_dtypes,
                                                {detail::stacked(module.experts, {module.n_parts}),
                                                 detail::stacked(module.experts, {module.n_parts, 1})});
    field.experts = module.experts;
    field.flags = float8_scale;
    return spec;
}

// Effect: 8-bit float inputs, one scale per token taken from the data: amax / 448.
inline mortise_activation float8_tokens() {
    mortise_activation rule{};
    rule.granularity = MORTISE_ACTIVATION_TOKEN;
    rule.encoding = MORTISE_ENCODING_E4M3;
    rule.bits = 8;
    rule.dynamic = 1;
    rule.scale_encoding = MORTISE_ENCODING_F32;
    rule.divisor = 448;
    rule.zero_scale = 1;  // a row of zeros has codes of zero whatever its scale
    return rule;
}
// Effect: the same with one scale per token and run of `group` columns, amax at least 1e-10 (the group
// kernels of SGLang and vLLM). power_of_two: the scale is the power of two at or above.
inline mortise_activation float8_groups(uint64_t group, bool power_of_two) {
    mortise_activation rule = float8_tokens();
    rule.granularity = MORTISE_ACTIVATION_GROUP;
    rule.group = group;
    rule.amax_floor = 1e-10;
    if (power_of_two) rule.exponent_rule = MORTISE_EXPONENT_CEIL;
    return rule;
}
// Effect: 8-bit float inputs under the one scale that `tensor` holds.
inline void add_float8_input(Spec& spec, const std::string& tensor) {
    spec->activation = float8_tokens();
    spec->activation.granularity = MORTISE_ACTIVATION_TENSOR;
    spec->activation.dynamic = 0;
    spec.field(MORTISE_ROLE_INPUT_SCALE, tensor, float_dtypes, {shape_of({}), shape_of({1})}).flags =
        float8_scale;
}

struct Float8Names {
    std::string weight, bias, scale, input_scale;
};
// Effect: the tensors of a module whose weight may be an 8-bit float. Every spelling of a scale multiplies,
// "_inv" too: it is the inverse of the factor that the producer quantized by. Where no scale is there, its
// name is that of the weight and `usual`.
inline Float8Names float8_names(const Checkpoint& checkpoint, const mortise_module& module,
                                const std::string& usual) {
    const ModuleNames names = names_on_disk(checkpoint, module);
    const auto first = [&](const std::string& expected, std::initializer_list<std::string> others) {
        for (const std::string& other : others)
            if (!checkpoint.has(expected) && checkpoint.has(other)) return other;
        return expected;
    };
    return {.weight = names.weight,
            .bias = names.bias,
            .scale = first(names.weight + usual, {names.weight + "_scale_inv", names.weight + "_scale",
                                                  names.stem + "scale", names.stem + "scale_inv"}),
            .input_scale = first(names.stem + "input_scale", {names.stem + "activation_scale"})};
}
// Effect: whether the module's weight is coded, as far as its tensor says; nothing when there is none.
inline std::optional<bool> is_coded(const Checkpoint& checkpoint, const std::string& weight) {
    const auto tensor = checkpoint.tensor(weight);
    return tensor ? std::optional(!is_float(tensor->dtype)) : std::nullopt;
}

// What a checkpoint whose config does not say how its 8-bit float weights are scaled shows of it.
enum class Float8Scales : uint8_t { none, rows, other };
// Effect: how the first 8-bit float matrix is scaled: by one scale per row and no stored input scale, or
// otherwise; none = there is no such matrix.
inline Float8Scales float8_scales(const Checkpoint& checkpoint) {
    Float8Scales found = Float8Scales::none;
    checkpoint.each_below("", [&](const mortise_tensor& weight) {
        const std::string_view name = view(weight.name);
        if (found != Float8Scales::none || weight.dtype != MORTISE_DTYPE_F8_E4M3 || weight.rank != 2 ||
            !name.ends_with(".weight"))
            return;
        const auto scale = checkpoint.tensor(std::string(name) + "_scale");
        const bool fixed = checkpoint.has(std::string(name.substr(0, name.size() - 6)) + "input_scale");
        const bool by_row =
            scale && !scale->shape.empty() && scale->elements() == static_cast<uint64_t>(weight.shape[0]);
        found = by_row && !fixed ? Float8Scales::rows : Float8Scales::other;
    });
    return found;
}

}  // namespace mortise::sdk
