// Manifests: what a plugin says of itself in YAML, read before any of its code. README.md shows one whole.
//
// Values and pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::registry {

enum class Interface : uint8_t {
    scheme = 1,
    architecture = 2,
    kernels = 3,
    container = 4
};  // MORTISE_INTERFACE_*
std::string_view name(Interface kind);

inline constexpr int default_priority = 50;

// One thing that a plugin provides, and the facts of a checkpoint or machine under which it is asked at all.
// Lists that do not belong to the interface are empty.
struct Provides {
    Interface kind{};
    std::string id;
    int priority = default_priority;  // 0 to 100; decides between equal scores
    int line = 0;                     // in the manifest
    std::vector<std::string>
        quant_methods;  // scheme: quant_method, or the key or side file that stands for one;
                        // "" = nothing says quantized
    std::vector<std::string> name_spaces;    // scheme: containers whose tensors it reads; none or "" = native
    std::vector<std::string> architectures;  // architecture: values of config.architectures[0]
    std::vector<std::string> model_types;    // architecture: for files without architectures
    std::vector<std::string> suffixes;       // container: ends of file names
    std::vector<std::string> first_bytes;    // container: raw bytes that the file begins with
    std::string device;                      // kernels: kind of device
};

struct Manifest {
    std::string path;  // as found
    std::string id, version, vendor, license, homepage, description;
    std::string
        library;  // parse_manifest(): relative to the real manifest's folder; read_manifest(): absolute
    std::string sha256;  // of the library, lower case; empty = not given
    uint32_t abi_major = 0, abi_minor = 0;
    std::string disable_env;                    // variable that switches the plugin off; empty = none
    std::vector<std::string> needs, conflicts;  // ids of other plugins
    std::vector<Provides> provides;
};

// Effect: the manifest in `text`. `path` is used in messages.
// Errors: manifest_invalid, each problem with file:line:column, sorted, at most 20.
Result<Manifest> parse_manifest(std::string_view text, const std::string& path);
// Errors: as parse_manifest(), and file_*.
Result<Manifest> read_manifest(const std::string& path);

// Effect: JSON Schema (draft 7) of a manifest, with a final newline.
std::string manifest_schema();

}  // namespace mortise::registry
