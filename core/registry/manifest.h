// The YAML file beside a plugin's library: who it is, what it provides, when it is worth opening.
// Read without touching the library. Values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace mortise::registry {

enum class Interface : uint8_t { scheme = 1, architecture = 2, kernels = 3, container = 4 };  // MORTISE_INTERFACE_*
std::string_view name(Interface kind);

// One thing that a plugin provides, with the facts that decide whether to open it.
struct Provides {
    Interface kind{};
    std::string id;
    int priority = 50;                        // 0 to 100; decides between equal scores
    std::vector<std::string> quant_methods;   // scheme: values of quant_method, or names of side files; "" = none
    std::vector<std::string> name_spaces;     // scheme: containers' name spaces it reads; empty = the native one
    std::vector<std::string> architectures;   // architecture: exact names
    std::vector<std::string> model_types;     // architecture
    std::vector<std::string> suffixes;        // container: of file names
    std::string device;                       // kernels: "cpu", "cuda"
    int line = 0;
};

struct Manifest {
    std::string path;          // of the manifest
    std::string id, version, vendor, license, description;
    std::string library;       // absolute
    std::string sha256;        // pinned, or ""
    std::string disable_env;   // variable that switches the plugin off, or ""
    std::vector<Provides> provides;
};

// Errors: yaml_* and manifest_invalid: all problems of the file at once.
Result<Manifest> read_manifest(const std::string& path);

}  // namespace mortise::registry
