// SHA-256, fed piece by piece. One object belongs to one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mortise {

class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(std::span<const std::byte> bytes);
    void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
    // Effect: the digest of everything so far; ends the object's use.
    std::array<uint8_t, 32> digest();
    std::string hex();  // as digest(), 64 lower-case digits

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Effect: hexadecimal digest of `bytes`.
std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace mortise
