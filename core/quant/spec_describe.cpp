#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "quant/spec.h"

namespace mortise::quant {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

std::string kind(uint32_t encoding, uint32_t bits) {
    bool counted = encoding == MORTISE_ENCODING_UNSIGNED || encoding == MORTISE_ENCODING_OFFSET ||
                   encoding == MORTISE_ENCODING_TWOS;
    if (counted) return fmt::format("int{}", bits);
    if (encoding == MORTISE_ENCODING_LOOKUP) return fmt::format("lookup{}", bits);
    return std::string(encoding_name(encoding));
}

std::string element(const Field& field) {
    if (field.encoding != MORTISE_ENCODING_AS_DTYPE) return kind(field.encoding, field.bits);
    return field.dtypes.size() == 1 ? lower(name(field.dtypes.front())) : "float";
}

std::string granularity(const QuantSpec& spec) {
    const Level* fine = nullptr;  // the level with the smallest groups says what users call it
    for (const Level& level : spec.levels) {
        if (level.role == MORTISE_ROLE_NONE) continue;
        if (!fine ||
            (level.column_group && (!fine->column_group || level.column_group < fine->column_group)) ||
            (!fine->column_group && !level.column_group && level.row_group == 1)) {
            fine = &level;
        }
    }
    if (!fine) return "unscaled";
    uint64_t columns = fine->column_group >= spec.extent.columns ? 0 : fine->column_group;
    if (fine->flat) return fmt::format("g{} across rows", fine->column_group);
    if (!fine->row_splits.empty()) return "per shard";
    if (fine->row_group > 1 || (columns && !fine->row_group)) {
        return fmt::format("block {}x{}", fine->row_group ? fine->row_group : spec.extent.rows,
                           columns ? columns : spec.extent.columns);
    }
    if (columns) return fmt::format("g{}", columns);
    return fine->row_group == 1 ? "per channel" : "per tensor";
}

std::string symmetry(const QuantSpec& spec) {
    switch (spec.offset) {
        case Offset::zero_point: return " asymmetric";
        case Offset::addend: return " affine";
        case Offset::constant: {
            bool centre = spec.encoding == MORTISE_ENCODING_UNSIGNED &&
                          spec.offset_constant == static_cast<double>(1u << (spec.bits - 1));
            return centre ? " symmetric" : fmt::format(" offset {}", spec.offset_constant);
        }
        case Offset::none: break;
    }
    return spec.encoding == MORTISE_ENCODING_UNSIGNED ? " unsigned" : spec.is_integer() ? " symmetric" : "";
}

std::string scales(const QuantSpec& spec) {
    std::string out;
    for (bool divide : {false, true}) {
        for (const Level& level : spec.levels) {
            const Field* field = spec.find(level.role);
            if (level.divide != divide || !field) continue;
            if (!out.empty())
                out += divide ? " / " : " x ";
            else if (divide)
                out += "1 / ";
            out += element(*field);
        }
    }
    return out.empty() ? "" : ", " + out + " scales";
}

std::string activation(const Activation& a) {
    if (a.granularity == MORTISE_ACTIVATION_NONE) return "";
    std::string out = ", " + kind(a.encoding, a.bits) + " inputs ";
    if (a.granularity == MORTISE_ACTIVATION_TENSOR) out += "per tensor";
    if (a.granularity == MORTISE_ACTIVATION_TOKEN) out += "per token";
    if (a.granularity == MORTISE_ACTIVATION_GROUP) out += fmt::format("g{}", a.group);
    out += a.dynamic ? " dynamic" : " static";
    if (a.amax_ceiling > 0) out += fmt::format(" up to {}", a.amax_ceiling);
    return out + (a.asymmetric ? " asymmetric" : "");
}

}  // namespace

std::string QuantSpec::describe() const {
    if (is_plain()) {
        const Field* codes = find(MORTISE_ROLE_CODES);
        return codes ? element(*codes) : std::string(encoding_name(encoding));
    }
    std::string out = kind(encoding, bits) + " " + granularity(*this) + symmetry(*this) + scales(*this);
    if (indexed()) out += ", column map";
    if (find(MORTISE_ROLE_PRE_SCALE)) out += ", input pre-scale";
    if (rotation_block) out += fmt::format(", input rotation {}", rotation_block);
    if (has_cast) out += ", executed as " + std::string(encoding_name(cast_encoding));
    if (find(MORTISE_ROLE_LOW_RANK_A)) out += ", low-rank term";
    return out + quant::activation(activation);
}

}  // namespace mortise::quant
