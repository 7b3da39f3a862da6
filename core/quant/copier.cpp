#include <algorithm>
#include <cstring>

#include "quant/layout.h"
#include "quant/terms.h"

namespace mortise::quant {
namespace {

constexpr uint64_t block = 256;  // columns per pass over the rows: keeps column-major words in the cache

uint64_t mask_of(uint32_t width) { return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1; }

// Up to 64 bits at any bit address; reads only bytes that hold them.
uint64_t load_bits(const uint8_t* bytes, int64_t address, uint32_t width) {
    const uint8_t* at = bytes + (address >> 3);
    auto shift = static_cast<uint32_t>(address & 7);
    uint32_t n = (shift + width + 7) / 8;
    uint64_t word = 0;
    std::memcpy(&word, at, std::min<uint32_t>(n, 8));
    word >>= shift;
    if (n > 8) word |= static_cast<uint64_t>(at[8]) << (64 - shift);
    return word & mask_of(width);
}

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

// Nibbles that follow each other in memory.
void unpack_nibbles(const uint8_t* bytes, int64_t address, uint64_t columns, uint8_t* out) {
    const uint8_t* at = bytes + (address >> 3);
    uint64_t c = 0;
    if (address & 4 && columns) out[c++] = *at++ >> 4;
    uint64_t pairs = (columns - c) / 2;
    for (uint64_t i = 0; i < pairs; ++i) {
        out[c + 2 * i] = at[i] & 15;
        out[c + 2 * i + 1] = at[i] >> 4;
    }
    c += 2 * pairs;
    if (c < columns) out[c] = at[pairs] & 15;
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
        lane.step = columns_ > 1 ? lane.columns[1] - lane.columns[0] : static_cast<int64_t>(width);
        for (uint64_t c = 1; c < columns_; ++c) {
            if (lane.columns[c] - lane.columns[c - 1] != lane.step) lane.step = 0;
        }
        if (flat_) lane.step = 0;
    }
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

// One run of bits of some columns of one row into `to`; runs after the first are joined to what is there.
template <bool first, class T>
static void gather(const uint8_t* data, int64_t base, const int64_t* columns, uint64_t n, uint32_t width,
                   uint32_t shift, bool roomy, T* to) {
    auto put = [&](uint64_t c, uint64_t value) {
        to[c] = static_cast<T>(first ? value << shift : to[c] | value << shift);
    };
    if (!roomy) {
        for (uint64_t c = 0; c < n; ++c) put(c, load_bits(data, base + columns[c], width));
        return;
    }
    uint64_t mask = mask_of(width);
    for (uint64_t c = 0; c < n; ++c) {
        int64_t address = base + columns[c];
        uint64_t word;
        std::memcpy(&word, data + (address >> 3), 8);
        put(c, (word >> (address & 7)) & mask);
    }
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
            for (size_t r = done; r < rows.size(); ++r) {
                // An 8-byte load at any address of this row must stay inside.
                bool roomy = lane.width <= 57 &&
                             static_cast<uint64_t>((bases[r] + lane.highest) / 8 + 8) <= bytes.size();
                auto* run = l == 0 ? &gather<true, T> : &gather<false, T>;
                run(data, bases[r], lane.columns.data() + c, n, lane.width, lane.shift, roomy,
                    out + r * columns_ + c);
            }
        }
    }
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
