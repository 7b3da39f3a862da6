// Memory that a kernel provider gave, and gets back.
//
// Nobody but the provider may assume that it can be read or written by the host: see mortise_kernels_v1.fill.
// One thread at a time; moves, never copies.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/team.h"
#include "mortise/abi_kernels.h"

namespace mortise::load {

class DeviceMemory {
  public:
    DeviceMemory() = default;
    DeviceMemory(DeviceMemory&& other) noexcept;
    DeviceMemory& operator=(DeviceMemory&& other) noexcept;
    ~DeviceMemory();

    // Effect: memory on the provider's first device of that kind. No bytes: no memory, base() is 0.
    // Errors: device_missing, out_of_memory, plugin_failed, plugin_contract (misaligned answer).
    static Result<DeviceMemory> make(const mortise_kernels_v1* provider, uint32_t device_kind, uint64_t bytes,
                                     uint64_t alignment);

    uint64_t base() const { return base_; }
    uint64_t bytes() const { return bytes_; }

    // Effect: every byte becomes 0xFF, a NaN in every float type: what nobody writes must not look like a
    // value. With a team, all threads share the work. Errors: plugin_failed.
    Status poison(Team* team = nullptr);
    // The same for a range of it. Requires: offset + bytes <= bytes().
    Status poison(uint64_t offset, uint64_t bytes, Team* team = nullptr);

  private:
    const mortise_kernels_v1* provider_ = nullptr;
    mortise_device device_{};
    uint64_t base_ = 0, bytes_ = 0;
};

}  // namespace mortise::load
