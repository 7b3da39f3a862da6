// The golden checkpoints of the tree and their plans by the plugins of the tree.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "registry/registry.h"

namespace mortise::test {

inline registry::Registry& plugins() {
    static registry::Registry registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        return registry::Registry::discover(options).value();
    }();
    return registry;
}

inline std::string golden(const std::string& name) {
    return std::string(MORTISE_SOURCE_DIR) + "/tests/golden/checkpoints/" + name + "/checkpoint";
}

// Names of all of them, sorted.
inline std::vector<std::string> golden_names() {
    std::vector<std::string> out;
    for (const auto& entry :
         std::filesystem::directory_iterator(MORTISE_SOURCE_DIR "/tests/golden/checkpoints"))
        if (std::filesystem::exists(entry.path() / "checkpoint")) out.push_back(entry.path().filename());
    std::ranges::sort(out);
    return out;
}

inline Result<std::shared_ptr<const plan::Planned>> try_plan(const std::string& path,
                                                             const std::string& quantization = {}) {
    plan::Options options;
    options.path = path;
    options.quantization = quantization;
    options.bind_kernels = false;
    return plan::make(options, plugins());
}

inline std::shared_ptr<const plan::Planned> plan_of(const std::string& path,
                                                    const std::string& quantization = {}) {
    auto planned = try_plan(path, quantization);
    EXPECT_TRUE(planned) << path << ": " << to_string(planned.error());
    return planned ? *planned : nullptr;
}

// A name that gtest takes.
inline std::string gtest_name(const ::testing::TestParamInfo<std::string>& info) {
    std::string out = info.param;
    std::ranges::replace_if(out, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return out;
}

}  // namespace mortise::test
