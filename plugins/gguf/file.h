// The structure of a GGUF file: metadata and tensor table, checked; no tensor data is read.
// Source: docs/gguf.md and gguf.cpp of ggml, versions 2 and 3, little-endian.
//
// Immutable after read(); thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mortise/sdk/container.h"
#include "types.h"

namespace gguf {

using Integers = std::vector<int64_t>;  // bool arrays too
using Reals = std::vector<double>;
using Texts = std::vector<std::string>;

struct Value {
    // uint64 beyond int64 is refused; f32 stays apart from f64: its shortest decimal is another one.
    std::variant<bool, int64_t, float, double, std::string, Integers, Reals, Texts> data;
};

struct Tensor {
    std::string name;
    const TensorType* type = nullptr;
    std::vector<uint64_t> extent;  // [1 to 4] fastest axis first, in elements
    uint64_t offset = 0;           // absolute
    uint64_t bytes = 0;
};

struct File {
    std::string name;  // for messages
    uint32_t version = 0;
    std::map<std::string, Value, std::less<>> metadata;
    std::vector<Tensor> tensors;  // in file order

    const Value* find(std::string_view key) const;
    const Tensor* tensor(std::string_view name) const;

    // The value of `key`, or nothing when it is absent. Errors: Refused, naming the key, when it has another
    // type.
    std::optional<std::string> text(std::string_view key) const;
    std::optional<int64_t> integer(std::string_view key) const;
    std::optional<bool> flag(std::string_view key) const;
    // A real as the shortest decimal that gives the stored value: "1e-05".
    std::optional<std::string> real(std::string_view key) const;
    const Texts* texts(std::string_view key) const;
    const Integers* integers(std::string_view key) const;
    const Reals* reals(std::string_view key) const;
};

// Effect: the whole structure. Errors: Refused (cut short, counts, names twice, offsets, alignment, types),
// Unsupported (another version or byte order, one of several files), each naming the key or tensor.
File read(const mortise::sdk::Source& source);

// Effect: the value as text for people: long arrays are counted, not listed.
std::string describe(const Value& value);

[[noreturn]] void refuse(std::string_view key, std::string what, std::string expected, std::string found);

}  // namespace gguf
