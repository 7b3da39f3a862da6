// Parts of matrices: of one that is fused on disk, and of one that several ranks share. Each takes the scales
// that its own rows and columns have in the file.
#include <gtest/gtest.h>

#include <cstring>

#include "load/convert.h"
#include "load/digest.h"
#include "load/part_stream.h"
#include "load/support/part_weights.h"
#include "support/golden.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::load {
namespace {

using test::golden;
using test::plan_of;
using test::plugins;
using testing::weights_of;

// A golden checkpoint in another dialect.
class Written : public ::testing::Test {
  protected:
    std::string write(const std::string& name, const std::string& dialect, const std::string& parameters) {
        const auto report =
            convert(*plan_of(golden(name)), plugins(), folder_.at(dialect),
                    {.dialect = dialect, .parameters = parameters, .requantize = true}, team_);
        EXPECT_TRUE(report) << (report ? "" : to_string(report.error()));
        return folder_.at(dialect);
    }
    // Effect: what each rank of two holds of every part is what the whole has there.
    static void expect_shares(const std::string& path) {
        const auto whole = plan_of(path);
        for (uint32_t rank = 0; rank < 2; ++rank) {
            plan::Options options;
            options.path = path;
            options.bind_kernels = false;
            options.rank = rank;
            options.size = 2;
            const auto share = plan::make(options, plugins());
            ASSERT_TRUE(share) << to_string(share.error());
            for (uint32_t p = 0; p < whole->plan().parts.size(); ++p) {
                const plan::PartPlan &part = (*share)->plan().parts[p], &all = whole->plan().parts[p];
                const auto mine = weights_of(**share, p), theirs = weights_of(*whole, p);
                for (uint64_t i = 0; i < mine.size(); ++i) {
                    const uint64_t row = part.first_row + i / part.n_columns,
                                   column = part.first_column + i % part.n_columns;
                    ASSERT_EQ(mine[i], theirs[row * all.n_columns + column])
                        << part.name << " " << row << "," << column;
                }
            }
        }
    }
    test::TempFolder folder_;
    Team team_{2};
};

// 96 columns over two ranks: the second starts in the middle of a group of 32.
TEST_F(Written, GroupsOfARanksColumnsAreThoseOfTheFile) {
    expect_shares(write("llama", "compressed_tensors", "mxfp8:weights"));
}

// Blocks of 48 rows over parts of 64, 32 and 32: parts and ranks start inside blocks.
TEST_F(Written, BlocksOfARanksRowsAreThoseOfTheFile) { expect_shares(write("llama", "fp8_block", "b48")); }

TEST_F(Written, BlockScalesOfAFusedMatrixAreThoseOfItsParts) {
    const std::string apart = write("llama", "fp8_block", "b16"), fused = folder_.at("fused");
    test::Tensors tensors = test::read_tensors(apart);
    for (const std::string layer : {"model.layers.0.self_attn.", "model.layers.1.self_attn."})
        for (const char* role : {".weight", ".weight_scale_inv"})
            test::fuse(tensors, {layer + "q_proj" + role, layer + "k_proj" + role, layer + "v_proj" + role},
                       layer + "qkv_proj" + role);
    test::write_tensors(apart, fused, tensors);
    const auto one = digest(Origin(*plan_of(apart)), team_), other = digest(Origin(*plan_of(fused)), team_);
    ASSERT_TRUE(one && other);
    EXPECT_LT(other->modules.size(), one->modules.size());
    EXPECT_EQ(one->model, other->model);
}

TEST_F(Written, SistersThatEnginesFuseShareTheirGlobalScale) {
    const auto tensors = test::read_tensors(write("llama", "compressed_tensors", "nvfp4:weights"));
    const auto scale = [&](const std::string& module) {
        return tensors.at("model.layers.0." + module + ".weight_global_scale").bytes;
    };
    EXPECT_EQ(scale("self_attn.q_proj"), scale("self_attn.v_proj"));
    EXPECT_EQ(scale("mlp.gate_proj"), scale("mlp.up_proj"));
    EXPECT_NE(scale("self_attn.q_proj"), scale("self_attn.o_proj"));
}

}  // namespace
}  // namespace mortise::load
