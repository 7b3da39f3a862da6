// What a dialect writes of a KV cache: which numbers, under which names, in which form.
#include "mortise/sdk/writer.h"

#include <gtest/gtest.h>

#include "mortise/sdk/groups.h"
#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

using test::copy;
using test::FakeHost;

// A cache as a source may have it.
class Stored {
  public:
    explicit Stored(uint32_t encoding, bool per_head = false, uint32_t bits = 8, double divisor = 1) {
        answer_.head.size = sizeof answer_;
        answer_.encoding = encoding;
        answer_.bits = bits;
        answer_.per_head = per_head ? 1 : 0;
        answer_.scale_divisor = divisor;
    }
    Stored number(char letter, uint32_t role, const std::string& name, uint64_t heads = 1,
                  uint32_t flags = 0) && {
        mortise_field& field = spec_.field(role, "old." + name, {MORTISE_DTYPE_BF16},
                                           {heads > 1 ? shape_of({heads}) : shape_of({})});
        field.rows = heads;
        field.flags = flags;
        if (role == MORTISE_ROLE_ADDEND) {
            answer_.affine = 1;
            field.columns = 16;
            field.shapes[0] = shape_of({1, heads, 1, 16});
        }
        letters_.push_back(letter);
        return std::move(*this);
    }
    // Good until this changes.
    const mortise_cache_answer& abi() {
        answer_.fields = spec_.abi().fields;
        answer_.n_fields = spec_.abi().n_fields;
        answer_.letters = letters_.data();
        return answer_;
    }

  private:
    mortise_cache_answer answer_{};
    Spec spec_{1, 1, 1};
    std::string letters_;
};
Stored scales(uint32_t encoding = MORTISE_ENCODING_E4M3) {
    return (Stored(encoding).number('k', MORTISE_ROLE_SCALE, "k").number('v', MORTISE_ROLE_SCALE, "v"));
}

class Keeper : public SchemeWriter {
  public:
    Keeper(Place place, bool own)
        : SchemeWriter(Checkpoint(FakeHost::instance().checkpoint())), place_(place), own_(own) {}
    static Keeper beside_attention(bool own = false) { return {Place::beside_attention, own}; }
    static Keeper beside_projections(bool own = false) { return {Place::beside_projections, own}; }
    void target(const mortise_module&, const mortise_spec&, mortise_target&) override {}

    // "a.k_scale BF16 [1]" of each number; "" = none is written.
    std::string keeps(Stored&& stored) { return keeps(stored); }
    std::string keeps(Stored& stored) {
        out = {};
        (void)keep_cache({"a", stored.abi(), out}, place_, own_);
        std::string text;
        for (uint32_t f = 0; f < out.n_fields; ++f) {
            const mortise_field& field = out.fields[f];
            text += (f == 0 ? "" : ", ") + copy(field.tensor) +
                    (field.dtypes[0] == MORTISE_DTYPE_F32 ? " F32" : "") + " [";
            for (uint32_t d = 0; d < field.shapes[0].rank; ++d)
                text += (d == 0 ? "" : ",") + std::to_string(field.shapes[0].dims[d]);
            text += "]";
        }
        return text;
    }
    mortise_cache_answer out{};

  private:
    Place place_;
    bool own_;
};

// What a host that does not know a member gives is a smaller struct.
class Stacker : public SchemeWriter {
  public:
    Stacker() : SchemeWriter(Checkpoint(FakeHost::instance().checkpoint())) {}
    void target(const mortise_module& module, const mortise_spec&, mortise_target& target) override {
        if (is_stacked(module)) stack(target, module.expert);
    }
};

TEST(StackedExpert, IsASliceWhereTheHostKnowsOfSlices) {
    host_slot() = FakeHost::instance().table();
    Stacker writer;
    auto module = make<mortise_module>();
    auto target = make<mortise_target>();
    writer.target(module, mortise_spec{}, target);
    EXPECT_EQ(target.slice, 0u) << "no stack is named";
    module.stack = str("stack"), module.expert = 4;
    writer.target(module, mortise_spec{}, target);
    EXPECT_EQ(target.slice, 5u);
    target.head.size = offsetof(mortise_target, slice);
    EXPECT_THROW(writer.target(module, mortise_spec{}, target), Unsupported);
    module.head.size = offsetof(mortise_module, stack);
    EXPECT_NO_THROW(writer.target(module, mortise_spec{}, target)) << "an older host names none";
}

class WrittenCache : public testing::Test {
  protected:
    void SetUp() override { host_slot() = FakeHost::instance().table(); }
};

TEST_F(WrittenCache, IsCodedAsInTheSource) {
    Keeper keeper = Keeper::beside_attention();
    (void)keeper.keeps(Stored(MORTISE_ENCODING_E2M1, false, 4, 6));
    EXPECT_EQ(keeper.out.encoding, uint32_t{MORTISE_ENCODING_E2M1});
    EXPECT_EQ(keeper.out.bits, 4u);
    EXPECT_EQ(keeper.out.scale_divisor, 6);
}

TEST_F(WrittenCache, LiesBesideTheAttentionWithAnAxis) {
    EXPECT_EQ(Keeper::beside_attention().keeps(scales()), "a.k_scale [1], a.v_scale [1]");
    EXPECT_EQ(Keeper::beside_attention().keeps(
                  Stored(MORTISE_ENCODING_E4M3, true).number('q', MORTISE_ROLE_SCALE, "q", 4)),
              "a.q_scale [4,1,1]");
}

TEST_F(WrittenCache, LiesBesideTheProjectionsAsWideNumbersWithoutAxes) {
    EXPECT_EQ(Keeper::beside_projections().keeps(scales()),
              "a.k_proj.k_scale F32 [], a.v_proj.v_scale F32 []");
    EXPECT_EQ(Keeper::beside_projections().keeps(
                  Stored(MORTISE_ENCODING_E4M3).number('K', MORTISE_ROLE_ADDEND, "k", 2)),
              "a.k_proj.k_bias [1,2,1,16]")
        << "biases have one form everywhere";
}

TEST_F(WrittenCache, LeavesOutWhatHasNoNameAndSaysWhy) {
    Stored biased = (scales().number('V', MORTISE_ROLE_ADDEND, "v", 2));
    Keeper attention = Keeper::beside_attention(), projections = Keeper::beside_projections();
    EXPECT_EQ(attention.keeps(biased), "a.k_scale [1], a.v_scale [1]");
    EXPECT_FALSE(copy(attention.out.rule).empty());
    Stored asked = (scales().number('q', MORTISE_ROLE_SCALE, "q"));
    EXPECT_EQ(projections.keeps(asked), "a.k_proj.k_scale F32 [], a.v_proj.v_scale F32 []");
}

// One scale of each attention, where the source has one of each head: none of them is the right one.
TEST_F(WrittenCache, IsNotWrittenWhereScalesOfHeadsOrZeroPointsHaveNoPlace) {
    Stored heads = (Stored(MORTISE_ENCODING_E4M3, true).number('k', MORTISE_ROLE_SCALE, "k", 2));
    const auto zeros = [](uint32_t flags) {
        return scales(MORTISE_ENCODING_TWOS).number('k', MORTISE_ROLE_ZERO_POINT, "z", 1, flags);
    };
    Keeper keeper = Keeper::beside_projections();
    EXPECT_EQ(keeper.keeps(heads), "");
    EXPECT_NE(copy(keeper.out.rule).find("per head"), std::string::npos);
    EXPECT_EQ(keeper.out.encoding, uint32_t{MORTISE_ENCODING_AS_DTYPE}) << "not coded without them";
    EXPECT_EQ(keeper.keeps(zeros(0)), "");
    EXPECT_NE(keeper.keeps(zeros(MORTISE_FIELD_DROP_IF_ZERO)), "") << "zeros say nothing";
}

TEST_F(WrittenCache, StaysAsItIsInItsOwnDialect) {
    Stored heads = (Stored(MORTISE_ENCODING_E4M3, true).number('p', MORTISE_ROLE_UNUSED, "p", 2));
    EXPECT_EQ(Keeper::beside_attention(true).keeps(heads), "old.p [2]");
    EXPECT_EQ(Keeper::beside_projections(true).keeps(heads), "old.p [2]");
}

TEST_F(WrittenCache, HasTheNamesThatAreReadAgain) {
    for (const uint32_t encoding : {MORTISE_ENCODING_E4M3, MORTISE_ENCODING_TWOS, MORTISE_ENCODING_E2M1}) {
        Stored stored = scales(encoding);
        EXPECT_EQ(cache_named(lower(cache_name(stored.abi(), "NVFP4")), "nvfp4").encoding, encoding);
    }
    EXPECT_EQ(cache_name(Stored(MORTISE_ENCODING_AS_DTYPE).abi(), "NVFP4"), "");
    Stored biased = (scales(MORTISE_ENCODING_E2M1).number('K', MORTISE_ROLE_ADDEND, "k", 2));
    EXPECT_TRUE(cache_named(lower(cache_name(biased.abi(), "NVFP4")), "nvfp4").biases);
    EXPECT_EQ(cache_json("NVFP4_AFFINE"), R"("NVFP4_AFFINE")");
    EXPECT_EQ(cache_json("INT8"), R"({"dynamic":false,"num_bits":8,"type":"int"})");
}

TEST_F(WrittenCache, IsNoCodingOfGroupsWhenItHasFourBitsOrBiasesOrNoScales) {
    EXPECT_EQ(why_not_in_groups(scales().abi()), "");
    EXPECT_EQ(why_not_in_groups(Stored(MORTISE_ENCODING_AS_DTYPE).abi()), "");
    EXPECT_NE(why_not_in_groups(scales(MORTISE_ENCODING_E2M1).abi()), "");
    EXPECT_NE(why_not_in_groups(Stored(MORTISE_ENCODING_E4M3).abi()), "") << "never a scale of 1 in silence";
    EXPECT_NE(why_not_in_groups((scales().number('K', MORTISE_ROLE_ADDEND, "k", 2)).abi()), "");
}

TEST_F(WrittenCache, IsACodingOfGroupsPerTensorOrHead) {
    EXPECT_FALSE(cache_in_groups(Stored(MORTISE_ENCODING_AS_DTYPE).abi()));
    EXPECT_EQ(cache_in_groups(scales().abi())->strategy, "tensor");
    EXPECT_EQ(cache_in_groups(scales(MORTISE_ENCODING_TWOS).abi())->type, "int");
    EXPECT_EQ(cache_in_groups(Stored(MORTISE_ENCODING_E4M3, true).abi())->strategy, "attn_head");
    EXPECT_FALSE(
        cache_in_groups(Stored(MORTISE_ENCODING_TWOS).number('k', MORTISE_ROLE_ZERO_POINT, "z").abi())
            ->symmetric);
}

TEST(JsonText, IsReadAgainWhateverItHolds) {
    EXPECT_EQ(json_list({"a\"b\\c", "d\ne"}), R"(["a\"b\\c","d\u000ae"])");
    EXPECT_EQ(json_text(""), "null");
}

}  // namespace
}  // namespace mortise::sdk
