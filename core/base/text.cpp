#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace mortise {
namespace {

// Length of the well-formed sequence at `at`, 0 if ill-formed (Unicode 15, table 3-7).
size_t sequence_length(const unsigned char* at, size_t left) {
    unsigned char lead = at[0];
    auto follows = [&](size_t i, unsigned char low = 0x80, unsigned char high = 0xBF) {
        return i < left && at[i] >= low && at[i] <= high;
    };
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;
        unsigned char high = lead == 0xED ? 0x9F : 0xBF;
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
        unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

template <class Words>
std::string nearest_of(std::string_view word, const Words& candidates) {
    size_t limit = std::max<size_t>(1, word.size() / 3);
    std::string best;
    for (const auto& candidate : candidates) {
        size_t longer = std::max(candidate.size(), word.size());
        size_t shorter = std::min(candidate.size(), word.size());
        if (longer - shorter > limit) continue;
        size_t distance = edit_distance(word, candidate);
        if (distance > limit || (distance == limit && !best.empty())) continue;
        if (distance == word.size()) continue;  // nothing in common
        limit = distance;
        best = candidate;
    }
    return best;
}

std::string question(const std::string& word) { return word.empty() ? "" : "did you mean '" + word + "'?"; }

}  // namespace

size_t first_invalid_utf8(std::string_view text) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    size_t i = 0;
    while (i < text.size()) {
        uint64_t eight;
        if (i + 8 <= text.size()) {
            std::memcpy(&eight, bytes + i, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        size_t length = sequence_length(bytes + i, text.size() - i);
        if (length == 0) return i;
        i += length;
    }
    return text.size();
}

bool valid_utf8(std::string_view text) { return first_invalid_utf8(text) == text.size(); }

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    for (;;) {
        size_t at = text.find(separator);
        pieces.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return pieces;
        text.remove_prefix(at + 1);
    }
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string join(std::span<const std::string> pieces, std::string_view between) {
    std::string text;
    for (size_t i = 0; i < pieces.size(); ++i) {
        if (i > 0) text += between;
        text += pieces[i];
    }
    return text;
}

std::string human_bytes(uint64_t bytes) {
    constexpr std::array<const char*, 7> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double amount = static_cast<double>(bytes);
    size_t unit = 0;
    while (amount >= 1024 && unit + 1 < units.size()) {
        amount /= 1024;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %s", amount, units[unit]);
    return text;
}

// Optimal string alignment distance (Damerau 1964, restricted form).
size_t edit_distance(std::string_view a, std::string_view b) {
    if (a.size() > 256 || b.size() > 256)
        return std::max(a.size(), b.size());  // such words are no typing errors
    std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        std::swap(before, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

std::string nearest(std::string_view word, std::span<const std::string_view> candidates) {
    return nearest_of(word, candidates);
}
std::string nearest(std::string_view word, std::span<const std::string> candidates) {
    return nearest_of(word, candidates);
}
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
    return question(nearest(word, candidates));
}
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
    return question(nearest(word, candidates));
}

}  // namespace mortise
