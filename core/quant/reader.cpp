#include "quant/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/codes.h"
#include "quant/decode.h"
#include "quant/scale_map.h"

namespace mortise::quant {

struct PartReader::Rep {
    explicit Rep(const QuantSpec& from) : abi(from) {}

    AbiSpec abi;
    const QuantSpec& spec = abi.spec();
    Sources sources;
    ReaderOptions options;
    Grouping grouping;
    std::vector<uint32_t> group_of_column;  // empty: by position
    std::vector<ScaleMap> levels;           // multiplying ones first
    std::vector<ScaleMap> zero, addend;     // at most one zero; addend and its second level
    std::vector<float> table;
    float cast_scale = 0;
    float zero_constant = 0;
    BoundField codes;  // without bytes when they come with each read
    std::shared_ptr<const Copier> copier;

    Status bind_index();
    Status bind_maps();
    Status bind_table();
    Status bind_codes();
    Status read_codes(const TileRequest& request, const BoundField& from, const Copier& copy,
                      Tile& out) const;
    Status read_plain(const TileRequest& request, const BoundField& from, const Copier& copy,
                      Tile& out) const;
    void read_scales(const TileRequest& request, Tile& out) const;
    void read_offsets(const TileRequest& request, Tile& out) const;
    Status read(const TileRequest& request, const BoundField& from, const Copier& copy, Tile& out) const;
    void fill(const ScaleMap& map, const TileRequest& request, Tile& out, std::vector<float>& to) const;
};

namespace {

Status missing(const Field& field) {
    return fail(Problem{
        .code = Code::tensor_missing, .what = "a required tensor has no bytes", .tensor = field.tensor});
}

}  // namespace

// The column map decides the groups: a plain one is as good as none.
Status PartReader::Rep::bind_index() {
    uint64_t size = spec.column_group();
    grouping = {.column0 = options.column0, .columns = options.columns, .size = size, .count = 1, .phase = 0};
    grouping.phase = options.column0 % size;
    grouping.count = divide_up(grouping.phase + options.columns, size);
    const Field* field = spec.find(MORTISE_ROLE_G_IDX);
    if (!field || !sources[MORTISE_ROLE_G_IDX].present()) {
        if (field && !field->has(MORTISE_FIELD_OPTIONAL)) return missing(*field);
        return {};
    }
    MORTISE_TRY(std::vector<int64_t> index, read_index(*field, sources[MORTISE_ROLE_G_IDX]));
    if (index.size() != spec.extent.columns) {
        return fail(Problem{.code = Code::tensor_shape,
                            .what = "column map has another length than the columns",
                            .tensor = field->tensor,
                            .expected = fmt::format("{}", spec.extent.columns),
                            .found = fmt::format("{}", index.size())});
    }
    if (is_trivial_index(index, size)) return {};
    auto groups = static_cast<int64_t>(spec.column_groups());
    for (size_t c = 0; c < index.size(); ++c) {
        if (index[c] >= 0 && index[c] < groups) continue;
        return fail(Problem{.code = Code::value_range,
                            .what = "column map points outside the groups",
                            .tensor = field->tensor,
                            .expected = fmt::format("0 to {}", groups - 1),
                            .found = fmt::format("{} at column {}", index[c], c)});
    }
    grouping.indexed = true;
    grouping.phase = 0;
    grouping.count = static_cast<uint64_t>(groups);
    for (uint64_t c = 0; c < options.columns; ++c) {
        group_of_column.push_back(static_cast<uint32_t>(index[options.column0 + c]));
    }
    return {};
}

Status PartReader::Rep::bind_maps() {
    for (bool divide : {false, true}) {
        for (const Level& level : spec.levels) {
            if (level.divide != divide) continue;
            MORTISE_TRY(ScaleMap map, ScaleMap::make(spec, level, sources, grouping));
            levels.push_back(std::move(map));
        }
    }
    zero_constant = static_cast<float>(spec.code_origin());
    if (spec.offset == Offset::constant) zero_constant += static_cast<float>(spec.offset_constant);
    if (spec.offset == Offset::zero_point) {
        MORTISE_TRY(ScaleMap map, ScaleMap::make(spec, spec.zero_map, sources, grouping));
        zero.push_back(std::move(map));
    }
    if (spec.offset == Offset::addend) {
        MORTISE_TRY(ScaleMap map, ScaleMap::make(spec, spec.zero_map, sources, grouping));
        addend.push_back(std::move(map));
        if (spec.addend_scale.role != MORTISE_ROLE_NONE) {
            MORTISE_TRY(ScaleMap second, ScaleMap::make(spec, spec.addend_scale, sources, grouping));
            addend.push_back(std::move(second));
        }
    }
    return {};
}

Status PartReader::Rep::bind_table() {
    if (options.cast && spec.has_cast) {
        const Field& field = *spec.find(MORTISE_ROLE_CAST_SCALE);
        if (!sources[MORTISE_ROLE_CAST_SCALE].present()) return missing(field);
        MORTISE_TRY(std::vector<float> scale,
                    read_floats(field, sources[MORTISE_ROLE_CAST_SCALE], 0, {}, 0, 0));
        cast_scale = scale.front();
    }
    if (spec.encoding != MORTISE_ENCODING_LOOKUP) return {};
    if (!spec.table.empty()) {
        table = spec.table;
        return {};
    }
    const Field& field = *spec.find(MORTISE_ROLE_TABLE);
    if (!sources[MORTISE_ROLE_TABLE].present()) return missing(field);
    MORTISE_TRY(table, read_floats(field, sources[MORTISE_ROLE_TABLE], 0, {}, 0, 0));
    if (table.size() != size_t{1} << spec.bits) {
        return fail(Problem{.code = Code::tensor_shape,
                            .what = "table does not have a value for each code",
                            .tensor = field.tensor,
                            .expected = fmt::format("{}", size_t{1} << spec.bits),
                            .found = fmt::format("{}", table.size())});
    }
    return {};
}

Status PartReader::Rep::bind_codes() {
    const Field& field = *spec.find(MORTISE_ROLE_CODES);
    if (!sources[MORTISE_ROLE_CODES].present()) return options.need_codes ? missing(field) : Status{};
    MORTISE_TRY(codes, BoundField::bind(field, sources[MORTISE_ROLE_CODES]));
    copier = std::make_shared<Copier>(codes.copier(options.column0, options.columns));
    return {};
}

Result<PartReader> PartReader::make(const QuantSpec& spec, const Sources& sources,
                                    const ReaderOptions& options) {
    MORTISE_CHECK(validate(spec));
    auto rep = std::make_unique<Rep>(spec);
    rep->sources = sources;
    rep->options = options;
    MORTISE_INVARIANT(options.column0 < spec.extent.columns);
    if (rep->options.columns == 0) rep->options.columns = spec.extent.columns - options.column0;
    MORTISE_INVARIANT(options.column0 + rep->options.columns <= spec.extent.columns);
    MORTISE_CHECK(rep->bind_index());
    MORTISE_CHECK(rep->bind_maps());
    MORTISE_CHECK(rep->bind_table());
    MORTISE_CHECK(rep->bind_codes());
    return PartReader(std::move(rep));
}

Status PartReader::Rep::read_plain(const TileRequest& request, const BoundField& from, const Copier& copy,
                                   Tile& out) const {
    size_t n = request.rows.size() * options.columns;
    uint64_t expert = from.expert(request.expert);
    bool half = from.encoding == MORTISE_ENCODING_F16 || from.encoding == MORTISE_ENCODING_BF16;
    bool wide = from.bits == 64 && from.encoding == MORTISE_ENCODING_AS_DTYPE;
    if (!half && !wide && from.encoding != MORTISE_ENCODING_F32) {
        return fail(Problem{.code = Code::tensor_dtype,
                            .what = "a plain weight must be a float",
                            .tensor = from.field->tensor,
                            .found = std::string(name(from.source.dtype))});
    }
    out.plain_.resize(n * (half ? 2 : 4));
    out.view_.plain = out.plain_.data();
    out.view_.plain_encoding = half ? from.encoding : uint32_t{MORTISE_ENCODING_F32};
    if (half) {
        copy.extract(from.bytes(), expert, request.rows, reinterpret_cast<uint16_t*>(out.plain_.data()));
    } else if (!wide) {
        copy.extract(from.bytes(), expert, request.rows, reinterpret_cast<uint32_t*>(out.plain_.data()));
    } else {
        out.raw_.resize(n);
        copy.extract(from.bytes(), expert, request.rows, out.raw_.data());
        decode_elements(from.encoding, 64, out.raw_, reinterpret_cast<float*>(out.plain_.data()));
    }
    return {};
}

// Codes become unsigned: integers get the spec's origin, floats and table indexes stay as they are.
Status PartReader::Rep::read_codes(const TileRequest& request, const BoundField& from, const Copier& copy,
                                   Tile& out) const {
    size_t n = request.rows.size() * options.columns;
    out.codes_.resize(n);
    uint8_t* codes_out = out.codes_.data();
    out.view_.codes = codes_out;
    if (from.bits > 8) {
        return fail(Problem{.code = Code::tensor_dtype,
                            .what = "codes have more than 8 bits",
                            .tensor = from.field->tensor,
                            .found = std::string(name(from.source.dtype))});
    }
    copy.extract(from.bytes(), from.expert(request.expert), request.rows, codes_out);
    int64_t add = from.field->stored_bias_word ? 0 : from.field->stored_bias;
    auto mask = static_cast<uint8_t>((1u << from.bits) - 1);
    if (add) {
        for (size_t i = 0; i < n; ++i) codes_out[i] = static_cast<uint8_t>(codes_out[i] + add) & mask;
    }
    if (!spec.is_integer()) return {};
    int32_t origin = spec.code_origin();
    if (from.encoding == MORTISE_ENCODING_OFFSET) origin -= 1 << (from.bits - 1);
    if (origin) {
        for (size_t i = 0; i < n; ++i) codes_out[i] = static_cast<uint8_t>(codes_out[i] + origin) & mask;
    }
    if (from.bits <= spec.bits) return {};
    uint8_t highest = 0;
    for (size_t i = 0; i < n; ++i) highest = std::max(highest, codes_out[i]);
    if (highest < 1u << spec.bits) return {};
    size_t at = static_cast<size_t>(
        std::ranges::find_if(out.codes_, [&](uint8_t code) { return code >= 1u << spec.bits; }) -
        out.codes_.begin());
    return fail(Problem{.code = Code::value_range,
                        .what = "code is out of range",
                        .tensor = from.field->tensor,
                        .expected = fmt::format("{} bits", spec.bits),
                        .found = fmt::format("row {}, column {}", request.rows[at / options.columns],
                                             options.column0 + at % options.columns)});
}

void PartReader::Rep::fill(const ScaleMap& map, const TileRequest& request, Tile& out,
                           std::vector<float>& to) const {
    to.resize(request.rows.size() * grouping.count);
    map.fill(request.expert, request.rows, out.raw_, out.floats_, to.data());
}

void PartReader::Rep::read_scales(const TileRequest& request, Tile& out) const {
    out.view_.scale = nullptr;
    if (levels.empty()) return;
    fill(levels.front(), request, out, out.scale_);
    std::vector<float>& s = out.scale_;
    if (levels.front().divides()) {
        for (float& value : s) value = 1.0f / value;
    }
    for (size_t l = 1; l < levels.size(); ++l) {
        fill(levels[l], request, out, out.other_);
        for (size_t i = 0; i < s.size(); ++i) {
            s[i] = levels[l].divides() ? s[i] / out.other_[i] : s[i] * out.other_[i];
        }
    }
    if (spec.scale_addend != 0) {
        auto addition = static_cast<float>(spec.scale_addend);
        for (float& value : s) value += addition;
    }
    out.view_.scale = s.data();
}

void PartReader::Rep::read_offsets(const TileRequest& request, Tile& out) const {
    out.view_.zero = out.view_.addend = nullptr;
    out.view_.zero_constant = zero_constant;
    if (!zero.empty()) {
        fill(zero.front(), request, out, out.zero_);
        auto origin = static_cast<float>(spec.code_origin());
        for (float& value : out.zero_) value += origin;
        out.view_.zero = out.zero_.data();
    }
    if (addend.empty()) return;
    fill(addend.front(), request, out, out.addend_);
    if (addend.size() > 1) {
        fill(addend.back(), request, out, out.other_);
        for (size_t i = 0; i < out.addend_.size(); ++i) out.addend_[i] *= out.other_[i];
    }
    if (spec.addend_sign < 0) {
        for (float& value : out.addend_) value = -value;
    }
    out.view_.addend = out.addend_.data();
}

Status PartReader::Rep::read(const TileRequest& request, const BoundField& from, const Copier& copy,
                             Tile& out) const {
    for (uint64_t row : request.rows) MORTISE_INVARIANT(row < spec.extent.rows);
    MORTISE_INVARIANT(request.expert < spec.extent.experts);
    mortise_tile& view = out.view_;
    view = {};
    view.head = {sizeof view, MORTISE_ABI_MINOR};
    view.spec = &abi.abi();
    view.expert = request.tile_expert;
    view.row = request.tile_row;
    view.rows = request.rows.size();
    view.columns = options.columns;
    view.groups = static_cast<uint32_t>(grouping.count);
    view.group_size = grouping.size;
    view.phase = grouping.phase;
    view.group_of_column = group_of_column.empty() ? nullptr : group_of_column.data();
    view.table = table.empty() ? nullptr : table.data();
    view.cast_scale = cast_scale != 0 ? &cast_scale : nullptr;
    if (spec.is_plain()) return read_plain(request, from, copy, out);
    read_scales(request, out);
    read_offsets(request, out);
    return read_codes(request, from, copy, out);
}

Status PartReader::read(const TileRequest& request, Tile& out) const {
    MORTISE_INVARIANT(rep_->copier != nullptr);
    return rep_->read(request, rep_->codes, *rep_->copier, out);
}

Status PartReader::read(const TileRequest& request, const FieldBytes& codes, Tile& out) const {
    const Field& field = *rep_->spec.find(MORTISE_ROLE_CODES);
    MORTISE_TRY(BoundField bound, BoundField::bind(field, codes));
    Copier copier = bound.copier(rep_->options.column0, rep_->options.columns);
    return rep_->read(request, bound, copier, out);
}

uint64_t PartReader::groups() const { return rep_->grouping.count; }
uint64_t PartReader::group_size() const { return rep_->grouping.size; }
bool PartReader::indexed() const { return rep_->grouping.indexed; }

uint64_t PartReader::tile_bytes(uint64_t rows) const {
    uint64_t arrays = rep_->levels.empty() ? 0 : 4;  // scale, zero or addend, and two at work
    uint64_t per_code = rep_->spec.is_plain() ? 4 : 1;
    return rows * (rep_->options.columns * per_code + rep_->grouping.count * arrays * 4);
}

PartReader::PartReader(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
PartReader::PartReader(PartReader&&) noexcept = default;
PartReader& PartReader::operator=(PartReader&&) noexcept = default;
PartReader::~PartReader() = default;

}  // namespace mortise::quant
