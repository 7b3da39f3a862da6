// Stacks that modules make together: whole, alike, and written once.
#include "load/convert_jobs.h"

#include <gtest/gtest.h>

namespace mortise::load {
namespace {

// Expert `slice` - 1 of a stack, with `rows` rows of codes.
Job expert(uint64_t slice, int64_t rows = 8) {
    Job job{.name = "experts." + std::to_string(slice)};
    job.target.slice = slice;
    quant::Field codes;
    codes.role = MORTISE_ROLE_CODES;
    codes.tensor = "stack.weight";
    codes.dtypes = {DType::u8};
    codes.shapes = {{rows, 4}};
    job.target.spec.fields = {codes};
    return job;
}

Code refusal(const std::vector<Job>& jobs) {
    const auto stacks = stacks_of(jobs);
    return stacks ? Code{} : stacks.error().code();
}

TEST(Stacks, AreMadeOfAllTheirSlices) {
    const auto stacks = stacks_of({expert(3), expert(1), expert(2), Job{.name = "alone"}});
    ASSERT_TRUE(stacks);
    ASSERT_EQ(stacks->size(), 1u);
    const Stack& stack = stacks->at("stack.weight");
    EXPECT_EQ(stack.slices.size(), 3u);
    EXPECT_EQ(stack.tensors.front().shape, (Shape{8, 4})) << "of one slice";
}

TEST(Stacks, WithAHoleAreRefused) { EXPECT_EQ(refusal({expert(1), expert(3)}), Code::lossy); }
TEST(Stacks, OfDifferentFormsAreRefused) { EXPECT_EQ(refusal({expert(1), expert(2, 16)}), Code::lossy); }
TEST(Stacks, TakeNoSliceTwice) { EXPECT_EQ(refusal({expert(1), expert(1)}), Code::plugin_contract); }

}  // namespace
}  // namespace mortise::load
