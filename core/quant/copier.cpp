#include <algorithm>
#include <bit>
#include <cstring>

#include "quant/layout.h"
#include "quant/terms.h"
#include "quant/unpack.h"

namespace mortise::quant {
namespace {

constexpr uint64_t block = 256;  // columns per pass over the rows: keeps column-major words in the cache

void store_bits(uint8_t* bytes, int64_t address, uint32_t width, uint64_t value) {
    for (uint32_t done = 0; done < width;) {
        uint8_t& byte = bytes[(address + done) >> 3];
        auto shift = static_cast<uint32_t>((address + done) & 7);
        uint32_t n = std::min(8 - shift, width - done);
        auto mask = static_cast<uint8_t>(mask_of(n) << shift);
        byte = static_cast<uint8_t>((byte & ~mask) | ((value >> done << shift) & mask));
        done += n;
    }
}

// The address of bit b is the address of bit 0 plus b: one run holds the plane.
bool one_run(const Plane& plane) {
    const Term* first = nullptr;
    for (const Term& term : plane.terms) {
        bool stream = term.source == MORTISE_SOURCE_ROW_STREAM || term.source == MORTISE_SOURCE_COLUMN_STREAM;
        if (term.source == MORTISE_SOURCE_BIT || stream) {
            if (!first || term.div < first->div) first = &term;
        }
    }
    if (plane.bits == 1 || !first) return true;
    if (first->div != 1 || first->stride != 1) return false;
    bool stream = first->source != MORTISE_SOURCE_BIT;
    return first->mod == 0 || (stream ? first->mod % plane.bits == 0 : first->mod >= plane.bits);
}

}  // namespace

Copier::Copier(const Layout& layout, Extent extent, uint32_t bits, uint64_t column0, uint64_t columns)
    : extent_(extent), column0_(column0), columns_(columns) {
    MORTISE_INVARIANT(column0 + columns <= extent.columns && bits > 0 && bits <= 64);
    auto full = std::make_unique<Layout>(explicit_layout(layout, extent, bits));
    Layout split = *full;
    flat_ = !split_flat(split, extent);
    if (!flat_) *full = std::move(split);
    layout_ = std::move(full);
    uint32_t shift = 0;
    for (const Plane& plane : layout_->planes) {
        add_lanes(plane, shift);
        shift += plane.bits;
    }
}

void Copier::add_lanes(const Plane& plane, uint32_t shift) {
    uint32_t width = one_run(plane) ? plane.bits : 1;
    for (uint32_t bit = 0; bit < plane.bits; bit += width) {
        Lane& lane = lanes_.emplace_back();
        lane.shift = shift + bit;
        lane.width = width;
        lane.bit = bit;
        lane.plane = &plane;
        lane.columns.resize(columns_);
        for (uint64_t c = 0; c < columns_; ++c) {
            int64_t sum = 0;
            for (const Term& term : plane.terms) {
                uint64_t column = column0_ + c;
                if (term.source == MORTISE_SOURCE_COLUMN) sum += term_value(term, column);
                if (term.source == MORTISE_SOURCE_COLUMN_STREAM)
                    sum += term_value(term, column * plane.bits + bit);
            }
            lane.columns[c] = sum;
        }
        if (columns_ == 0) continue;
        auto [low, high] = std::ranges::minmax(lane.columns);
        lane.lowest = low;
        lane.highest = high;
        find_runs(lane);
        lane.step = columns_ > 1 ? lane.columns[1] - lane.columns[0] : static_cast<int64_t>(width);
        for (uint64_t c = 1; c < columns_; ++c) {
            if (lane.columns[c] - lane.columns[c - 1] != lane.step) lane.step = 0;
        }
        if (flat_) lane.step = 0;
    }
}

// Runs start at multiples of their length: the largest power of two that divides every column where one
// starts.
void Copier::find_runs(Lane& lane) const {
    const auto length = [&](int64_t step) {
        uint64_t starts = block;
        for (uint64_t c = 1; c < columns_; ++c)
            if (lane.columns[c] - lane.columns[c - 1] != step) starts |= c;
        return starts & -starts;
    };
    const uint64_t bytes = length(8),
                   packed = std::min(length(lane.width), uint64_t{std::bit_floor(packed_bits / lane.width)});
    lane.in_bytes = bytes > packed;
    lane.run = flat_ || lane.width > 8 ? 0 : std::max(bytes, packed);
    if (lane.run < shortest_run) lane.run = 0;
    lane.whole_bytes = std::ranges::all_of(lane.columns, [](int64_t at) { return at % 8 == 0; });
}

int64_t Copier::row_address(const Lane& lane, uint64_t expert, uint64_t row) const {
    int64_t sum = lane.plane->offset;
    for (const Term& term : lane.plane->terms) {
        switch (term.source) {
            case MORTISE_SOURCE_ROW: sum += term_value(term, row); break;
            case MORTISE_SOURCE_ROW_STREAM: sum += term_value(term, row * lane.plane->bits + lane.bit); break;
            case MORTISE_SOURCE_EXPERT: sum += term_value(term, expert); break;
            case MORTISE_SOURCE_BIT: sum += term_value(term, lane.bit); break;
            default: break;
        }
    }
    return sum;
}

int64_t Copier::flat_address(const Lane& lane, uint64_t row, uint64_t column) const {
    int64_t sum = 0;
    for (const Term& term : lane.plane->terms) {
        if (term.source == MORTISE_SOURCE_FLAT) sum += term_value(term, row * extent_.columns + column);
    }
    return sum;
}

void Copier::check_bounds(size_t bytes, const Lane& lane, int64_t row_address) const {
    int64_t end = row_address + lane.highest + static_cast<int64_t>(lane.width);
    MORTISE_INVARIANT(row_address + lane.lowest >= 0 && static_cast<uint64_t>(end) <= bytes * 8);
}

// Elements that follow each other in memory: whole bytes, or nibbles. False: nothing was done.
template <class T>
bool Copier::copy_run(const uint8_t* data, const Lane& lane, int64_t address, T* to) const {
    if (lanes_.size() != 1 || lane.step != static_cast<int64_t>(lane.width)) return false;
    if (lane.width == 8 * sizeof(T) && address % 8 == 0) {
        std::memcpy(to, data + address / 8, columns_ * sizeof(T));
        return true;
    }
    if constexpr (sizeof(T) == 1) {
        if (lane.width == 4 && address % 4 == 0) {
            unpack_nibbles(data, address, columns_, to);
            return true;
        }
    }
    return false;
}

template <class T>
void Copier::extract_flat(std::span<const std::byte> bytes, const Lane& lane, std::span<const int64_t> bases,
                          std::span<const uint64_t> rows, bool first, T* out) const {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    for (size_t r = 0; r < rows.size(); ++r) {
        for (uint64_t c = 0; c < columns_; ++c) {
            int64_t address = bases[r] + lane.columns[c] + flat_address(lane, rows[r], column0_ + c);
            int64_t end = address + static_cast<int64_t>(lane.width);
            MORTISE_INVARIANT(address >= 0 && static_cast<uint64_t>(end) <= bytes.size() * 8);
            T* to = out + r * columns_ + c;
            uint64_t value = load_bits(data, address, lane.width) << lane.shift;
            *to = static_cast<T>(first ? value : *to | value);
        }
    }
}

template <class T>
void Copier::extract_as(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                        T* out) const {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    std::vector<int64_t> bases(rows.size());
    for (size_t l = 0; l < lanes_.size() && columns_ && !rows.empty(); ++l) {
        const Lane& lane = lanes_[l];
        for (size_t r = 0; r < rows.size(); ++r) {
            bases[r] = row_address(lane, expert, rows[r]);
            if (!flat_) check_bounds(bytes.size(), lane, bases[r]);
        }
        if (flat_) {
            extract_flat(bytes, lane, bases, rows, l == 0, out);
            continue;
        }
        size_t done = 0;
        while (done < rows.size() &&
               copy_run(data, lane, bases[done] + lane.columns[0], out + done * columns_))
            ++done;
        for (uint64_t c = 0; c < columns_; c += block) {
            uint64_t n = std::min(columns_ - c, block);
            for (size_t r = done; r < rows.size();) {
                auto rest = std::span(bases).subspan(r);
                r += l == 0 ? extract_some<true>(bytes, lane, rest, c, n, out + r * columns_ + c)
                            : extract_some<false>(bytes, lane, rest, c, n, out + r * columns_ + c);
            }
        }
    }
}

// Columns [c, c + n) of the first of these rows, or of some that share words; returns how many. Runs of bits
// after the first are joined to what is there.
template <bool first, class T>
size_t Copier::extract_some(std::span<const std::byte> bytes, const Lane& lane,
                            std::span<const int64_t> bases, uint64_t c, uint64_t n, T* to) const {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    const int64_t* columns = lane.columns.data() + c;
    const Bits bits{lane.width, lane.shift};
    // Bytes that a load at any address of a row can take.
    const auto room_of = [&](int64_t base) {
        return bytes.size() - static_cast<uint64_t>((base + lane.highest) / 8);
    };
    const uint64_t room = room_of(bases[0]);
    if constexpr (sizeof(T) == 1) {
        if (lane.run && lane.in_bytes) {
            unpack_bytes<first>(data, bases[0], columns, n, lane.run, bits, to);
            return 1;
        }
        const size_t together = lane.whole_bytes && lane.width < 8 ? rows_of_a_word(bases, lane.width) : 1;
        if (together > 1 && room >= sizeof(uint32_t)) {
            unpack_rows<first>(data, bases.first(together), columns, n, bits, to, columns_);
            return together;
        }
        const auto roomy = [&](int64_t base) { return room_of(base) >= sizeof(uint64_t); };
        const auto some = bases.first(std::min(bases.size(), most_rows));
        if (const auto rows = static_cast<size_t>(std::ranges::find_if_not(some, roomy) - some.begin());
            lane.run && rows > 0) {
            unpack_words<first>(data, bases.first(rows), columns, n, lane.run, bits, to, columns_);
            return rows;
        }
    }
    gather<first>(data, bases[0], columns, n, bits, lane.width <= 57 && room >= sizeof(uint64_t), to);
    return 1;
}

template <class T>
void Copier::deposit_as(std::span<std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                        const T* in) const {
    auto* data = reinterpret_cast<uint8_t*>(bytes.data());
    for (const Lane& lane : lanes_) {
        for (size_t r = 0; r < rows.size() && columns_; ++r) {
            int64_t base = row_address(lane, expert, rows[r]);
            if (!flat_) check_bounds(bytes.size(), lane, base);
            const T* from = in + r * columns_;
            bool copy = lanes_.size() == 1 && lane.width == 8 * sizeof(T) &&
                        lane.step == static_cast<int64_t>(lane.width) && (base + lane.columns[0]) % 8 == 0;
            if (copy) {
                std::memcpy(data + (base + lane.columns[0]) / 8, from, columns_ * sizeof(T));
                continue;
            }
            for (uint64_t c = 0; c < columns_; ++c) {
                int64_t address =
                    base + lane.columns[c] + (flat_ ? flat_address(lane, rows[r], column0_ + c) : 0);
                int64_t end = address + static_cast<int64_t>(lane.width);
                MORTISE_INVARIANT(address >= 0 && static_cast<uint64_t>(end) <= bytes.size() * 8);
                store_bits(data, address, lane.width, static_cast<uint64_t>(from[c]) >> lane.shift);
            }
        }
    }
}

using ConstBytes = std::span<const std::byte>;
using Rows = std::span<const uint64_t>;
void Copier::extract(ConstBytes bytes, uint64_t expert, Rows rows, uint8_t* out) const {
    extract_as(bytes, expert, rows, out);
}
void Copier::extract(ConstBytes bytes, uint64_t expert, Rows rows, uint16_t* out) const {
    extract_as(bytes, expert, rows, out);
}
void Copier::extract(ConstBytes bytes, uint64_t expert, Rows rows, uint32_t* out) const {
    extract_as(bytes, expert, rows, out);
}
void Copier::extract(ConstBytes bytes, uint64_t expert, Rows rows, uint64_t* out) const {
    extract_as(bytes, expert, rows, out);
}
void Copier::deposit(std::span<std::byte> bytes, uint64_t expert, Rows rows, const uint8_t* in) const {
    deposit_as(bytes, expert, rows, in);
}
void Copier::deposit(std::span<std::byte> bytes, uint64_t expert, Rows rows, const uint64_t* in) const {
    deposit_as(bytes, expert, rows, in);
}

}  // namespace mortise::quant
