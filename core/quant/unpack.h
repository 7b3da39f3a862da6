// From packed bits to an element each: the loops under Copier, written so that compilers turn them into
// vectors. Pure functions. Requires, everywhere: the bytes that are read exist.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace mortise::quant {

constexpr uint32_t packed_bits = 56;  // of a run, so that 8 bytes from its first byte on hold it
constexpr uint32_t word_bits = 32;    // of what rows share
constexpr uint64_t shortest_run = 4;
constexpr size_t most_rows = 8;  // that are written side by side

// Where an element's bits are, and where they go.
struct Bits {
    uint32_t width, shift;
};

inline uint64_t mask_of(uint32_t width) { return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1; }

// Effect: up to 64 bits at any bit address; reads only bytes that hold them.
inline uint64_t load_bits(const uint8_t* bytes, int64_t address, uint32_t width) {
    const uint8_t* at = bytes + (address >> 3);
    auto shift = static_cast<uint32_t>(address & 7);
    uint32_t n = (shift + width + 7) / 8;
    uint64_t word = 0;
    std::memcpy(&word, at, std::min<uint32_t>(n, 8));
    word >>= shift;
    if (n > 8) word |= static_cast<uint64_t>(at[8]) << (64 - shift);
    return word & mask_of(width);
}

// Effect: the 8 bytes at a bit address from that bit on.
inline uint64_t load_word(const uint8_t* bytes, int64_t address) {
    uint64_t word;
    std::memcpy(&word, bytes + (address >> 3), sizeof word);
    return word >> (address & 7);
}

template <bool first, class T>
void put(T& to, uint64_t value) {
    to = static_cast<T>(first ? value : to | value);
}

// Spreads eight elements of up to eight bits, side by side from bit 0 on, over eight bytes.
class Spread {
  public:
    explicit Spread(uint32_t width)
        : width_(width),
          fours_(mask_of(4 * width)),
          twos_(mask_of(2 * width) * 0x0000000100000001),
          ones_(mask_of(width) * 0x0001000100010001) {}
    uint64_t operator()(uint64_t x) const {
        x = part(x & mask_of(8 * width_), fours_, 32 - 4 * width_);
        return part(part(x, twos_, 16 - 2 * width_), ones_, 8 - width_);
    }

  private:
    static uint64_t part(uint64_t x, uint64_t low, uint32_t by) {
        const uint64_t stays = x & low;
        return stays | (x ^ stays) << by;
    }
    uint32_t width_;
    uint64_t fours_, twos_, ones_;
};

// Effect: the lowest n of eight bytes, alone or joined to what is there.
template <bool first>
void put_bytes(uint8_t* to, uint64_t eight, uint64_t n) {
    const auto join = [&](size_t bytes) {
        uint64_t there = 0;
        if (!first) std::memcpy(&there, to, bytes);
        eight |= there;
        std::memcpy(to, &eight, bytes);
    };
    if (n >= 8)
        join(8);
    else if (n == 4)
        join(4);
    else
        join(n);
}

// Nibbles that follow each other in memory.
inline void unpack_nibbles(const uint8_t* bytes, int64_t address, uint64_t columns, uint8_t* out) {
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

// Elements at base + columns[i], n of them.
template <bool first, class T>
void gather(const uint8_t* data, int64_t base, const int64_t* columns, uint64_t n, Bits bits, bool roomy,
            T* to) {
    if (!roomy) {
        for (uint64_t c = 0; c < n; ++c)
            put<first>(to[c], load_bits(data, base + columns[c], bits.width) << bits.shift);
        return;
    }
    const uint64_t mask = mask_of(bits.width);
    for (uint64_t c = 0; c < n; ++c)
        put<first>(to[c], (load_word(data, base + columns[c]) & mask) << bits.shift);
}

// Runs of elements one byte apart.
template <bool first>
void unpack_bytes(const uint8_t* data, int64_t base, const int64_t* columns, uint64_t n, uint64_t run,
                  Bits bits, uint8_t* to) {
    const auto mask = static_cast<uint8_t>(mask_of(bits.width));
    for (uint64_t c = 0; c < n; c += run) {
        const int64_t address = base + columns[c];
        const uint8_t* from = data + (address >> 3);
        const auto low = static_cast<uint32_t>(address & 7);
        const uint64_t count = std::min(run, n - c);
        if (low + bits.width > 8) {
            gather<first>(data, base, columns + c, count, bits, false, to + c);
            continue;
        }
        for (uint64_t i = 0; i < count; ++i) {
            const auto value = static_cast<uint8_t>(((from[i] >> low) & mask) << bits.shift);
            to[c + i] = first ? value : to[c + i] | value;
        }
    }
}

// Runs of elements side by side in one word, of a few rows: their words are often neighbours.
template <bool first>
void unpack_words(const uint8_t* data, std::span<const int64_t> bases, const int64_t* columns, uint64_t n,
                  uint64_t run, Bits bits, uint8_t* to, uint64_t stride) {
    const Spread spread(bits.width);
    for (uint64_t c = 0; c < n; c += run) {
        const uint64_t count = std::min(run, n - c);
        for (size_t r = 0; r < bases.size(); ++r) {
            uint64_t word = load_word(data, bases[r] + columns[c]);
            for (uint64_t i = 0; i < count; i += 8, word >>= 8 * bits.width % 64)
                put_bytes<first>(to + r * stride + c + i, spread(word) << bits.shift, count - i);
        }
    }
}

// Effect: how many rows from the first one on lie in the word that starts with its lowest byte.
inline size_t rows_of_a_word(std::span<const int64_t> bases, uint32_t width) {
    int64_t low = bases[0], high = bases[0];
    size_t rows = 1;
    for (; rows < bases.size() && rows < word_bits; ++rows) {
        low = std::min(low, bases[rows]);
        high = std::max(high, bases[rows]);
        if (high + width - (low & ~int64_t{7}) > word_bits) break;
    }
    return rows;
}

// Rows whose elements of a column lie in one word: columns are read once for all of them.
template <bool first>
void unpack_rows(const uint8_t* data, std::span<const int64_t> bases, const int64_t* columns, uint64_t n,
                 Bits bits, uint8_t* to, uint64_t stride) {
    constexpr uint64_t most = 256;
    uint32_t words[most];
    const int64_t low = std::ranges::min(bases) & ~int64_t{7};
    const auto mask = static_cast<uint32_t>(mask_of(bits.width));
    for (uint64_t c = 0; c < n; c += most) {
        const uint64_t count = std::min(most, n - c);
        for (uint64_t i = 0; i < count; ++i)
            std::memcpy(words + i, data + (low + columns[c + i]) / 8, sizeof *words);
        for (size_t r = 0; r < bases.size(); ++r) {
            const auto from = static_cast<uint32_t>(bases[r] - low);
            uint8_t* out = to + r * stride + c;
            for (uint64_t i = 0; i < count; ++i) {
                const auto value = static_cast<uint8_t>(((words[i] >> from) & mask) << bits.shift);
                out[i] = first ? value : out[i] | value;
            }
        }
    }
}

}  // namespace mortise::quant
