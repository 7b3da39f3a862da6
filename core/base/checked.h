// Arithmetic on sizes that come from files: every overflow is seen. Thread-safe: values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace mortise {

// Effect: the exact result, or nothing when it does not fit 64 bits.
constexpr std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
    uint64_t out = 0;
    if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
    return out;
}
constexpr std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
    uint64_t out = 0;
    if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
    return out;
}

// A number that remembers whether any step overflowed: Checked(a) * b + c, asked once at the end.
class Checked {
  public:
    constexpr Checked(uint64_t value) : value_(value) {}
    constexpr Checked operator+(Checked other) const { return combine(other, checked_add); }
    constexpr Checked operator*(Checked other) const { return combine(other, checked_mul); }
    constexpr Checked& operator+=(Checked other) { return *this = *this + other; }
    constexpr Checked& operator*=(Checked other) { return *this = *this * other; }
    constexpr std::optional<uint64_t> get() const { return value_; }

  private:
    constexpr Checked combine(Checked other, std::optional<uint64_t> (*op)(uint64_t, uint64_t)) const {
        Checked out(0);
        out.value_ = value_ && other.value_ ? op(*value_, *other.value_) : std::nullopt;
        return out;
    }
    std::optional<uint64_t> value_;
};

// Effect: a / b rounded up, without overflow. Requires: b > 0.
constexpr uint64_t divide_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

}  // namespace mortise
