#include "quant/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/codes.h"
#include "base/small_float.h"
#include "quant/activation.h"
#include "quant/module_writer.h"

namespace mortise::quant {
namespace {

uint64_t low_bits(uint32_t bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

uint64_t encode_integer(uint32_t encoding, uint32_t bits, double value, bool& in_range) {
    bool is_signed = encoding != MORTISE_ENCODING_UNSIGNED;
    double span = std::ldexp(1.0, static_cast<int>(bits));
    double low = is_signed ? -span / 2 : 0, high = is_signed ? span / 2 - 1 : span - 1;
    double rounded = std::nearbyint(value);
    if (!(rounded >= low && rounded <= high) || rounded != value) in_range = false;
    rounded = std::isnan(rounded) ? 0 : std::clamp(rounded, low, high);
    auto field = static_cast<int64_t>(rounded);
    if (encoding == MORTISE_ENCODING_OFFSET) field += int64_t{1} << (bits - 1);
    return static_cast<uint64_t>(field) & low_bits(bits);
}

Status no_fit(const Field& field, double value) {
    return fail(Problem{.code = Code::value_range,
                        .what = "value does not fit the field",
                        .tensor = field.tensor,
                        .expected = fmt::format("{} of {} bits", encoding_name(field.encoding), field.bits),
                        .found = fmt::format("{}", value)});
}

Status add_slot(ModuleWriter::Rep& rep, const Field& field) {
    Slot slot{.field = &field, .encoding = 0, .bits = 0, .tensor = rep.tensors.size()};
    std::tie(slot.encoding, slot.bits) = field.stored_as(field.dtypes.front());
    for (size_t t = 0; t < rep.tensors.size(); ++t) {
        if (rep.tensors[t].name == field.tensor) slot.tensor = t;
    }
    if (slot.tensor == rep.tensors.size()) {
        auto bytes = dense_bytes(field.dtypes.front(), field.shapes.front());
        if (!bytes) {
            return fail(Problem{.code = Code::tensor_shape,
                                .what = "shape is not countable",
                                .tensor = field.tensor,
                                .found = to_string(field.shapes.front())});
        }
        rep.tensors.push_back(
            {field.tensor, field.dtypes.front(), field.shapes.front(), std::vector<std::byte>(*bytes)});
    }
    auto proof = prove(field.layout, field.extent, slot.bits, rep.tensors[slot.tensor].bytes.size() * 8);
    if (!proof) return std::unexpected(std::move(proof).error().in_tensor(field.tensor));
    for (const auto& [role, other] : rep.slots) {
        if (other.tensor != slot.tensor) continue;
        auto apart = prove_disjoint(field.layout, field.extent, slot.bits, other.field->layout,
                                    other.field->extent, other.bits);
        if (!apart) return std::unexpected(std::move(apart).error().in_tensor(field.tensor));
    }
    rep.slots.emplace(field.role, slot);
    return {};
}

}  // namespace

Quantizer from_abi(const mortise_quantizer& q, const mortise_recipe& r) {
    std::string shared = r.shared.data ? std::string(r.shared.data, r.shared.size) : std::string();
    return {.method = q.method,
            .compute = q.compute,
            .divisor = q.divisor,
            .zero_scale = q.zero_scale,
            .code_min = q.code_min,
            .code_max = q.code_max,
            .clamp = q.clamp != 0,
            .exponent_rule = q.exponent_rule,
            .flags = r.flags,
            .quotient = r.quotient,
            .amax_floor = r.amax_floor,
            .zero_amax = r.zero_amax,
            .scale_floor = r.scale_floor,
            .second_divisor = r.second_divisor,
            .shared = std::move(shared)};
}

void Change::add(float was, float is) {
    ++weights;
    bool same = std::bit_cast<uint32_t>(was) == std::bit_cast<uint32_t>(is);
    squared_signal += double{was} * was;
    if (same) return;
    ++changed;
    double error = std::fabs(double{is} - was);
    if (!(error <= max_error)) max_error = error;  // also when it is NaN
    squared_error += error * error;
}

void Change::add(const Change& other) {
    weights += other.weights;
    changed += other.changed;
    max_error = std::max(max_error, other.max_error);
    squared_error += other.squared_error;
    squared_signal += other.squared_signal;
}

double Change::rms() const { return weights ? std::sqrt(squared_error / static_cast<double>(weights)) : 0; }
double Change::sqnr_db() const {
    if (squared_error == 0) return std::numeric_limits<double>::infinity();
    return 10 * std::log10(squared_signal / squared_error);
}

uint64_t encode_raw(uint32_t encoding, uint32_t bits, double value, bool& in_range) {
    auto narrow = static_cast<float>(value);
    switch (encoding) {
        case MORTISE_ENCODING_UNSIGNED:
        case MORTISE_ENCODING_OFFSET:
        case MORTISE_ENCODING_TWOS: return encode_integer(encoding, bits, value, in_range);
        case MORTISE_ENCODING_LOOKUP: return encode_integer(MORTISE_ENCODING_UNSIGNED, bits, value, in_range);
        case MORTISE_ENCODING_F32: return std::bit_cast<uint32_t>(narrow);
        case MORTISE_ENCODING_BF16: return f32_to_bf16(narrow);
        case MORTISE_ENCODING_F16: return f32_to_f16(narrow);
        case MORTISE_ENCODING_AS_DTYPE: return std::bit_cast<uint64_t>(value);
        default: return encode_element(encoding, narrow, false);
    }
}

const Slot* ModuleWriter::Rep::slot(uint32_t role) const {
    auto at = slots.find(role);
    return at == slots.end() ? nullptr : &at->second;
}

void ModuleWriter::Rep::write_clamped(const Slot& slot, uint64_t expert, std::span<const uint64_t> rows,
                                      uint64_t column0, uint64_t columns, std::span<const double> values) {
    const Field& field = *slot.field;
    std::vector<uint64_t> raw(values.size());
    int64_t bias = field.stored_bias_word ? 0 : field.stored_bias;
    bool in_range = true;
    for (size_t i = 0; i < raw.size(); ++i) {
        raw[i] = (encode_raw(slot.encoding, slot.bits, values[i], in_range) - static_cast<uint64_t>(bias)) &
                 low_bits(slot.bits);
    }
    slot.copier(column0, columns).deposit(tensors[slot.tensor].bytes, expert, rows, raw.data());
}

Status ModuleWriter::Rep::write(const Slot& slot, uint64_t expert, std::span<const uint64_t> rows,
                                uint64_t column0, uint64_t columns, std::span<const double> values) {
    for (double value : values) {
        bool in_range = true;
        encode_raw(slot.encoding, slot.bits, value, in_range);
        if (!in_range) return no_fit(*slot.field, value);
    }
    write_clamped(slot, expert, rows, column0, columns, values);
    return {};
}

void ModuleWriter::Rep::write_codes(uint64_t expert, std::span<const uint64_t> rows,
                                    std::span<uint8_t> codes) {
    const Slot& slot = *this->slot(MORTISE_ROLE_CODES);
    int32_t add = 0;  // what turns a canonical code into the stored field
    if (spec.is_integer()) {
        add = -spec.code_origin();
        if (slot.encoding == MORTISE_ENCODING_OFFSET) add += 1 << (slot.bits - 1);
    }
    if (!slot.field->stored_bias_word) add -= static_cast<int32_t>(slot.field->stored_bias);
    auto mask = static_cast<uint8_t>(low_bits(slot.bits));
    if (add) {
        for (uint8_t& code : codes) code = static_cast<uint8_t>(code + add) & mask;
    }
    slot.copier(0, spec.extent.columns).deposit(tensors[slot.tensor].bytes, expert, rows, codes.data());
}

void ModuleWriter::Rep::write_plain(uint64_t expert, std::span<const uint64_t> rows,
                                    std::span<const float> weights) {
    std::vector<double> values(weights.begin(), weights.end());
    write_clamped(*slot(MORTISE_ROLE_CODES), expert, rows, 0, spec.extent.columns, values);
}

// The inverse of what a reader adds to the words of such a field.
void ModuleWriter::Rep::correct() {
    corrected.clear();
    for (const auto& [role, slot] : slots) {
        const Field& field = *slot.field;
        if (field.stored_bias_word == 0 || field.stored_bias == 0) continue;
        uint64_t repeated = 0;
        for (uint32_t at = 0; at + slot.bits <= field.stored_bias_word; at += slot.bits) {
            repeated += static_cast<uint64_t>(field.stored_bias) << at;
        }
        auto& bytes = corrected[slot.tensor] = tensors[slot.tensor].bytes;
        size_t size = field.stored_bias_word / 8;
        for (size_t at = 0; at + size <= bytes.size(); at += size) {
            uint64_t word = 0;
            std::memcpy(&word, bytes.data() + at, size);
            word -= repeated;
            std::memcpy(bytes.data() + at, &word, size);
        }
    }
}

Result<ModuleWriter> ModuleWriter::make(const QuantSpec& target, const std::vector<uint32_t>& absent) {
    MORTISE_CHECK(validate(target));
    auto rep = std::make_unique<Rep>(target);
    for (const Field& field : rep->spec.fields) {
        bool skipped = std::ranges::find(absent, field.role) != absent.end();
        if (field.role == MORTISE_ROLE_UNUSED || skipped) continue;
        MORTISE_CHECK(add_slot(*rep, field));
    }
    if (const Slot* shape = rep->slot(MORTISE_ROLE_SHAPE)) {
        const Extent& extent = target.extent;
        std::vector<double> dims{static_cast<double>(extent.rows), static_cast<double>(extent.columns)};
        if (shape->field->extent.columns == 3) dims.insert(dims.begin(), static_cast<double>(extent.experts));
        dims.resize(shape->field->extent.columns);
        std::vector<uint64_t> row{0};
        MORTISE_CHECK(rep->write(*shape, 0, row, 0, dims.size(), dims));
    }
    return ModuleWriter(std::move(rep));
}

const QuantSpec& ModuleWriter::spec() const { return rep_->spec; }
bool ModuleWriter::has(uint32_t role) const { return rep_->slot(role) != nullptr; }

bool ModuleWriter::wants_amax() const {
    auto whole = [](const Level& level) { return level.row_group == 0 && level.column_group == 0; };
    return rep_->spec.levels.size() > 1 && std::ranges::any_of(rep_->spec.levels, whole);
}

uint64_t ModuleWriter::row_step() const {
    const QuantSpec& spec = rep_->spec;
    uint64_t step = 1;
    bool fine = false;  // a second, finer level lets the coarse one be given
    for (const Level& level : spec.levels) fine |= level.role != MORTISE_ROLE_NONE && level.row_group > 0;
    auto take = [&](const Level& level) {
        if (level.role == MORTISE_ROLE_NONE) return;
        bool all = level.flat || !level.row_splits.empty() || (level.row_group == 0 && !fine);
        step = all ? spec.extent.rows : std::lcm(step, std::max<uint64_t>(1, level.row_group));
    };
    for (const Level& level : spec.levels) take(level);
    if (spec.offset == Offset::zero_point || spec.offset == Offset::addend) take(spec.zero_map);
    return std::min(step, spec.extent.rows);
}

Status ModuleWriter::put(uint32_t role, std::span<const double> values) {
    const Slot* slot = rep_->slot(role);
    MORTISE_INVARIANT(slot != nullptr);
    const Extent& extent = slot->field->extent;
    uint64_t n = extent.rows * extent.columns;
    MORTISE_INVARIANT(values.size() == n * extent.experts);
    std::vector<uint64_t> rows = all_rows(extent.rows);
    for (uint64_t e = 0; e < extent.experts; ++e) {
        MORTISE_CHECK(rep_->write(*slot, e, rows, 0, extent.columns, values.subspan(e * n, n)));
    }
    return {};
}

Sources ModuleWriter::sources() const {
    rep_->correct();
    Sources out;
    for (const auto& [role, slot] : rep_->slots) {
        const WrittenTensor& tensor = rep_->tensors[slot.tensor];
        auto at = rep_->corrected.find(slot.tensor);
        out[role] = {.bytes = at == rep_->corrected.end() ? tensor.bytes : at->second, .dtype = tensor.dtype};
    }
    return out;
}

std::vector<WrittenTensor> ModuleWriter::take() {
    rep_->correct();
    for (auto& [tensor, bytes] : rep_->corrected) rep_->tensors[tensor].bytes = std::move(bytes);
    rep_->corrected.clear();
    return std::move(rep_->tensors);
}

ModuleWriter::ModuleWriter(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ModuleWriter::ModuleWriter(ModuleWriter&&) noexcept = default;
ModuleWriter& ModuleWriter::operator=(ModuleWriter&&) noexcept = default;
ModuleWriter::~ModuleWriter() = default;

}  // namespace mortise::quant
