// A checkpoint as a plugin sees it: header facts of its tensors, its JSON files, and small probes.
//
// Borrowed from the host, cheap to copy. One thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mortise/sdk/config.h"

namespace mortise::sdk {

struct Tensor {
    std::string name;
    uint32_t dtype = MORTISE_DTYPE_NONE;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;
    std::string encoding;  // block encoding named by a container; "" = the dtype says all

    uint64_t elements() const {
        uint64_t out = 1;
        for (const int64_t dim : shape) out *= static_cast<uint64_t>(dim);
        return out;
    }
};

// Effect: bits of one stored element; 0 for an unknown dtype.
constexpr uint32_t bits_of(uint32_t dtype) {
    switch (dtype) {
        case MORTISE_DTYPE_F4_E2M1: return 4;
        case MORTISE_DTYPE_F6_E2M3:
        case MORTISE_DTYPE_F6_E3M2: return 6;
        case MORTISE_DTYPE_U16:
        case MORTISE_DTYPE_I16:
        case MORTISE_DTYPE_F16:
        case MORTISE_DTYPE_BF16: return 16;
        case MORTISE_DTYPE_U32:
        case MORTISE_DTYPE_I32:
        case MORTISE_DTYPE_F32: return 32;
        case MORTISE_DTYPE_U64:
        case MORTISE_DTYPE_I64:
        case MORTISE_DTYPE_F64:
        case MORTISE_DTYPE_C64: return 64;
        case MORTISE_DTYPE_NONE: return 0;
        default: return 8;
    }
}

class Checkpoint {
  public:
    explicit Checkpoint(const mortise_checkpoint* handle) : handle_(handle) {}

    std::string name_space() const { return std::string(view(api().name_space(handle_))); }
    // Effect: root of a JSON file of the checkpoint; absent when there is none.
    Config document(std::string_view file) const { return Config(api().document(handle_, str(file))); }
    Config config() const { return document("config.json"); }

    std::optional<Tensor> tensor(std::string_view name) const {
        auto raw = make<mortise_tensor>();
        if (api().tensor(handle_, str(name), &raw) == 0) return std::nullopt;
        return copy(raw);
    }
    bool has(std::string_view name) const {
        auto raw = make<mortise_tensor>();
        return api().tensor(handle_, str(name), &raw) != 0;
    }
    // Effect: calls visit(const mortise_tensor&) for each tensor called `module` + "." + anything; "" = all.
    template <class Visit>
    void each_below(std::string_view module, Visit&& visit) const {
        auto thunk = [](void* context, const mortise_tensor* tensor) {
            (*static_cast<std::remove_reference_t<Visit>*>(context))(*tensor);
        };
        api().tensors_below(handle_, str(module), thunk, &visit);
    }
    std::vector<Tensor> tensors_below(std::string_view module) const {
        std::vector<Tensor> out;
        each_below(module, [&](const mortise_tensor& tensor) { out.push_back(copy(tensor)); });
        return out;
    }
    // Effect: the whole contents of a small tensor whose values decide structure.
    // Errors: not there, not `count` elements of T, unreadable.
    template <class T>
    std::vector<T> probe(std::string_view name, uint64_t count) const {
        std::vector<T> out(count);
        check(api().probe(handle_, str(name), out.data(), count * sizeof(T)));
        return out;
    }

  private:
    static const mortise_checkpoint_api& api() { return *host().checkpoint; }
    static Tensor copy(const mortise_tensor& raw) {
        return {.name = std::string(view(raw.name)),
                .dtype = raw.dtype,
                .shape = std::vector<int64_t>(raw.shape, raw.shape + raw.rank),
                .bytes = raw.bytes,
                .encoding = std::string(view(raw.encoding))};
    }

    const mortise_checkpoint* handle_;
};

}  // namespace mortise::sdk
