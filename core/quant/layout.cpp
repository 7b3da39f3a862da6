#include "quant/layout.h"

#include <algorithm>

#include "quant/terms.h"

namespace mortise::quant {

Layout explicit_layout(const Layout& layout, const Extent& extent, uint32_t bits) {
    if (!layout.dense()) return layout;
    auto width = static_cast<int64_t>(bits);
    auto row = static_cast<int64_t>(extent.columns) * width;
    auto expert = static_cast<int64_t>(extent.rows) * row;
    return {{{.bits = bits,
              .offset = 0,
              .terms = {{MORTISE_SOURCE_EXPERT, 1, 0, expert},
                        {MORTISE_SOURCE_ROW, 1, 0, row},
                        {MORTISE_SOURCE_COLUMN, 1, 0, width},
                        {MORTISE_SOURCE_BIT, 1, 0, 1}}}}};
}

namespace {

// Appends what a FLAT term is in rows and columns; false if a digit begins inside a row.
bool split_term(const Term& term, uint64_t columns, std::vector<Term>& out) {
    uint64_t end = term.mod ? term.div * term.mod : 0;
    if (end && columns % end == 0) {
        out.push_back({MORTISE_SOURCE_COLUMN, term.div, term.mod, term.stride});
        return true;
    }
    if (term.div % columns == 0) {
        out.push_back({MORTISE_SOURCE_ROW, term.div / columns, term.mod, term.stride});
        return true;
    }
    if (columns % term.div) return false;
    uint64_t per_row = columns / term.div;
    if (term.mod && term.mod % per_row) return false;
    out.push_back({MORTISE_SOURCE_COLUMN, term.div, 0, term.stride});
    out.push_back({MORTISE_SOURCE_ROW, 1, term.mod / per_row, term.stride * static_cast<int64_t>(per_row)});
    return true;
}

}  // namespace

bool split_flat(Layout& layout, const Extent& extent) {
    for (Plane& plane : layout.planes) {
        std::vector<Term> terms;
        for (const Term& term : plane.terms) {
            if (term.source != MORTISE_SOURCE_FLAT) {
                terms.push_back(term);
            } else if (!split_term(term, extent.columns, terms)) {
                return false;
            }
        }
        plane.terms = std::move(terms);
    }
    return true;
}

int64_t bit_address(const Layout& layout, Extent extent, uint32_t bits, uint64_t expert, uint64_t row,
                    uint64_t column, uint32_t bit) {
    Layout full = explicit_layout(layout, extent, bits);
    size_t p = 0;
    while (p + 1 < full.planes.size() && bit >= full.planes[p].bits) bit -= full.planes[p++].bits;
    const Plane& plane = full.planes[p];
    int64_t address = plane.offset;
    for (const Term& term : plane.terms) {
        uint64_t source = 0;
        switch (term.source) {
            case MORTISE_SOURCE_ROW: source = row; break;
            case MORTISE_SOURCE_COLUMN: source = column; break;
            case MORTISE_SOURCE_BIT: source = bit; break;
            case MORTISE_SOURCE_EXPERT: source = expert; break;
            case MORTISE_SOURCE_ROW_STREAM: source = row * plane.bits + bit; break;
            case MORTISE_SOURCE_COLUMN_STREAM: source = column * plane.bits + bit; break;
            default: source = row * extent.columns + column; break;
        }
        address += term_value(term, source);
    }
    return address;
}

uint64_t dense_bytes(Extent extent, uint32_t bits) {
    return divide_up(extent.experts * extent.rows * extent.columns * bits, 8);
}

uint64_t Window::bytes() const {
    uint64_t sum = 0;
    for (const ByteRange& range : ranges) sum += range.bytes;
    return sum;
}

namespace {

// What the rows asked for add to the address, over all of them.
Bounds row_bounds(const Plane& plane, uint64_t row0, uint64_t rows) {
    Bounds out{INT64_MAX, INT64_MIN};
    bool stream =
        std::ranges::any_of(plane.terms, [](const Term& t) { return t.source == MORTISE_SOURCE_ROW_STREAM; });
    uint32_t bits = stream ? plane.bits : 1;
    for (uint64_t row = row0; row < row0 + rows; ++row) {
        for (uint32_t bit = 0; bit < bits; ++bit) {
            int64_t sum = 0;
            for (const Term& term : plane.terms) {
                if (term.source == MORTISE_SOURCE_ROW) sum += term_value(term, row);
                if (term.source == MORTISE_SOURCE_ROW_STREAM) sum += term_value(term, row * plane.bits + bit);
            }
            out = {std::min(out.low, sum), std::max(out.high, sum)};
        }
    }
    return out;
}

bool is_column(const Term& term) {
    return term.source == MORTISE_SOURCE_COLUMN || term.source == MORTISE_SOURCE_COLUMN_STREAM;
}

struct Outer {
    Term term;
    uint64_t count = 0;
};

// One plane while its window is made.
struct PlaneWindow {
    Plane plane;
    Bounds inner;              // bits that elements touch, with expert and rows fixed
    Bounds box;                // the same with every digit free: what a piece must hold
    std::vector<Outer> outer;  // column digits that become pieces, coarsest first
};

int64_t byte_floor(int64_t bit) { return bit - ((bit % 8) + 8) % 8; }

PlaneWindow start(const Plane& plane, const Extent& extent, uint64_t expert, uint64_t row0, uint64_t rows) {
    PlaneWindow out{.plane = plane, .inner = row_bounds(plane, row0, rows), .box = {}, .outer = {}};
    std::erase_if(out.plane.terms, [&](const Term& term) {
        if (term.source != MORTISE_SOURCE_EXPERT) return false;
        out.plane.offset += term_value(term, expert);
        return true;
    });
    out.inner.low += out.plane.offset;
    out.inner.high += out.plane.offset;
    out.box = out.inner;
    for (const Term& term : out.plane.terms) {
        if (!is_column(term) && term.source != MORTISE_SOURCE_BIT) continue;
        uint64_t count = digit_count(term, source_count(term.source, extent, plane.bits));
        int64_t full = static_cast<int64_t>(count - 1) * term.stride;
        (full < 0 ? out.box.low : out.box.high) += full;
    }
    for (uint32_t source : {MORTISE_SOURCE_COLUMN, MORTISE_SOURCE_COLUMN_STREAM, MORTISE_SOURCE_BIT}) {
        Bounds b = source_bounds(out.plane, source, source_count(source, extent, plane.bits));
        out.inner.low += b.low;
        out.inner.high += b.high;
    }
    return out;
}

// Makes the coarsest column digits into pieces while that saves at least half of what lies between them.
void choose_outer(PlaneWindow& w, const Extent& extent) {
    if (w.box.low < 0) return;
    while (true) {
        auto at = std::ranges::max_element(w.plane.terms, {}, [&](const Term& t) {
            bool can = is_column(t) && t.stride > 0 && t.stride % 8 == 0;
            bool used = std::ranges::any_of(w.outer, [&](const Outer& o) { return o.term == t; });
            return can && !used ? t.stride : int64_t{-1};
        });
        if (at == w.plane.terms.end() || !is_column(*at) || at->stride <= 0 || at->stride % 8) return;
        uint64_t count = digit_count(*at, source_count(at->source, extent, w.plane.bits));
        int64_t high = w.box.high - static_cast<int64_t>(count - 1) * at->stride;
        int64_t piece = high - byte_floor(w.box.low) + 1;
        bool used = std::ranges::any_of(w.outer, [&](const Outer& o) { return o.term == *at; });
        if (used || count < 2 || piece <= 0 || piece * 2 > at->stride) return;
        w.box.high = high;
        w.outer.push_back({*at, count});
    }
}

Window one_range(std::vector<PlaneWindow>& planes) {
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (const PlaneWindow& w : planes) {
        low = std::min(low, w.inner.low);
        high = std::max(high, w.inner.high);
    }
    low = byte_floor(low);
    Window out;
    out.ranges.push_back({static_cast<uint64_t>(low / 8), static_cast<uint64_t>((high - low) / 8 + 1)});
    for (PlaneWindow& w : planes) {
        w.plane.offset -= low;
        out.layout.planes.push_back(std::move(w.plane));
    }
    return out;
}

// Pieces laid end to end: outer strides shrink to the size of what they now step over.
Window pieces(PlaneWindow& w, uint64_t end) {
    int64_t low = byte_floor(w.box.low);
    uint64_t size = static_cast<uint64_t>((w.box.high - low) / 8 + 1), total = 1;
    Window out;
    for (const Outer& outer : w.outer) total *= outer.count;
    for (uint64_t i = 0; i < total; ++i) {
        uint64_t begin = static_cast<uint64_t>(low / 8), rest = i;
        for (size_t o = w.outer.size(); o-- > 0; rest /= w.outer[o].count) {
            begin += rest % w.outer[o].count * static_cast<uint64_t>(w.outer[o].term.stride / 8);
        }
        out.ranges.push_back({begin, std::min(size, end - std::min(end, begin))});
    }
    auto stride = static_cast<int64_t>(size * 8);
    for (size_t o = w.outer.size(); o-- > 0; stride *= static_cast<int64_t>(w.outer[o].count)) {
        *std::ranges::find(w.plane.terms, w.outer[o].term) =
            Term{w.outer[o].term.source, w.outer[o].term.div, w.outer[o].term.mod, stride};
    }
    w.plane.offset -= low;
    out.layout.planes.push_back(w.plane);
    return out;
}

}  // namespace

Window window(const Layout& layout, Extent extent, uint32_t bits, uint64_t expert, uint64_t row0,
              uint64_t rows) {
    Layout full = explicit_layout(layout, extent, bits);
    Bounds all{INT64_MAX, INT64_MIN};
    for (const Plane& plane : full.planes) {
        Bounds b = plane_bounds(plane, extent);
        all = {std::min(all.low, b.low), std::max(all.high, b.high)};
    }
    if (!split_flat(full, extent)) {  // runs that ignore row ends: take everything
        Window out{.ranges = {{0, static_cast<uint64_t>(all.high / 8 + 1)}}, .layout = full};
        return out;
    }
    std::vector<PlaneWindow> planes;
    for (const Plane& plane : full.planes) planes.push_back(start(plane, extent, expert, row0, rows));
    if (planes.size() == 1) {
        PlaneWindow narrow = planes.front();
        choose_outer(narrow, extent);
        if (!narrow.outer.empty()) return pieces(narrow, static_cast<uint64_t>(all.high / 8 + 1));
    }
    return one_range(planes);
}

}  // namespace mortise::quant
