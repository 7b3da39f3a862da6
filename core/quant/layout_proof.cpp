#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "base/codes.h"
#include "quant/layout.h"
#include "quant/terms.h"

namespace mortise::quant {
namespace {

__extension__ using Wide = __int128;
constexpr int64_t max_bits = int64_t{1} << 60;  // strides and offsets beyond this are nonsense
constexpr int max_steps = 200000;

std::unexpected<Error> refuse(std::string what, std::string found = {}, std::string expected = {}) {
    return fail(Problem{.code = Code::layout_invalid,
                        .what = std::move(what),
                        .expected = std::move(expected),
                        .found = std::move(found)});
}

std::string_view source_name(uint32_t source) {
    constexpr std::array<std::string_view, 8> names = {"?",      "row",        "column",        "bit",
                                                       "expert", "row stream", "column stream", "flat"};
    return source < names.size() ? names[source] : "?";
}

// A coefficient of an address equation: stride times a value of [low, high].
struct Unknown {
    int64_t stride = 0;  // > 0
    int64_t low = 0, high = 0;
};

// Looks for values with sum of stride * value == target, other than all zeros. Goes from the coarsest stride
// down: what finer strides can still reach leaves one or two values per step when strides are nested.
class Equation {
  public:
    explicit Equation(std::vector<Unknown> unknowns) : unknowns_(std::move(unknowns)) {
        std::ranges::sort(unknowns_, std::greater{}, &Unknown::stride);
        size_t n = unknowns_.size();
        low_.assign(n + 1, 0);
        high_.assign(n + 1, 0);
        divisor_.assign(n + 1, 0);
        for (size_t i = n; i-- > 0;) {
            low_[i] = low_[i + 1] + Wide(unknowns_[i].stride) * unknowns_[i].low;
            high_[i] = high_[i + 1] + Wide(unknowns_[i].stride) * unknowns_[i].high;
            divisor_[i] = std::gcd(divisor_[i + 1], unknowns_[i].stride);
        }
    }
    enum class Answer : uint8_t { none, found, unknown };
    Answer solve(Wide target) {
        steps_ = 0;
        bool found = search(0, target, false);
        if (steps_ > max_steps) return Answer::unknown;
        return found ? Answer::found : Answer::none;
    }

  private:
    static Wide floor_div(Wide a, Wide b) { return a / b - (a % b != 0 && a < 0); }
    bool search(size_t i, Wide target, bool any) {
        if (++steps_ > max_steps) return true;
        if (target < low_[i] || target > high_[i]) return false;
        if (i == unknowns_.size()) return any;  // target is 0 here
        if (target % divisor_[i] != 0) return false;
        const Unknown& u = unknowns_[i];
        Wide first = std::max<Wide>(u.low, -floor_div(-(target - high_[i + 1]), u.stride));
        Wide last = std::min<Wide>(u.high, floor_div(target - low_[i + 1], u.stride));
        for (Wide value = first; value <= last; ++value) {
            if (search(i + 1, target - value * u.stride, any || value != 0)) return true;
        }
        return false;
    }

    std::vector<Unknown> unknowns_;
    std::vector<Wide> low_, high_;
    std::vector<int64_t> divisor_;
    int steps_ = 0;
};

// The digits of one source must be a complete mixed radix: each value has digits of its own.
Status check_source(const Plane& plane, uint32_t source, uint64_t values) {
    std::vector<Term> terms;
    for (const Term& term : plane.terms) {
        if (term.source == source && term.div < values && term.mod != 1) terms.push_back(term);
    }
    std::ranges::sort(terms, {}, &Term::div);
    uint64_t next = values > 1 ? 1 : 0;  // where the next digit must begin; 0 = all values are told apart
    for (const Term& term : terms) {
        if (next == 0 || term.div != next) {
            return refuse(fmt::format("digits of source {} have a gap or overlap", source_name(source)),
                          fmt::format("div {}", term.div),
                          next ? fmt::format("div {}", next) : "no further digit");
        }
        bool last = term.mod == 0 || term.mod >= divide_up(values, term.div);
        next = last ? 0 : term.div * term.mod;
    }
    if (next != 0) {
        return refuse(fmt::format("digits of source {} do not reach its last value", source_name(source)),
                      fmt::format("{} values", next), fmt::format("{}", values));
    }
    return {};
}

// Each axis is addressed by exactly one source.
Status check_axes(const Plane& plane, const Extent& extent) {
    std::array<bool, 8> has{};
    for (const Term& term : plane.terms) {
        if (term.source == 0 || term.source >= has.size() || term.div == 0) {
            return refuse("unknown source or a division by zero", fmt::format("source {}", term.source));
        }
        has[term.source] = true;
    }
    auto axis = [&](std::string_view name, uint64_t values,
                    std::initializer_list<uint32_t> sources) -> Status {
        auto count = std::ranges::count_if(sources, [&](uint32_t source) { return has[source]; });
        if (count > 1) return refuse(fmt::format("axis {} is addressed twice", name));
        if (count == 0 && values > 1) return refuse(fmt::format("axis {} is not addressed", name));
        return {};
    };
    MORTISE_CHECK(
        axis("row", extent.rows, {MORTISE_SOURCE_ROW, MORTISE_SOURCE_ROW_STREAM, MORTISE_SOURCE_FLAT}));
    MORTISE_CHECK(axis("column", extent.columns,
                       {MORTISE_SOURCE_COLUMN, MORTISE_SOURCE_COLUMN_STREAM, MORTISE_SOURCE_FLAT}));
    MORTISE_CHECK(axis("bit", plane.bits,
                       {MORTISE_SOURCE_BIT, MORTISE_SOURCE_ROW_STREAM, MORTISE_SOURCE_COLUMN_STREAM}));
    MORTISE_CHECK(axis("expert", extent.experts, {MORTISE_SOURCE_EXPERT}));
    for (uint32_t source = 1; source < has.size(); ++source) {
        if (!has[source]) continue;
        MORTISE_CHECK(check_source(plane, source, source_count(source, extent, plane.bits)));
    }
    return {};
}

// Strides and offset small enough that no sum below can overflow.
Status check_size(const Plane& plane, const Extent& extent) {
    Wide reach = plane.offset < 0 ? -Wide(plane.offset) : Wide(plane.offset);
    for (const Term& term : plane.terms) {
        if (term.div == 0) return refuse("a division by zero");
        if (term.stride == 0 || term.stride > max_bits || term.stride < -max_bits) {
            uint64_t count = digit_count(term, source_count(term.source, extent, plane.bits));
            if (term.stride == 0 && count <= 1) continue;
            return refuse("stride is zero or out of range", fmt::format("{}", term.stride));
        }
        uint64_t count = digit_count(term, source_count(term.source, extent, plane.bits));
        if (count) reach += Wide(count - 1) * (term.stride < 0 ? -Wide(term.stride) : Wide(term.stride));
    }
    if (reach > max_bits) return refuse("addresses are out of range");
    return {};
}

void add_digits(const Plane& plane, const Extent& extent, bool up, bool down,
                std::map<int64_t, Unknown>& sum) {
    for (const Term& term : plane.terms) {
        uint64_t count = digit_count(term, source_count(term.source, extent, plane.bits));
        if (count < 2) continue;
        int64_t most = static_cast<int64_t>(count - 1);
        int64_t stride = term.stride < 0 ? -term.stride : term.stride;
        bool positive = term.stride > 0;
        Unknown& u = sum[stride];
        u.stride = stride;
        if (positive ? up : down) u.high += most;
        if (positive ? down : up) u.low -= most;
    }
}

Status one_to_one(const Plane& plane, const Extent& extent) {
    std::map<int64_t, Unknown> sum;
    std::vector<int64_t> seen;
    for (const Term& term : plane.terms) {
        uint64_t count = digit_count(term, source_count(term.source, extent, plane.bits));
        if (count < 2) continue;
        int64_t stride = term.stride < 0 ? -term.stride : term.stride;
        if (std::ranges::find(seen, stride) != seen.end()) {
            return refuse("two digits share one stride", fmt::format("{} bits", stride));
        }
        seen.push_back(stride);
    }
    add_digits(plane, extent, true, true, sum);
    std::vector<Unknown> unknowns;
    for (const auto& [stride, u] : sum) unknowns.push_back(u);
    switch (Equation(std::move(unknowns)).solve(0)) {
        case Equation::Answer::none: return {};
        case Equation::Answer::found: return refuse("two elements share a bit: strides overlap");
        default: return refuse("strides are too entangled to prove that no two elements share a bit");
    }
}

Status apart(const Plane& a, const Extent& a_extent, const Plane& b, const Extent& b_extent) {
    std::map<int64_t, Unknown> sum;
    add_digits(a, a_extent, true, false, sum);
    add_digits(b, b_extent, false, true, sum);
    std::vector<Unknown> unknowns;
    for (const auto& [stride, u] : sum) unknowns.push_back(u);
    Wide target = Wide(b.offset) - a.offset;
    if (target == 0) return refuse("two planes begin at the same bit");
    switch (Equation(std::move(unknowns)).solve(target)) {
        case Equation::Answer::none: return {};
        case Equation::Answer::found: return refuse("two planes share a bit");
        default: return refuse("planes are too entangled to prove that they share no bit");
    }
}

}  // namespace

Bounds source_bounds(const Plane& plane, uint32_t source, uint64_t values) {
    std::vector<Term> terms;
    for (const Term& term : plane.terms) {
        if (term.source == source && term.div < values) terms.push_back(term);
    }
    if (terms.empty()) return {};
    std::ranges::sort(terms, std::greater{}, &Term::div);
    // Either the last value itself, or its coarser digits kept, one digit lowered and all finer ones free.
    int64_t kept = 0;
    Bounds out{INT64_MAX, INT64_MIN};
    auto widen = [&](int64_t low, int64_t high) {
        out.low = std::min(out.low, low);
        out.high = std::max(out.high, high);
    };
    for (size_t i = 0; i < terms.size(); ++i) {
        uint64_t digit = (values - 1) / terms[i].div;
        if (terms[i].mod) digit %= terms[i].mod;
        if (digit > 0) {
            int64_t lowered = static_cast<int64_t>(digit - 1) * terms[i].stride;
            int64_t low = kept + std::min<int64_t>(0, lowered), high = kept + std::max<int64_t>(0, lowered);
            for (size_t j = i + 1; j < terms.size(); ++j) {
                int64_t full = static_cast<int64_t>(digit_count(terms[j], values) - 1) * terms[j].stride;
                low += std::min<int64_t>(0, full);
                high += std::max<int64_t>(0, full);
            }
            widen(low, high);
        }
        kept += static_cast<int64_t>(digit) * terms[i].stride;
    }
    widen(kept, kept);
    return out;
}

Bounds plane_bounds(const Plane& plane, const Extent& extent) {
    Bounds out{plane.offset, plane.offset};
    for (uint32_t source = MORTISE_SOURCE_ROW; source <= MORTISE_SOURCE_FLAT; ++source) {
        Bounds b = source_bounds(plane, source, source_count(source, extent, plane.bits));
        out.low += b.low;
        out.high += b.high;
    }
    return out;
}

Result<Proof> prove(const Layout& layout, Extent extent, uint32_t bits, uint64_t tensor_bits) {
    auto used = (Checked(extent.experts) * extent.rows * extent.columns * bits).get();
    if (!used || *used == 0 || *used > static_cast<uint64_t>(max_bits))
        return refuse("extent is empty or too large");
    if (*used > tensor_bits) {
        return refuse("tensor is too small for its elements", fmt::format("{} bits", tensor_bits),
                      fmt::format("at least {}", *used));
    }
    Proof proof{.element_bits = *used, .padding_bits = tensor_bits - *used};
    if (layout.dense()) return proof;
    uint32_t total = 0;
    for (const Plane& plane : layout.planes) total += plane.bits;
    if (total != bits)
        return refuse("planes do not hold the bits of an element", fmt::format("{}", total),
                      fmt::format("{}", bits));
    for (const Plane& plane : layout.planes) {
        if (plane.bits == 0) return refuse("plane of no bits");
        MORTISE_CHECK(check_size(plane, extent));
        MORTISE_CHECK(check_axes(plane, extent));
        Bounds b = plane_bounds(plane, extent);
        if (b.low < 0 || static_cast<uint64_t>(b.high) >= tensor_bits) {
            return refuse("layout leaves the tensor", fmt::format("bits {} to {}", b.low, b.high),
                          fmt::format("0 to {}", tensor_bits - 1));
        }
        MORTISE_CHECK(one_to_one(plane, extent));
    }
    for (size_t i = 0; i < layout.planes.size(); ++i) {
        for (size_t j = i + 1; j < layout.planes.size(); ++j) {
            MORTISE_CHECK(apart(layout.planes[i], extent, layout.planes[j], extent));
        }
    }
    return proof;
}

Status prove_disjoint(const Layout& a, Extent a_extent, uint32_t a_bits, const Layout& b, Extent b_extent,
                      uint32_t b_bits) {
    Layout left = explicit_layout(a, a_extent, a_bits), right = explicit_layout(b, b_extent, b_bits);
    for (const Plane& x : left.planes) {
        for (const Plane& y : right.planes) MORTISE_CHECK(apart(x, a_extent, y, b_extent));
    }
    return {};
}

}  // namespace mortise::quant
