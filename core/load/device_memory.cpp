#include "load/device_memory.h"

#include <atomic>
#include <cstring>
#include <optional>
#include <utility>

#include "load/provider_call.h"

namespace mortise::load {
namespace {

struct Search {
    uint32_t kind;
    std::optional<mortise_device> found;
};

void visit(void* context, const mortise_device* device) {
    auto& search = *static_cast<Search*>(context);
    if (!search.found && device->kind == search.kind) search.found = *device;
}

}  // namespace

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
    std::swap(provider_, other.provider_);
    std::swap(device_, other.device_);
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

DeviceMemory::~DeviceMemory() {
    if (bytes_) provider_->free(&device_, base_);
}

Result<DeviceMemory> DeviceMemory::make(const mortise_kernels_v1* provider, uint32_t device_kind,
                                        uint64_t bytes, uint64_t alignment) {
    DeviceMemory memory;
    Search search{device_kind, {}};
    registry::PluginCall::call([&] { provider->devices(visit, &search); });
    if (!search.found)
        return fail(
            Problem{.code = Code::device_missing,
                    .what = "the kernel provider drives no device of kind " + std::to_string(device_kind)});
    memory.provider_ = provider;
    memory.device_ = *search.found;
    if (bytes == 0) return memory;
    mortise_status status = MORTISE_OK;
    auto given = call_provider("kernel provider", "alloc", [&] {
        return status = provider->alloc(&memory.device_, bytes, alignment, &memory.base_);
    });
    if (!given) {
        if (status != MORTISE_NO_MEMORY) return std::unexpected(std::move(given).error());
        return fail(Problem{.code = Code::out_of_memory,
                            .what = "the device has no memory left",
                            .expected = std::to_string(bytes) + " bytes",
                            .fix = "shorten --max-model-len, or use a smaller model"});
    }
    memory.bytes_ = bytes;
    if (alignment && memory.base_ % alignment != 0)
        return fail(Problem{.code = Code::plugin_contract,
                            .what = "alloc of a kernel provider ignores the alignment",
                            .expected = "a multiple of " + std::to_string(alignment),
                            .found = std::to_string(memory.base_)});
    return memory;
}

Status DeviceMemory::poison(Team* team) { return poison(0, bytes_, team); }

Status DeviceMemory::poison(uint64_t offset, uint64_t size, Team* team) {
    constexpr uint8_t poison_byte = 0xFF;
    MORTISE_INVARIANT(offset <= bytes_ && size <= bytes_ - offset);
    if (size == 0) return {};
    if (MORTISE_HAS(provider_, mortise_kernels_v1, fill) && provider_->fill) {
        return call_provider("kernel provider", "fill",
                             [&] { return provider_->fill(&device_, base_ + offset, size, poison_byte); });
    }
    if (device_.kind == MORTISE_DEVICE_CPU) {
        auto* bytes = reinterpret_cast<uint8_t*>(base_ + offset);
        const auto write = [&](int rank, int threads) {
            const Share part = share(size, rank, threads);
            std::memset(bytes + part.begin, poison_byte, part.end - part.begin);
        };
        if (team)
            team->run(write);
        else
            write(0, 1);
    }
    return {};
}

}  // namespace mortise::load
