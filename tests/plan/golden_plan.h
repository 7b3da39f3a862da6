// Plans of the golden checkpoints, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "plan/plan.h"

namespace mortise::plan {

inline std::string golden(const std::string& name) {
    return std::string(MORTISE_SOURCE_DIR) + "/tests/golden/checkpoints/" + name + "/checkpoint";
}

inline registry::Registry& plugins() {
    static registry::Registry registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        return registry::Registry::discover(options).value();
    }();
    return registry;
}

inline Result<std::shared_ptr<const Planned>> plan_of(const std::string& path, Options options = {}) {
    options.path = path;
    options.reference_kernels = true;
    return make(options, plugins());
}

inline const std::vector<std::string>& golden_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(std::string(MORTISE_SOURCE_DIR) +
                                                                     "/tests/golden/checkpoints"))
            if (entry.is_directory()) out.push_back(entry.path().filename().string());
        std::sort(out.begin(), out.end());
        return out;
    }();
    return names;
}

}  // namespace mortise::plan
