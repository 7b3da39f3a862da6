// Typed access to metadata.

#include <algorithm>
#include <charconv>
#include <cmath>

#include "file.h"
#include "text.h"

namespace gguf {
namespace {

template <class T>
std::string shortest(T value) {
    char buffer[64];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
    return error == std::errc() ? std::string(buffer, end) : std::string("?");
}

std::string_view kind(const Value& value) {
    constexpr std::string_view names[] = {
        "a truth value",     "an integer",         "a real", "a real", "a string", "an array of integers",
        "an array of reals", "an array of strings"};
    return names[value.data.index()];
}

// Effect: the value as T, null when the key is absent. Errors: Refused when it has another type.
template <class T>
const T* as(const File& file, std::string_view key, const char* expected) {
    const Value* value = file.find(key);
    if (!value) return nullptr;
    if (const T* out = std::get_if<T>(&value->data)) return out;
    refuse(key, "metadata value of the wrong type", expected, std::string(kind(*value)));
}

template <class T>
std::string listed(const std::vector<T>& list, const char* noun) {
    if (list.size() > 16) return std::to_string(list.size()) + " " + noun;
    std::string out = "[";
    for (const T& item : list) {
        if (out.size() > 1) out += ", ";
        if constexpr (std::same_as<T, std::string>)
            out += is_utf8(item) ? quote(item) : printable(item);
        else
            out += shortest(item);
    }
    return out + "]";
}

}  // namespace

const Value* File::find(std::string_view key) const {
    const auto at = metadata.find(key);
    return at == metadata.end() ? nullptr : &at->second;
}

const Tensor* File::tensor(std::string_view wanted) const {
    const auto at = std::ranges::find(tensors, wanted, &Tensor::name);
    return at == tensors.end() ? nullptr : &*at;
}

std::optional<std::string> File::text(std::string_view key) const {
    const auto* value = as<std::string>(*this, key, "a string");
    if (!value) return std::nullopt;
    if (!is_utf8(*value)) refuse(key, "the string is not UTF-8", "UTF-8", printable(*value));
    return *value;
}

std::optional<int64_t> File::integer(std::string_view key) const {
    const auto* value = as<int64_t>(*this, key, "an integer");
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<bool> File::flag(std::string_view key) const {
    const auto* value = as<bool>(*this, key, "a truth value");
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::string> File::real(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    const auto* narrow = std::get_if<float>(&value->data);
    const double number = narrow                                        ? double{*narrow}
                          : std::holds_alternative<double>(value->data) ? std::get<double>(value->data)
                                                                        : NAN;
    if (!std::isfinite(number)) refuse(key, "the value is no finite real", "a finite real", describe(*value));
    return narrow ? shortest(*narrow) : shortest(number);
}

const Texts* File::texts(std::string_view key) const { return as<Texts>(*this, key, "an array of strings"); }
const Integers* File::integers(std::string_view key) const {
    return as<Integers>(*this, key, "an array of integers");
}
const Reals* File::reals(std::string_view key) const { return as<Reals>(*this, key, "an array of reals"); }

std::string describe(const Value& value) {
    return std::visit(
        [](const auto& held) -> std::string {
            using T = std::decay_t<decltype(held)>;
            if constexpr (std::same_as<T, bool>)
                return held ? "true" : "false";
            else if constexpr (std::same_as<T, std::string>)
                return is_utf8(held) ? held : printable(held);
            else if constexpr (std::same_as<T, Integers>)
                return listed(held, "integers");
            else if constexpr (std::same_as<T, Reals>)
                return listed(held, "reals");
            else if constexpr (std::same_as<T, Texts>)
                return listed(held, "strings");
            else
                return shortest(held);
        },
        value.data);
}

}  // namespace gguf
