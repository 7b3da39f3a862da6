#include "quant/digest.h"

#include <fmt/format.h>

#include <bit>

#include "quant/decode.h"

namespace mortise::quant {
namespace {

static_assert(std::endian::native == std::endian::little, "digests are of little-endian numbers");

template <class T>
std::span<const std::byte> bytes_of(const T* data, size_t count) {
    return std::as_bytes(std::span(data, count));
}

std::string hash(std::span<const float> values) { return sha256_hex(std::as_bytes(values)); }

std::string code_kind(const QuantSpec& spec) {
    if (spec.is_integer()) return fmt::format("int{}", spec.bits);
    if (spec.encoding == MORTISE_ENCODING_LOOKUP) return fmt::format("lookup{}", spec.bits);
    return spec.is_plain() ? "plain" : std::string(encoding_name(spec.encoding));
}

// A rotation without a matrix is Sylvester's: the same digest as if the file held it.
std::string rotation_hash(const QuantSpec& spec, const Extras& extras) {
    if (!extras.rotation.empty()) return hash(extras.rotation);
    Sha256 sha;
    std::vector<float> row(spec.rotation_block);
    for (uint32_t i = 0; i < spec.rotation_block; ++i) {
        for (uint32_t j = 0; j < spec.rotation_block; ++j) row[j] = std::popcount(i & j) % 2 ? -1.0f : 1.0f;
        sha.update(std::as_bytes(std::span<const float>(row)));
    }
    return sha.hex();
}

std::string extras_text(const QuantSpec& spec, const Extras& extras) {
    std::string out;
    auto put = [&](std::string_view name, const std::vector<float>& values) {
        if (!values.empty()) out += fmt::format("{} {} {}\n", name, values.size(), hash(values));
    };
    put("pre_scale", extras.pre_scale);
    if (spec.rotation_block) {
        auto factor = std::bit_cast<uint32_t>(static_cast<float>(spec.rotation_factor));
        out +=
            fmt::format("rotation {} {:08x} {}\n", spec.rotation_block, factor, rotation_hash(spec, extras));
    }
    if (spec.has_cast) {
        out += fmt::format("cast {}\n", encoding_name(spec.cast_encoding));
        put("cast_scale", extras.cast_scale);
    }
    put("bias", extras.bias);
    put("low_rank_a", extras.low_rank_a);
    put("low_rank_b", extras.low_rank_b);
    return out;
}

}  // namespace

void ValueDigest::add(const mortise_tile& tile) {
    values_.resize(tile.rows * tile.columns);
    decode_tile(tile, values_.data());
    sha_.update(std::as_bytes(std::span<const float>(values_)));
}

SpecDigest::SpecDigest(const QuantSpec& spec) : spec_(spec) {}

void SpecDigest::add(const mortise_tile& tile) {
    uint64_t n = tile.rows * tile.columns, scales = tile.rows * tile.groups;
    rows_ += tile.rows;
    columns_ = tile.columns;
    groups_ = tile.groups;
    if (tile.plain) {
        scratch_.resize(n);
        decode_tile(tile, scratch_.data());
        codes_.update(bytes_of(scratch_.data(), n));
        return;
    }
    float middle = spec_.is_integer() ? static_cast<float>(1u << (spec_.bits - 1)) : 0.0f;
    auto less = static_cast<uint8_t>(middle);
    bytes_.resize(n);
    for (uint64_t i = 0; i < n; ++i) bytes_[i] = static_cast<uint8_t>(tile.codes[i] - less);
    codes_.update(bytes_of(bytes_.data(), n));
    scratch_.resize(scales);
    for (uint64_t i = 0; i < scales; ++i)
        scratch_[i] = (tile.zero ? tile.zero[i] : tile.zero_constant) - middle;
    offsets_.update(bytes_of(scratch_.data(), scales));
    for (uint64_t i = 0; i < scales; ++i) scratch_[i] = tile.scale ? tile.scale[i] : 1.0f;
    scales_.update(bytes_of(scratch_.data(), scales));
    if (tile.addend) addends_.update(bytes_of(tile.addend, scales));
    if (tile.table && table_.empty()) table_ = sha256_hex(bytes_of(tile.table, size_t{1} << spec_.bits));
    if (tile.group_of_column && map_.empty()) map_ = sha256_hex(bytes_of(tile.group_of_column, tile.columns));
}

std::string SpecDigest::finish(const Extras& extras) {
    std::string text = fmt::format("{} {} {}\ncodes {}\n", code_kind(spec_), rows_, columns_, codes_.hex());
    if (!spec_.is_plain()) {
        text += fmt::format("offsets {}\nscales {} {}\n", offsets_.hex(), groups_, scales_.hex());
        if (spec_.offset == Offset::addend) text += fmt::format("addends {}\n", addends_.hex());
    }
    if (!table_.empty()) text += fmt::format("table {}\n", table_);
    if (!map_.empty()) text += fmt::format("map {}\n", map_);
    text += extras_text(spec_, extras);
    return sha256_hex(bytes_of(text.data(), text.size()));
}

std::string activation_text(const QuantSpec& spec, const Extras& extras) {
    const Activation& a = spec.activation;
    if (a.granularity == MORTISE_ACTIVATION_NONE) return "none";
    std::string out = fmt::format("{}{} granularity {} group {} ", encoding_name(a.encoding), a.bits,
                                  a.granularity, a.group);
    out += fmt::format("{} {} exponent {} scale {} level {} ", a.dynamic ? "dynamic" : "static",
                       a.asymmetric ? "asymmetric" : "symmetric", a.exponent_rule,
                       encoding_name(a.scale_encoding), a.second_level);
    out += fmt::format("divisor {} floors {} {} zero {} ties {}", a.divisor, a.amax_floor, a.scale_floor,
                       a.zero_scale, a.ties_to_zero ? "zero" : "even");
    if (a.amax_ceiling > 0) out += fmt::format(" ceiling {}", a.amax_ceiling);
    auto put = [&](std::string_view name, const std::vector<float>& values) {
        if (!values.empty()) out += fmt::format(" {} {}", name, hash(values));
    };
    if (!a.dynamic) put("scale", extras.input_scale);
    if (!a.dynamic && a.asymmetric) put("zero_point", extras.input_zero_point);
    if (a.second_level) put("scale2", extras.input_scale2);
    return out;
}

std::string activation_digest(const QuantSpec& spec, const Extras& extras) {
    std::string text = activation_text(spec, extras);
    return sha256_hex(bytes_of(text.data(), text.size()));
}

}  // namespace mortise::quant
