#include "engine/text/byte_characters.h"

#include <array>
#include <cstdint>

#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

struct Table {
    std::array<std::string, 256> of_byte;
    std::array<int, 0x100 + 68> of_character;

    Table() {
        of_character.fill(-1);
        char32_t next = 0x100;
        for (int byte = 0; byte < 256; ++byte) {
            const bool itself =
                (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
            const char32_t c = itself ? static_cast<char32_t>(byte) : next++;
            append_utf8(of_byte[static_cast<size_t>(byte)], c);
            of_character[c] = byte;
        }
    }
};

const Table& table() {
    static const Table made;
    return made;
}

}  // namespace

std::string bytes_to_characters(std::string_view bytes) {
    const Table& map = table();
    std::string out;
    out.reserve(bytes.size() + bytes.size() / 4);
    for (const char byte : bytes) out += map.of_byte[static_cast<uint8_t>(byte)];
    return out;
}

std::optional<std::string> characters_to_bytes(std::string_view text) {
    const Table& map = table();
    std::string out;
    for (size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        if (c >= map.of_character.size() || map.of_character[c] < 0) return std::nullopt;
        out += static_cast<char>(map.of_character[c]);
    }
    return out;
}

}  // namespace mortise::text
