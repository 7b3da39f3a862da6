// Writing the weights of one spec as another, without a recipe: what fits stays, and what was written is
// decoded again and compared.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/codes.h"
#include "quant/activation.h"
#include "quant/decode.h"
#include "quant/module_writer.h"

namespace mortise::quant {
namespace {

constexpr uint64_t tile_elements = uint64_t{1} << 18;

// Index maps are the same when they pick the same element for every row and column.
bool same_map(const Level& a, const Level& b, const Extent& extent) {
    auto rows = [&](const Level& l) { return l.row_group >= extent.rows ? 0 : l.row_group; };
    auto columns = [&](const Level& l) { return l.column_group >= extent.columns ? 0 : l.column_group; };
    return a.flat == b.flat && a.row_splits == b.row_splits && rows(a) == rows(b) && columns(a) == columns(b);
}

const Level* whole_level(const QuantSpec& spec) {
    for (const Level& level : spec.levels) {
        bool cut = level.row_group || level.column_group || level.flat || !level.row_splits.empty();
        if (level.role && !cut) return &level;
    }
    return nullptr;
}

struct Pair {
    const Level* from;
    const Level* to;
};

class Transcriber {
  public:
    Transcriber(ModuleWriter::Rep& rep, const QuantSpec& from, const Sources& bytes,
                const ModuleWriter::Origin& origin)
        : rep_(rep), from_(from), to_(rep.spec), bytes_(bytes), origin_(origin) {
        step_ = std::max<uint64_t>(1, tile_elements / to_.extent.columns);
    }
    Status run();

  private:
    Status check() const;
    Status column_map();
    bool pair_levels();
    Status copy_field(const Level& from, const Level& to);
    Status for_each_tile(const PartReader& reader, const std::function<Status(const mortise_tile&)>& use);
    Result<float> own_coarse() const;
    Status choose_coarse();
    Status coarse();
    void scales(const mortise_tile& tile);
    void offsets(const mortise_tile& tile);
    void elements(const Level& level, const mortise_tile& tile,
                  const std::function<double(uint64_t, uint64_t)>& value);
    void codes(const mortise_tile& tile);
    float zero_of(const mortise_tile& tile, uint64_t r, uint64_t g) const {
        return tile.zero ? tile.zero[r * tile.groups + g] : tile.zero_constant;
    }
    float scale_of(const mortise_tile& tile, uint64_t r, uint64_t g) const {
        return tile.scale ? tile.scale[r * tile.groups + g] : 1.0f;
    }
    static uint64_t group_of(const mortise_tile& tile, uint64_t column) {
        return tile.group_of_column ? tile.group_of_column[column] : (column + tile.phase) / tile.group_size;
    }
    double target_zero(const mortise_tile& tile, uint64_t r, uint64_t g) const;
    double shift() const;
    uint8_t by_value(float value, double zero) const;

    ModuleWriter::Rep& rep_;
    const QuantSpec& from_;
    const QuantSpec& to_;
    const Sources& bytes_;
    const ModuleWriter::Origin& origin_;
    uint64_t step_ = 1;
    std::vector<uint64_t> rows_, source_rows_;
    std::vector<Pair> pairs_;
    bool paired_ = false;  // every level of the target is a level of the source
    float coarse_ = 1;
};

Status Transcriber::check() const {
    const Extent &a = from_.extent, &b = to_.extent;
    bool rows = origin_.rows.empty() ? a.rows == b.rows : origin_.rows.size() == b.rows;
    MORTISE_INVARIANT(rows && a.columns == b.columns && origin_.to_expert < b.experts &&
                      origin_.from_expert < a.experts);
    if (from_.is_plain() && !to_.is_plain()) {
        return fail(Problem{.code = Code::lossy,
                            .what = "float weights need a recipe to become codes",
                            .expected = to_.describe(),
                            .found = from_.describe(),
                            .fix = "requantize"});
    }
    return {};
}

Status Transcriber::column_map() {
    const Slot* slot = rep_.slot(MORTISE_ROLE_G_IDX);
    if (!slot) return {};
    std::vector<double> index(to_.extent.columns);
    for (uint64_t c = 0; c < index.size(); ++c) index[c] = static_cast<double>(c / to_.column_group());
    if (const Field* field = from_.find(MORTISE_ROLE_G_IDX); field && bytes_[MORTISE_ROLE_G_IDX].present()) {
        MORTISE_TRY(std::vector<int64_t> own, read_index(*field, bytes_[MORTISE_ROLE_G_IDX]));
        std::ranges::copy(own, index.begin());
    }
    std::vector<uint64_t> row{0};
    return rep_.write(*slot, 0, row, 0, index.size(), index);
}

// Finds for each level of the target the level of the source with the same map.
bool Transcriber::pair_levels() {
    if (!origin_.rows.empty() || from_.scale_addend != to_.scale_addend) return false;
    std::vector<const Level*> left, constants;
    for (const Level& level : from_.levels) (level.role ? left : constants).push_back(&level);
    size_t constant = 0;
    for (const Level& level : to_.levels) {
        if (level.role == MORTISE_ROLE_NONE) {
            if (constant == constants.size() || *constants[constant++] != level) return false;
            continue;
        }
        auto at = std::ranges::find_if(left, [&](const Level* l) { return same_map(*l, level, to_.extent); });
        if (at == left.end()) return false;
        pairs_.push_back({*at, &level});
        left.erase(at);
    }
    return left.empty() && constant == constants.size();
}

Status Transcriber::copy_field(const Level& from, const Level& to) {
    const Slot& slot = *rep_.slot(to.role);
    const Field& field = *from_.find(from.role);
    uint64_t n = field.extent.rows * field.extent.columns;
    std::vector<double> values(n, field.default_value);
    if (bytes_[from.role].present()) {
        MORTISE_TRY(BoundField bound, BoundField::bind(field, bytes_[from.role]));
        std::vector<uint64_t> rows = all_rows(field.extent.rows), raw(n);
        bound.copier(0, field.extent.columns)
            .extract(bound.bytes(), bound.expert(origin_.from_expert), rows, raw.data());
        bound.unbias(raw);
        for (size_t i = 0; i < n; ++i) values[i] = element_value(bound.encoding, bound.bits, raw[i]);
    }
    if (from.divide != to.divide) {
        for (double& value : values) value = 1.0f / static_cast<float>(value);
    }
    const Extent& extent = slot.field->extent;
    std::vector<uint64_t> rows = all_rows(extent.rows);
    rep_.write_clamped(slot, extent.experts == 1 ? 0 : origin_.to_expert, rows, 0, extent.columns, values);
    return {};
}

Status Transcriber::for_each_tile(const PartReader& reader,
                                  const std::function<Status(const mortise_tile&)>& use) {
    Tile tile;
    for (uint64_t row = 0; row < to_.extent.rows; row += step_) {
        rows_.clear();
        source_rows_.clear();
        for (uint64_t r = row; r < std::min(to_.extent.rows, row + step_); ++r) {
            rows_.push_back(r);
            source_rows_.push_back(origin_.rows.empty() ? r : origin_.rows[r]);
        }
        MORTISE_CHECK(
            reader.read({.rows = source_rows_, .expert = origin_.from_expert, .tile_row = row}, tile));
        MORTISE_CHECK(use(tile.view()));
    }
    return {};
}

// Writes the elements of a field whose first row lies in this tile; value(tile row, source group).
void Transcriber::elements(const Level& level, const mortise_tile& tile,
                           const std::function<double(uint64_t, uint64_t)>& value) {
    const Slot& slot = *rep_.slot(level.role);
    const Extent& extent = slot.field->extent;
    bool by_group = tile.group_of_column && level.column_group && tile.groups == extent.columns;
    std::vector<double> row_values(extent.columns);
    for (uint64_t r = 0; r < tile.rows; ++r) {
        uint64_t row = tile.row + r;
        if (row > 0 && level_row(level, row) == level_row(level, row - 1)) continue;
        for (uint64_t c = 0; c < extent.columns; ++c) {
            row_values[c] = value(r, by_group ? c : group_of(tile, c * level.column_group));
        }
        std::vector<uint64_t> at{level_row(level, row)};
        rep_.write_clamped(slot, extent.experts == 1 ? 0 : origin_.to_expert, at, 0, extent.columns,
                           row_values);
    }
}

// What the source multiplies all its weights with besides a finer level; 0 = it has no such value.
Result<float> Transcriber::own_coarse() const {
    const Level* level = whole_level(from_);
    if (!level || from_.levels.size() < 2 || !bytes_[level->role].present()) return 0.0f;
    std::vector<uint64_t> row{0};
    MORTISE_TRY(auto value,
                read_floats(*from_.find(level->role), bytes_[level->role], origin_.from_expert, row, 0, 1));
    return level->divide ? 1.0f / value[0] : value[0];
}

// A power of two, so that the first level stays exact where it can.
Status Transcriber::choose_coarse() {
    float largest = 0;
    MORTISE_TRY(PartReader reader, PartReader::make(from_, bytes_, {}));
    MORTISE_CHECK(for_each_tile(reader, [&](const mortise_tile& tile) -> Status {
        for (uint64_t i = 0; tile.scale && i < tile.rows * tile.groups; ++i) {
            largest = std::max(largest, std::fabs(tile.scale[i]));
        }
        return {};
    }));
    int exponent = 0;
    std::frexp(largest, &exponent);
    coarse_ =
        std::ldexp(1.0f, std::clamp(exponent - 9, -126, 126));  // the largest first level is in [256, 512)
    if (largest / coarse_ > 448) coarse_ *= 2;
    return {};
}

// The second level of the target: the source's own, or one that is made.
Status Transcriber::coarse() {
    const Level* whole = whole_level(to_);
    if (to_.levels.size() < 2) return {};
    if (!whole || to_.levels.size() > 2 || to_.scale_addend != 0) {
        return fail(Problem{.code = Code::lossy,
                            .what = "the scale levels cannot be made from one effective scale",
                            .found = to_.describe()});
    }
    MORTISE_TRY(const float own, own_coarse());
    if (own == 0) {
        MORTISE_CHECK(choose_coarse());
    } else {
        coarse_ = own;
    }
    const Slot& slot = *rep_.slot(whole->role);
    std::vector<uint64_t> row{0};
    std::vector<double> value{whole->divide ? 1.0f / coarse_ : coarse_};
    rep_.write_clamped(slot, slot.field->extent.experts == 1 ? 0 : origin_.to_expert, row, 0, 1, value);
    return {};
}

void Transcriber::scales(const mortise_tile& tile) {
    if (paired_) return;
    for (const Level& level : to_.levels) {
        bool whole = to_.levels.size() > 1 && &level == whole_level(to_);
        if (level.role == MORTISE_ROLE_NONE || whole) continue;
        elements(level, tile, [&](uint64_t r, uint64_t g) {
            float value = scale_of(tile, r, g) / coarse_;
            return level.divide ? 1.0f / value : value;
        });
    }
}

// How far canonical codes move: signed kinds of another width are centred elsewhere.
double Transcriber::shift() const {
    if (!from_.is_integer() || !to_.is_integer() || from_.bits == to_.bits) return 0;
    return static_cast<double>(to_.code_origin()) - from_.code_origin();
}

// Zero point, in the origin of the target's codes, that group g of tile row r gets.
double Transcriber::target_zero(const mortise_tile& tile, uint64_t r, uint64_t g) const {
    if (to_.offset == Offset::zero_point) {
        double zero = zero_of(tile, r, g) + shift();
        if (tile.addend) zero -= std::nearbyint(tile.addend[r * tile.groups + g] / scale_of(tile, r, g));
        double span = std::ldexp(1.0, static_cast<int>(to_.bits));
        return std::clamp(zero, 0.0, span - 1);
    }
    return to_.code_origin() + (to_.offset == Offset::constant ? to_.offset_constant : 0);
}

void Transcriber::offsets(const mortise_tile& tile) {
    bool two = to_.addend_scale.role != MORTISE_ROLE_NONE;  // copied as they are, see run()
    if (to_.offset == Offset::zero_point && rep_.slot(MORTISE_ROLE_ZERO_POINT)) {
        elements(to_.zero_map, tile,
                 [&](uint64_t r, uint64_t g) { return target_zero(tile, r, g) - to_.code_origin(); });
    }
    if (to_.offset != Offset::addend || two) return;
    elements(to_.zero_map, tile, [&](uint64_t r, uint64_t g) {
        float moved = static_cast<float>(target_zero(tile, r, g) - shift()) - zero_of(tile, r, g);
        float addend = moved * scale_of(tile, r, g);
        if (tile.addend)
            addend =
                moved == 0 ? tile.addend[r * tile.groups + g] : addend + tile.addend[r * tile.groups + g];
        return to_.addend_sign < 0 ? -addend : addend;
    });
}

uint8_t Transcriber::by_value(float value, double zero) const {
    if (!to_.is_integer()) return encode_element(to_.encoding, value, false);
    double code = std::nearbyint(value + zero);
    return static_cast<uint8_t>(std::clamp(code, 0.0, std::ldexp(1.0, static_cast<int>(to_.bits)) - 1));
}

void Transcriber::codes(const mortise_tile& tile) {
    uint64_t n = tile.rows * tile.columns;
    std::vector<uint8_t> out(tile.codes, tile.codes + n);
    bool integers = from_.is_integer() && to_.is_integer();
    bool same = from_.encoding == to_.encoding && !integers;
    if (!same) {
        const float* table = from_.is_integer() ? nullptr
                             : tile.table       ? tile.table
                                                : code_values(from_.encoding);
        double most = std::ldexp(1.0, static_cast<int>(to_.bits)) - 1;
        for (uint64_t r = 0; r < tile.rows; ++r) {
            for (uint64_t c = 0; c < tile.columns; ++c) {
                uint64_t at = r * tile.columns + c, g = group_of(tile, c);
                double zero = target_zero(tile, r, g);
                float own_zero = zero_of(tile, r, g);
                if (integers) {
                    double move = to_.offset == Offset::addend || tile.addend ? shift() : zero - own_zero;
                    out[at] = static_cast<uint8_t>(std::clamp(out[at] + move, 0.0, most));
                } else {
                    out[at] =
                        by_value((table ? table[out[at]] : static_cast<float>(out[at])) - own_zero, zero);
                }
            }
        }
    }
    rep_.write_codes(origin_.to_expert, rows_, out);
}

Status Transcriber::run() {
    MORTISE_CHECK(check());
    MORTISE_CHECK(rep_.copy_companions(from_, bytes_, origin_));
    MORTISE_TRY(PartReader reader, PartReader::make(from_, bytes_, {}));
    if (to_.is_plain()) {
        std::vector<float> weights;
        return for_each_tile(reader, [&](const mortise_tile& tile) -> Status {
            weights.resize(tile.rows * tile.columns);
            decode_tile(tile, weights.data());
            rep_.write_plain(origin_.to_expert, rows_, weights);
            return {};
        });
    }
    MORTISE_CHECK(column_map());
    paired_ = pair_levels();
    if (paired_) {
        for (const Pair& pair : pairs_) MORTISE_CHECK(copy_field(*pair.from, *pair.to));
    } else {
        MORTISE_CHECK(coarse());
    }
    if (to_.addend_scale.role != MORTISE_ROLE_NONE) {
        bool both = from_.offset == Offset::addend && from_.addend_scale.role != MORTISE_ROLE_NONE &&
                    origin_.rows.empty() && from_.addend_sign == to_.addend_sign &&
                    same_map(from_.zero_map, to_.zero_map, to_.extent) &&
                    same_map(from_.addend_scale, to_.addend_scale, to_.extent);
        if (!both) {
            return fail(Problem{.code = Code::lossy,
                                .what = "an addend of two levels cannot be made from one",
                                .found = from_.describe()});
        }
        MORTISE_CHECK(copy_field(from_.zero_map, to_.zero_map));
        MORTISE_CHECK(copy_field(from_.addend_scale, to_.addend_scale));
    }
    return for_each_tile(reader, [&](const mortise_tile& tile) -> Status {
        scales(tile);
        offsets(tile);
        codes(tile);
        return {};
    });
}

// Decodes both sides and counts the differences.
Result<Change> compare(const QuantSpec& from, const Sources& from_bytes, const QuantSpec& to,
                       const Sources& to_bytes, const ModuleWriter::Origin& origin) {
    MORTISE_TRY(PartReader was, PartReader::make(from, from_bytes, {}));
    MORTISE_TRY(PartReader is, PartReader::make(to, to_bytes, {}));
    uint64_t columns = to.extent.columns, step = std::max<uint64_t>(1, tile_elements / columns);
    Change change;
    Tile left, right;
    std::vector<float> a(step * columns), b(a.size());
    std::vector<uint64_t> rows, source;
    for (uint64_t row = 0; row < to.extent.rows; row += step) {
        rows.clear();
        source.clear();
        for (uint64_t r = row; r < std::min(to.extent.rows, row + step); ++r) {
            rows.push_back(r);
            source.push_back(origin.rows.empty() ? r : origin.rows[r]);
        }
        MORTISE_CHECK(was.read({.rows = source, .expert = origin.from_expert}, left));
        MORTISE_CHECK(is.read({.rows = rows, .expert = origin.to_expert}, right));
        decode_tile(left.view(), a.data());
        decode_tile(right.view(), b.data());
        for (uint64_t i = 0; i < rows.size() * columns; ++i) change.add(a[i], b[i]);
    }
    return change;
}

}  // namespace

Result<Change> ModuleWriter::reencode(const QuantSpec& from, const Sources& bytes, const Origin& origin) {
    MORTISE_CHECK(Transcriber(*rep_, from, bytes, origin).run());
    return compare(from, bytes, rep_->spec, sources(), origin);
}

}  // namespace mortise::quant
