// The host as a plugin sees it, and strings across the border.
//
// Thread-safe after the plugin's entry function has run: the pointer is set once and never changes.
#pragma once

#include <string>
#include <string_view>

#include "mortise/abi.h"

namespace mortise::sdk {

// The slot is per library: hidden visibility keeps two plugins from sharing it.
inline const mortise_host*& host_slot() noexcept {
    static const mortise_host* slot = nullptr;
    return slot;
}
// Requires: called from a function that the host called.
inline const mortise_host& host() noexcept { return *host_slot(); }

// Effect: a borrowed view of the same bytes.
inline std::string_view view(mortise_str text) noexcept {
    return text.data == nullptr ? std::string_view() : std::string_view(text.data, text.size);
}
inline mortise_str str(std::string_view text) noexcept { return {text.data(), text.size()}; }

// Effect: ASCII letters in lower case, the rest as it is.
inline std::string lower(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

template <class Struct>
constexpr mortise_head head_of() noexcept {
    return {static_cast<uint32_t>(sizeof(Struct)), MORTISE_ABI_MINOR};
}
// Effect: a zeroed struct of the ABI with its head filled in.
template <class Struct>
Struct make() noexcept {
    Struct out{};
    out.head = head_of<Struct>();
    return out;
}

// Effect: one line in the host's log. Requires: not called from a kernel's run.
inline void log(uint32_t level, std::string_view component, std::string_view message) noexcept {
    host().log(level, str(component), str(message));
}

}  // namespace mortise::sdk
