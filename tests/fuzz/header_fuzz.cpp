// A whole file through the reader: either an error, or entries that tile the data exactly.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const int memory = ::memfd_create("input", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(memory);
    MORTISE_INVARIANT(::ftruncate(memory, 0) == 0);
    MORTISE_INVARIANT(::pwrite(memory, data, size, 0) == static_cast<ssize_t>(size));
    auto file = mortise::File::open(path);
    MORTISE_INVARIANT(file.has_value());
    auto header = mortise::checkpoint::read_safetensors_header(*file, "input");
    if (!header) {
        MORTISE_INVARIANT(!to_string(header.error()).empty());
        return 0;
    }
    uint64_t at = header->tensors.empty() ? size : header->tensors.front().offset;
    for (const auto& entry : header->tensors) {
        MORTISE_INVARIANT(entry.offset == at);
        MORTISE_INVARIANT(mortise::dense_bytes(entry.dtype, entry.shape) == entry.bytes);
        at += entry.bytes;
    }
    MORTISE_INVARIANT(at == size);
    return 0;
}
