// The KV cache in the plan: its dtype, where its numbers go, and that none is lost.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "base/file.h"
#include "checkpoint/write.h"
#include "golden_plan.h"
#include "plan/report.h"
#include "support/temp_folder.h"

namespace mortise::plan {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const Planned> planned(const std::string& dtype, uint32_t rank = 0, uint32_t size = 1) {
    Options options;
    options.cache_dtype = dtype;
    options.rank = rank, options.size = size;
    auto made = plan_of(golden("ct-kv-fp8"), options);
    EXPECT_TRUE(made) << to_string(made.error());
    return made ? *made : nullptr;
}
Code refused(const std::string& name, const std::string& dtype) {
    Options options;
    options.cache_dtype = dtype;
    const auto made = plan_of(golden(name), options);
    EXPECT_FALSE(made) << dtype;
    return made ? Code{} : made.error().code();
}
std::string tensor_of(const Planned& p, uint32_t vector) {
    return vector == none ? "none" : p.checkpoint().catalog.tensors()[p.plan().vectors[vector].tensor].name;
}
uint64_t unused(const LoadPlan& plan) {
    uint64_t count = 0;
    for (const Drop& drop : plan.drops) count += drop.code == DropCode::cache_scale_unused;
    return count;
}

TEST(Caches, OfTheCheckpointsKindGetItsScales) {
    const auto p = planned("checkpoint");
    ASSERT_EQ(p->plan().caches.size(), 2u);
    const CachePlan& cache = p->plan().caches[1];
    EXPECT_EQ(cache.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(tensor_of(*p, cache.k_scale), "model.layers.1.self_attn.k_scale");
    EXPECT_EQ(tensor_of(*p, cache.v_scale), "model.layers.1.self_attn.v_scale");
    EXPECT_EQ(unused(p->plan()), 0u);
    EXPECT_NE(plan_text(*p, false).find("fp8_e4m3"), std::string::npos);
    EXPECT_NE(plan_text(*p, false).find("model.layers.0.self_attn.k_scale -> model.layers.0.self_attn"),
              std::string::npos)
        << plan_text(*p, false);
    EXPECT_NE(plan_json(*p).find("\"dtype\": \"fp8_e4m3\""), std::string::npos);
}

TEST(Caches, LeaveScalesPresentAndUnusedWhereTheyAreFloats) {
    for (const char* dtype : {"auto", "f32", "bf16", "f16"}) {
        const auto p = planned(dtype);
        EXPECT_EQ(unused(p->plan()), 4u) << dtype;
        EXPECT_EQ(p->plan().caches[0].k_scale, none);
        EXPECT_NE(plan_text(*p, false).find("present, and unused"), std::string::npos);
    }
}

TEST(Caches, OfAnotherKindDoNotTakeScalesThatWereMadeForFp8) {
    const auto p = planned("fp8_e5m2");
    EXPECT_EQ(p->plan().caches[0].k_scale, none);
    EXPECT_EQ(unused(p->plan()), 4u);
    ASSERT_FALSE(p->plan().notes.empty());
    EXPECT_NE(p->plan().notes.back().find("a scale of 1"), std::string::npos) << "never silently";
}

TEST(Caches, OfIntegersNeedScales) {
    EXPECT_EQ(refused("ct-kv-fp8", "int8"), Code::tensor_missing);
    EXPECT_EQ(refused("llama", "int8"), Code::tensor_missing);
}

TEST(Caches, WithBiasesNeedThem) { EXPECT_EQ(refused("ct-kv-fp8", "fp8_e4m3_affine"), Code::tensor_missing); }

TEST(Caches, OfAnUnknownKindAreRefusedByName) { EXPECT_EQ(refused("ct-kv-fp8", "fp8"), Code::usage); }

TEST(Caches, WithoutScalesInTheCheckpointSayThatOneIsTaken) {
    Options options;
    options.cache_dtype = "fp8_e4m3";
    const auto p = plan_of(golden("llama"), options);
    ASSERT_TRUE(p) << to_string(p.error());
    ASSERT_FALSE((*p)->plan().notes.empty());
    EXPECT_NE((*p)->plan().notes.back().find("a scale of 1"), std::string::npos);
}

TEST(Caches, TakeAsManyBytesAsTheirCodes) {
    const auto wide = planned("f32"), half = planned("bf16"), byte = planned("checkpoint"),
               blocks = planned("nvfp4");
    EXPECT_EQ(wide->plan().memory.cache, 2 * half->plan().memory.cache);
    EXPECT_EQ(half->plan().memory.cache, 2 * byte->plan().memory.cache);
    EXPECT_EQ(byte->plan().memory.cache * 9, 16 * blocks->plan().memory.cache)
        << "4 bits and a byte for each 16";
}

TEST(Caches, GiveEachRankTheScalesOfItsHeads) {
    for (uint32_t rank : {0u, 1u}) {
        const auto p = planned("checkpoint", rank, 2);
        EXPECT_EQ(p->plan().caches[0].kv_heads, 1u);
        EXPECT_EQ(p->plan().vectors[p->plan().caches[0].k_scale].n_columns, 1u)
            << "one for all heads serves every rank";
    }
}

// A copy of the checkpoint whose tensors can be changed.
class ChangedCaches : public testing::Test {
  protected:
    void SetUp() override {
        folder_ = fs::path(root_.path()) / "m";
        fs::copy(golden("ct-kv-fp8"), folder_, fs::copy_options::recursive);
        file_ = (folder_ / "model.safetensors").string();
        fs::permissions(file_, fs::perms::owner_write, fs::perm_options::add);
        text_ = read_file(file_).value();
    }
    // Effect: replaces a name by one of the same length in the header.
    void rename(const std::string& from, const std::string& to) {
        ASSERT_EQ(from.size(), to.size());
        const size_t at = text_.find("\"" + from + "\"");
        ASSERT_NE(at, std::string::npos) << from;
        text_.replace(at + 1, from.size(), to);
    }
    Result<std::shared_ptr<const Planned>> plan(const std::string& dtype) {
        std::ofstream(file_, std::ios::binary) << text_;
        Options options;
        options.cache_dtype = dtype;
        return plan_of(folder_.string(), options);
    }
    void expect_lost(const std::string& words) {
        for (const char* dtype : {"auto", "checkpoint"}) {
            const auto made = plan(dtype);
            ASSERT_FALSE(made) << dtype;
            EXPECT_NE(to_string(made.error()).find(words), std::string::npos) << to_string(made.error());
        }
    }
    test::TempFolder root_;
    fs::path folder_;
    std::string file_, text_;
};

TEST_F(ChangedCaches, CalibratedScalesMustLandOrTheLoadFails) {
    rename("model.layers.0.self_attn.k_scale", "model.layers.0.self_attn.k_scald");
    expect_lost("model.layers.0.self_attn.k_scale");
}

TEST_F(ChangedCaches, ScalesUnderNamesThatWereRenamedOnceAreNotRenamedAgain) {
    // As engines rename them; the module's own "attn." must not be put in twice and lose them.
    const auto longer = [&](const std::string& from, const std::string& to) {
        const size_t at = text_.find("\"" + from + "\"");
        ASSERT_NE(at, std::string::npos);
        text_.replace(at + 1, from.size(), to);
        uint64_t header = 0;
        std::memcpy(&header, text_.data(), 8);
        header += to.size() - from.size();
        std::memcpy(text_.data(), &header, 8);
    };
    for (const char* layer : {"model.layers.0.self_attn.", "model.layers.1.self_attn."})
        for (const char* scale : {"k_scale", "v_scale"})
            longer(std::string(layer) + scale, std::string(layer) + "attn." + scale);
    const auto made = plan("checkpoint");
    ASSERT_TRUE(made) << to_string(made.error());
    EXPECT_EQ(tensor_of(**made, (*made)->plan().caches[0].k_scale), "model.layers.0.self_attn.attn.k_scale");
}

// The golden llama with q, k and v of each layer in one tensor, as some families keep them, and scales of the
// cache under the names of projections that are not there.
// `only`: layers whose name has this; "" = all.
std::string fused_with_scales(const std::string& folder, const std::string& only = {}) {
    fs::copy(golden("llama"), folder, fs::copy_options::recursive);
    const std::string path = folder + "/model.safetensors";
    fs::remove(path);
    const auto from = checkpoint::open_native(golden("llama")).value();
    const checkpoint::TensorReader reader(from.catalog);
    std::map<std::string, std::vector<std::byte>> contents;
    std::vector<checkpoint::NewTensor> tensors;
    const std::vector<std::byte> one = {std::byte{0}, std::byte{0}, std::byte{0x80}, std::byte{0x3F}};
    for (const checkpoint::TensorEntry& tensor : from.catalog.tensors()) {
        const size_t at = tensor.name.find(".q_proj.weight");
        const bool other = tensor.name.find(".k_proj.weight") != std::string::npos ||
                           tensor.name.find(".v_proj.weight") != std::string::npos;
        if (other) continue;
        std::string name = tensor.name;
        Shape shape = tensor.shape;
        std::vector<std::byte> bytes = reader.read_all(tensor).value();
        if (at != std::string::npos) {
            const std::string attention = name.substr(0, at);
            for (const char* sister : {".k_proj.weight", ".v_proj.weight"}) {
                const checkpoint::TensorEntry& more = *from.catalog.find(attention + sister);
                const auto tail = reader.read_all(more).value();
                bytes.insert(bytes.end(), tail.begin(), tail.end());
                shape[0] += more.shape[0];
            }
            name = attention + ".qkv_proj.weight";
            for (const char* scale : {".k_proj.k_scale", ".v_proj.v_scale"}) {
                if (attention.find(only) == std::string::npos) continue;
                tensors.push_back({attention + scale, DType::f32, {}});
                contents[attention + scale] = one;
            }
        }
        tensors.push_back({name, tensor.dtype, shape});
        contents[name] = std::move(bytes);
    }
    auto writer = checkpoint::SafetensorsWriter::create(path, tensors).value();
    for (const auto& [name, bytes] : contents) EXPECT_TRUE(writer.write(name, 0, bytes));
    EXPECT_TRUE(writer.close());
    return folder;
}

TEST(Caches, NoticeScalesThatOneLayerLacksAltogether) {
    const test::TempFolder root;
    const std::string folder = fused_with_scales((fs::path(root.path()) / "m").string(), "layers.0.");
    const auto made = plan_of(folder);
    ASSERT_FALSE(made) << "although nothing uses them";
    EXPECT_EQ(made.error().code(), Code::companion_partial) << to_string(made.error());
}

TEST(Caches, KeepTheirScalesUnderProjectionsThatAreFusedOnDisk) {
    const test::TempFolder root;
    const std::string folder = fused_with_scales((fs::path(root.path()) / "m").string());
    Options options;
    const auto unused_ones = plan_of(folder, options);
    ASSERT_TRUE(unused_ones) << to_string(unused_ones.error());
    const uint64_t layers = (*unused_ones)->plan().caches.size();
    ASSERT_GT(layers, 1u);
    EXPECT_EQ(unused((*unused_ones)->plan()), 2 * layers);
    options.cache_dtype = "fp8_e4m3";
    const auto used = plan_of(folder, options);
    ASSERT_TRUE(used) << to_string(used.error());
    EXPECT_EQ(tensor_of(**used, (*used)->plan().caches[0].k_scale),
              "model.layers.0.self_attn.k_proj.k_scale");
}

}  // namespace
}  // namespace mortise::plan
