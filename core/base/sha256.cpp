#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/result.h"

namespace mortise {

struct Sha256::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    MORTISE_INVARIANT(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
    MORTISE_INVARIANT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::array<uint8_t, 32> Sha256::digest() {
    std::array<uint8_t, 32> out{};
    MORTISE_INVARIANT(EVP_DigestFinal_ex(state_->context, out.data(), nullptr) == 1);
    return out;
}

std::string Sha256::hex() {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (uint8_t byte : digest()) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.hex();
}

}  // namespace mortise
