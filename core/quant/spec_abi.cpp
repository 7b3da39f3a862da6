#include <fmt/format.h>

#include <cstring>

#include "base/codes.h"
#include "quant/spec.h"

namespace mortise::quant {
namespace {

constexpr uint32_t max_fields = 32;
constexpr uint32_t max_splits = 1u << 16;

// Collects what is wrong with an answer; `at` says which attribute.
struct Complaints {
    Problems problems;
    void add(std::string what, std::string found) {
        problems.add(
            Problem{.code = Code::plugin_contract, .what = std::move(what), .found = std::move(found)});
    }
    bool limit(uint64_t value, uint64_t most, const std::string& what) {
        if (value <= most) return true;
        add(what + " is out of range", fmt::format("{}, at most {}", value, most));
        return false;
    }
};

std::string text(const mortise_str& from) {
    return from.data ? std::string(from.data, from.size) : std::string();
}
mortise_str view(const std::string& from) { return {from.data(), from.size()}; }

Layout read_layout(const mortise_layout& from, Complaints& bad, const std::string& where) {
    Layout out;
    if (!bad.limit(from.n_planes, MORTISE_MAX_PLANES, where + ": number of planes")) return out;
    for (uint32_t p = 0; p < from.n_planes; ++p) {
        const mortise_plane& plane = from.planes[p];
        if (!bad.limit(plane.n_terms, MORTISE_MAX_TERMS, where + ": number of terms")) return out;
        Plane& to = out.planes.emplace_back();
        to.bits = plane.bits;
        to.offset = static_cast<int64_t>(plane.offset);
        for (uint32_t t = 0; t < plane.n_terms; ++t) {
            const mortise_term& term = plane.terms[t];
            to.terms.push_back({term.source, term.div, term.mod, static_cast<int64_t>(term.stride)});
        }
    }
    return out;
}

Field read_field(const mortise_field& from, Complaints& bad) {
    Field out{.role = from.role,
              .encoding = from.encoding,
              .bits = from.bits,
              .flags = from.flags,
              .extent = {from.experts, from.rows, from.columns},
              .tensor = text(from.tensor),
              .drop_rule = text(from.drop_rule),
              .default_value = from.default_value,
              .stored_bias = from.stored_bias,
              .stored_bias_word = from.stored_bias_word};
    std::string where = fmt::format("field {} ({})", role_name(from.role), out.tensor);
    if (bad.limit(from.n_dtypes, 7, where + ": number of dtypes")) {
        for (uint32_t i = 0; i < from.n_dtypes; ++i) {
            if (from.dtypes[i] == 0 || from.dtypes[i] > dtype_count) {
                bad.add(where + ": unknown dtype", fmt::format("{}", from.dtypes[i]));
            } else {
                out.dtypes.push_back(static_cast<DType>(from.dtypes[i]));
            }
        }
    }
    if (bad.limit(from.n_shapes, 4, where + ": number of shapes")) {
        for (uint32_t i = 0; i < from.n_shapes; ++i) {
            const mortise_shape& shape = from.shapes[i];
            if (!bad.limit(shape.rank, MORTISE_MAX_RANK, where + ": rank")) continue;
            out.shapes.emplace_back(shape.dims, shape.dims + shape.rank);
        }
    }
    out.layout = read_layout(from.layout, bad, where);
    return out;
}

Level read_level(const mortise_level& from, Complaints& bad) {
    Level out{.role = from.role,
              .divide = from.divide != 0,
              .row_group = from.row_group,
              .column_group = from.column_group,
              .constant = from.constant,
              .flat = from.flat != 0};
    if (from.n_row_splits == 0 || !bad.limit(from.n_row_splits, max_splits, "number of row splits"))
        return out;
    if (!from.row_splits) {
        bad.add("row_splits is null", fmt::format("{} pieces", from.n_row_splits));
        return out;
    }
    out.row_splits.assign(from.row_splits, from.row_splits + from.n_row_splits);
    return out;
}

Activation read_activation(const mortise_activation& from) {
    return {.granularity = from.granularity,
            .encoding = from.encoding,
            .bits = from.bits,
            .dynamic = from.dynamic != 0,
            .asymmetric = from.asymmetric != 0,
            .exponent_rule = from.exponent_rule,
            .scale_encoding = from.scale_encoding,
            .second_level = from.second_level,
            .group = from.group,
            .divisor = from.divisor,
            .amax_floor = from.amax_floor,
            .scale_floor = from.scale_floor,
            .zero_scale = from.zero_scale};
}

// Fields lie as far apart as their writer's struct was large.
void read_fields(const mortise_spec& spec, QuantSpec& out, Complaints& bad) {
    if (!bad.limit(spec.n_fields, max_fields, "number of fields") || spec.n_fields == 0) return;
    if (!spec.fields) return bad.add("fields is null", fmt::format("{} fields", spec.n_fields));
    uint32_t step = spec.fields->head.size;
    if (step < sizeof(mortise_field))
        return bad.add("field is smaller than its first version", fmt::format("{}", step));
    const auto* at = reinterpret_cast<const char*>(spec.fields);
    for (uint32_t i = 0; i < spec.n_fields; ++i, at += step) {
        mortise_field field;
        std::memcpy(&field, at, sizeof field);
        out.fields.push_back(read_field(field, bad));
    }
}

mortise_layout write_layout(const Layout& from) {
    mortise_layout out{};
    out.n_planes = static_cast<uint32_t>(from.planes.size());
    for (size_t p = 0; p < from.planes.size(); ++p) {
        const Plane& plane = from.planes[p];
        mortise_plane& to = out.planes[p];
        to.bits = plane.bits;
        to.offset = static_cast<uint64_t>(plane.offset);
        to.n_terms = static_cast<uint32_t>(plane.terms.size());
        for (size_t t = 0; t < plane.terms.size(); ++t) {
            const Term& term = plane.terms[t];
            to.terms[t] = {term.source, 0, term.div, term.mod, static_cast<uint64_t>(term.stride)};
        }
    }
    return out;
}

mortise_field write_field(const Field& from) {
    mortise_field out{};
    out.head = {sizeof out, MORTISE_ABI_MINOR};
    out.role = from.role;
    out.encoding = from.encoding;
    out.bits = from.bits;
    out.flags = from.flags;
    out.experts = from.extent.experts;
    out.rows = from.extent.rows;
    out.columns = from.extent.columns;
    out.tensor = view(from.tensor);
    out.drop_rule = view(from.drop_rule);
    for (DType dtype : from.dtypes) out.dtypes[out.n_dtypes++] = static_cast<uint32_t>(dtype);
    for (const Shape& shape : from.shapes) {
        mortise_shape& to = out.shapes[out.n_shapes++];
        for (int64_t dim : shape) to.dims[to.rank++] = dim;
    }
    out.layout = write_layout(from.layout);
    out.default_value = from.default_value;
    out.stored_bias = from.stored_bias;
    out.stored_bias_word = from.stored_bias_word;
    return out;
}

mortise_level write_level(const Level& from) {
    return {.role = from.role,
            .divide = from.divide,
            .row_group = from.row_group,
            .column_group = from.column_group,
            .constant = from.constant,
            .flat = from.flat,
            .n_row_splits = static_cast<uint32_t>(from.row_splits.size()),
            .row_splits = from.row_splits.empty() ? nullptr : from.row_splits.data()};
}

mortise_activation write_activation(const Activation& from) {
    return {.granularity = from.granularity,
            .encoding = from.encoding,
            .bits = from.bits,
            .dynamic = from.dynamic,
            .asymmetric = from.asymmetric,
            .exponent_rule = from.exponent_rule,
            .scale_encoding = from.scale_encoding,
            .second_level = from.second_level,
            .group = from.group,
            .divisor = from.divisor,
            .amax_floor = from.amax_floor,
            .scale_floor = from.scale_floor,
            .zero_scale = from.zero_scale};
}

}  // namespace

Result<QuantSpec> from_abi(const mortise_spec& spec) {
    if (spec.head.size < offsetof(mortise_spec, scale_addend)) {
        return fail(Problem{.code = Code::plugin_contract,
                            .what = "spec is smaller than its first version",
                            .found = fmt::format("{} bytes", spec.head.size)});
    }
    Complaints bad;
    QuantSpec out;
    out.extent = {spec.experts, spec.rows, spec.columns};
    out.encoding = spec.encoding;
    out.bits = spec.bits;
    read_fields(spec, out, bad);
    if (bad.limit(spec.n_levels, 3, "number of levels")) {
        for (uint32_t i = 0; i < spec.n_levels; ++i) out.levels.push_back(read_level(spec.levels[i], bad));
    }
    if (bad.limit(spec.offset_kind, 3, "offset_kind")) out.offset = static_cast<Offset>(spec.offset_kind);
    out.offset_constant = spec.offset_constant;
    out.zero_map = read_level(spec.zero_map, bad);
    out.addend_scale = read_level(spec.addend_scale, bad);
    out.addend_sign = spec.addend_sign;
    out.activation = read_activation(spec.activation);
    out.has_cast = spec.has_cast != 0;
    out.cast_encoding = spec.cast_encoding;
    out.rotation_block = spec.rotation_block;
    out.rotation_factor = spec.rotation_factor;
    if (MORTISE_HAS(&spec, mortise_spec, scale_addend)) out.scale_addend = spec.scale_addend;
    if (MORTISE_HAS(&spec, mortise_spec, activation_ties))
        out.activation.ties_to_zero = spec.activation_ties == 1;
    if (MORTISE_HAS(&spec, mortise_spec, activation_amax_ceiling))
        out.activation.amax_ceiling = spec.activation_amax_ceiling;
    if (MORTISE_HAS(&spec, mortise_spec, table) && spec.table &&
        bad.limit(spec.n_table, 256, "length of the table")) {
        out.table.assign(spec.table, spec.table + spec.n_table);
    }
    MORTISE_CHECK(std::move(bad.problems).status());
    MORTISE_CHECK(validate(out));
    return out;
}

Result<Field> from_abi(const mortise_field& field) {
    Complaints bad;
    Field out = read_field(field, bad);
    MORTISE_CHECK(std::move(bad.problems).status());
    return out;
}

AbiSpec::AbiSpec(QuantSpec spec) : spec_(std::move(spec)) {
    for (const Field& field : spec_.fields) fields_.push_back(write_field(field));
    abi_.head = {sizeof abi_, MORTISE_ABI_MINOR};
    abi_.experts = spec_.extent.experts;
    abi_.rows = spec_.extent.rows;
    abi_.columns = spec_.extent.columns;
    abi_.encoding = spec_.encoding;
    abi_.bits = spec_.bits;
    abi_.n_fields = static_cast<uint32_t>(fields_.size());
    abi_.fields = fields_.data();
    for (const Level& level : spec_.levels) abi_.levels[abi_.n_levels++] = write_level(level);
    abi_.offset_kind = static_cast<uint32_t>(spec_.offset);
    abi_.offset_constant = spec_.offset_constant;
    abi_.zero_map = write_level(spec_.zero_map);
    abi_.addend_scale = write_level(spec_.addend_scale);
    abi_.addend_sign = spec_.addend_sign;
    abi_.activation = write_activation(spec_.activation);
    abi_.has_cast = spec_.has_cast;
    abi_.cast_encoding = spec_.cast_encoding;
    abi_.rotation_block = spec_.rotation_block;
    abi_.rotation_factor = spec_.rotation_factor;
    abi_.scale_addend = spec_.scale_addend;
    abi_.activation_ties = spec_.activation.ties_to_zero;
    abi_.n_table = spec_.table.size();
    abi_.table = spec_.table.empty() ? nullptr : spec_.table.data();
    abi_.activation_amax_ceiling = spec_.activation.amax_ceiling;
}

}  // namespace mortise::quant
