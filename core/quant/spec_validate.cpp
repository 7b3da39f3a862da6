#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/checked.h"
#include "base/codes.h"
#include "quant/spec.h"

namespace mortise::quant {
namespace {

constexpr uint32_t all_flags = 255;

struct Checker {
    const QuantSpec& spec;
    Problems problems;

    void bad(std::string what, std::string tensor = {}, std::string found = {}, std::string expected = {}) {
        problems.add(Problem{.code = Code::plugin_contract,
                             .what = std::move(what),
                             .tensor = std::move(tensor),
                             .expected = std::move(expected),
                             .found = std::move(found)});
    }
    void extent(const Extent& e, const std::string& what, const std::string& tensor) {
        auto all = (Checked(e.experts) * e.rows * e.columns * 64).get();
        if (e.experts == 0 || e.rows == 0 || e.columns == 0 || !all) {
            bad(what + ": extents must be positive and countable", tensor,
                fmt::format("[{},{},{}]", e.experts, e.rows, e.columns));
        }
    }
    void encoding(uint32_t encoding, uint32_t bits, const std::string& what, const std::string& tensor) {
        if (encoding > MORTISE_ENCODING_LOOKUP)
            return bad(what + ": unknown encoding", tensor, fmt::format("{}", encoding));
        uint32_t fixed = encoding_bits(encoding);
        if (bits > 64 ||
            (fixed && bits && bits != fixed && !(encoding == MORTISE_ENCODING_E2M1 && bits == 8))) {
            bad(what + ": bits do not fit the encoding", tensor, fmt::format("{}", bits));
        }
    }
    void field(const Field& f);
    void layout(const Field& f);
    void level(const Level& l, const std::string& what);
    void offset();
    void codes();
    void table();
    void activation();
    void input();
};

void Checker::layout(const Field& f) {
    if (f.layout.planes.size() > MORTISE_MAX_PLANES) bad("layout: too many planes", f.tensor);
    uint32_t total = 0;
    for (const Plane& plane : f.layout.planes) {
        total += plane.bits;
        if (plane.terms.size() > MORTISE_MAX_TERMS) bad("layout: too many terms", f.tensor);
        for (const Term& term : plane.terms) {
            bool known = term.source >= MORTISE_SOURCE_ROW && term.source <= MORTISE_SOURCE_FLAT;
            if (!known || term.div == 0) {
                bad("layout: unknown source or a division by zero", f.tensor,
                    fmt::format("source {}, div {}", term.source, term.div));
            }
        }
    }
    if (!f.layout.dense() && f.bits && total != f.bits) {
        bad("layout: planes do not hold the bits of an element", f.tensor, fmt::format("{}", total),
            fmt::format("{}", f.bits));
    }
}

void Checker::field(const Field& f) {
    std::string what = fmt::format("field {}", role_name(f.role));
    if (f.role == MORTISE_ROLE_NONE || f.role > MORTISE_ROLE_SCALE_TABLE) {
        return bad("unknown role", f.tensor, fmt::format("{}", f.role));
    }
    if (f.tensor.empty()) bad(what + " names no tensor");
    if (f.dtypes.empty()) bad(what + " accepts no dtype", f.tensor);
    if (f.shapes.empty()) bad(what + " accepts no shape", f.tensor);
    if (f.flags & ~all_flags) bad(what + ": unknown flag", f.tensor, fmt::format("{:#x}", f.flags));
    bool dropped = f.role == MORTISE_ROLE_UNUSED || f.role == MORTISE_ROLE_SHAPE;
    if (f.role == MORTISE_ROLE_UNUSED && f.drop_rule.empty()) bad(what + ": no rule says why", f.tensor);
    extent(f.extent, what, f.tensor);
    encoding(f.encoding, f.bits, what, f.tensor);
    bool table = f.role == MORTISE_ROLE_CODES || f.role == MORTISE_ROLE_SCALE;
    if (f.encoding == MORTISE_ENCODING_LOOKUP && !table) bad(what + " cannot be looked up", f.tensor);
    if (f.stored_bias_word && (f.bits == 0 || f.stored_bias_word > 64 || f.stored_bias_word % f.bits)) {
        bad(what + ": fields do not fill the biased word", f.tensor, fmt::format("{}", f.stored_bias_word));
    }
    if (!dropped) layout(f);
}

// A level and its field must agree on how many elements there are.
void Checker::level(const Level& l, const std::string& what) {
    if (l.role == MORTISE_ROLE_NONE) {
        if (!std::isfinite(l.constant) || l.constant == 0) bad(what + ": constant is not usable");
        return;
    }
    const Field* f = spec.find(l.role);
    if (!f) return bad(what + " has no field", {}, std::string(role_name(l.role)));
    const Extent& e = spec.extent;
    uint64_t rows = l.row_group ? divide_up(e.rows, l.row_group) : 1;
    uint64_t columns = l.column_group ? divide_up(e.columns, l.column_group) : 1;
    if (!l.row_splits.empty()) {
        rows = l.row_splits.size();
        for (size_t i = 0; i < rows; ++i) {
            if (l.row_splits[i] <= (i ? l.row_splits[i - 1] : 0))
                bad(what + ": row splits do not ascend", f->tensor);
        }
        if (l.row_splits.back() != e.rows) bad(what + ": row splits do not end at the last row", f->tensor);
    }
    if (l.flat) {
        if (!l.column_group) return bad(what + ": flat needs a group", f->tensor);
        if (spec.indexed()) bad(what + ": flat and a column map exclude each other", f->tensor);
        rows = 1;
        columns = divide_up(e.rows * e.columns, l.column_group);
    }
    bool experts = f->extent.experts == 1 || f->extent.experts == e.experts;
    if (f->extent.rows != rows || f->extent.columns != columns || !experts) {
        bad(what + ": extent of the field contradicts the index map", f->tensor,
            fmt::format("[{},{},{}]", f->extent.experts, f->extent.rows, f->extent.columns),
            fmt::format("[1 or {},{},{}]", e.experts, rows, columns));
    }
}

void Checker::offset() {
    if (spec.offset == Offset::zero_point || spec.offset == Offset::addend) {
        uint32_t want = spec.offset == Offset::addend ? MORTISE_ROLE_ADDEND : MORTISE_ROLE_ZERO_POINT;
        if (spec.zero_map.role != want) {
            bad("offset: zero_map names another role", {}, std::string(role_name(spec.zero_map.role)));
        } else {
            level(spec.zero_map, "zero_map");
        }
        if (spec.addend_scale.role != MORTISE_ROLE_NONE) level(spec.addend_scale, "addend_scale");
    }
    if (spec.addend_sign != 1 && spec.addend_sign != -1) bad("addend_sign is neither 1 nor -1");
    if (!std::isfinite(spec.offset_constant) || !std::isfinite(spec.scale_addend))
        bad("a constant is not finite");
    if (!spec.indexed()) return;
    uint64_t group = 0;  // one map serves all levels: their groups must be the same
    for (const Level& l : spec.levels) {
        if (l.role == MORTISE_ROLE_NONE || !l.column_group) continue;
        if (group && group != l.column_group) bad("levels with a column map have different groups");
        group = l.column_group;
    }
    bool mapped = spec.offset == Offset::zero_point || spec.offset == Offset::addend;
    if (mapped && group && spec.zero_map.column_group && spec.zero_map.column_group != group) {
        bad("zero points with a column map have another group than the scales");
    }
}

void Checker::codes() {
    extent(spec.extent, "spec", {});
    encoding(spec.encoding, spec.bits, "spec", {});
    const Field* f = spec.find(MORTISE_ROLE_CODES);
    if (!f) return bad("no field holds the codes");
    if (f->extent != spec.extent) bad("extent of the codes is not the extent of the spec", f->tensor);
    table();
    const Field* scale = spec.find(MORTISE_ROLE_SCALE);
    if (scale && scale->encoding == MORTISE_ENCODING_LOOKUP && !spec.find(MORTISE_ROLE_SCALE_TABLE)) {
        bad("lookup scales without a table", scale->tensor);
    }
    bool counted = spec.is_integer() || spec.encoding == MORTISE_ENCODING_LOOKUP;
    if (counted && (spec.bits == 0 || spec.bits > 8))
        bad("codes have 1 to 8 bits", f->tensor, fmt::format("{}", spec.bits));
    bool wide = encoding_bits(spec.encoding) > 8 || spec.encoding == MORTISE_ENCODING_AS_DTYPE;
    if (wide && !spec.is_plain()) bad("plain weights take no scale and no offset", f->tensor);
    if (spec.encoding == MORTISE_ENCODING_E8M0) bad("codes cannot be exponents", f->tensor);
    if (spec.levels.size() > 3) bad("more than three scale levels");
}

// Lookup codes have one table: a field, or constants of the dialect.
void Checker::table() {
    bool lookup = spec.encoding == MORTISE_ENCODING_LOOKUP, field = spec.find(MORTISE_ROLE_TABLE) != nullptr;
    if (lookup && !field && spec.table.empty()) bad("lookup codes without a table");
    if (spec.table.empty()) return;
    if (!lookup || field) bad("a constant table beside another meaning of the codes");
    if (spec.bits <= 8 && spec.table.size() != size_t{1} << spec.bits) {
        bad("the constant table does not have a value for each code", {},
            fmt::format("{}", spec.table.size()));
    }
    for (float value : spec.table) {
        if (!std::isfinite(value)) return bad("a value of the constant table is not finite");
    }
}

void Checker::activation() {
    const Activation& a = spec.activation;
    if (a.granularity == MORTISE_ACTIVATION_NONE) return;
    if (a.granularity > MORTISE_ACTIVATION_GROUP) bad("activation: unknown granularity");
    if (a.exponent_rule > MORTISE_EXPONENT_BUMP) bad("activation: unknown exponent rule");
    if (a.second_level > 2) bad("activation: unknown second level");
    bool code = a.encoding == MORTISE_ENCODING_TWOS ||
                (a.encoding >= MORTISE_ENCODING_E2M1 && a.encoding <= MORTISE_ENCODING_E5M2FNUZ);
    if (!code)
        bad("activation: inputs cannot be quantized to this", {}, std::string(encoding_name(a.encoding)));
    if (a.encoding == MORTISE_ENCODING_TWOS && (a.bits < 2 || a.bits > 8))
        bad("activation: integer inputs have 2 to 8 bits");
    bool scale = a.scale_encoding >= MORTISE_ENCODING_E4M3 && a.scale_encoding <= MORTISE_ENCODING_F32;
    if (!scale) bad("activation: unknown encoding of the scale");
    if (a.granularity == MORTISE_ACTIVATION_GROUP && a.group == 0) bad("activation: group of no columns");
    if (a.dynamic && !(a.divisor > 0)) bad("activation: divisor must be positive");
    if (!(a.amax_ceiling >= 0) || (a.amax_ceiling > 0 && !a.dynamic))
        bad("activation: ceiling of amax is not usable");
    if (!a.dynamic && !spec.find(MORTISE_ROLE_INPUT_SCALE)) bad("activation: static without an input scale");
    if (a.second_level && !spec.find(MORTISE_ROLE_INPUT_SCALE2))
        bad("activation: second level without its field");
    if (a.asymmetric && !a.dynamic && !spec.find(MORTISE_ROLE_INPUT_ZERO_POINT)) {
        bad("activation: static and asymmetric without a zero point");
    }
}

void Checker::input() {
    if (spec.rotation_block && spec.extent.columns % spec.rotation_block) {
        bad("rotation does not divide the columns", {}, fmt::format("{}", spec.rotation_block));
    }
    bool power = (spec.rotation_block & (spec.rotation_block - 1)) == 0;
    if (spec.rotation_block && !power && !spec.find(MORTISE_ROLE_ROTATION)) {
        bad("a rotation whose size is no power of two needs its matrix");
    }
    if (spec.has_cast && !spec.find(MORTISE_ROLE_CAST_SCALE)) bad("execution cast without its scale");
    bool small =
        spec.cast_encoding >= MORTISE_ENCODING_E2M1 && spec.cast_encoding <= MORTISE_ENCODING_E5M2FNUZ;
    if (spec.has_cast && !small) bad("execution cast to an encoding that is no small float");
    if (!spec.find(MORTISE_ROLE_LOW_RANK_A) != !spec.find(MORTISE_ROLE_LOW_RANK_B))
        bad("half of a low-rank term");
}

}  // namespace

Status validate(const QuantSpec& spec) {
    Checker checker{spec, {}};
    std::set<uint32_t> seen;
    for (const Field& field : spec.fields) {
        checker.field(field);
        bool single = field.role != MORTISE_ROLE_UNUSED;
        if (single && !seen.insert(field.role).second) checker.bad("role given twice", field.tensor);
    }
    checker.codes();
    if (!checker.problems.empty()) return std::move(checker.problems).status();
    for (size_t i = 0; i < spec.levels.size(); ++i)
        checker.level(spec.levels[i], fmt::format("levels[{}]", i));
    checker.offset();
    checker.activation();
    checker.input();
    return std::move(checker.problems).status();
}

}  // namespace mortise::quant
