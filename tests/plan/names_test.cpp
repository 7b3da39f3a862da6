// Where an expert lies when a projection's experts are one stack.
#include "plan/names.h"

#include <gtest/gtest.h>

namespace mortise::plan {
namespace {

model::ModuleTree tree() {
    model::ModuleTree out;
    out.aliases = {{"gguf", "m.{i}.experts.{e}.up", "blk.{i}.up_exps", false, {}},
                   {"", "m.{i}.norm", "m.{i}.layer_norm", false, {}},
                   {"", "m.{i}.experts.{e}.down", "m.{i}.old.{e}.down", false, {}},
                   {"", "m.{i}.experts.{e}.up", "m.{i}.stack.up", false, {}}};
    return out;
}

TEST(StackPlace, IsTheNativeNameOfAllExperts) {
    const StackPlace one = stack_place(tree(), "m.12.experts.30.up");
    EXPECT_EQ(one.name, "m.12.stack.up");
    EXPECT_EQ(one.expert, 30u);
    const StackPlace all = stack_place(tree(), "m.12.experts.{e}.up");
    EXPECT_EQ(all.name, "m.12.stack.up");
    EXPECT_EQ(all.expert, 0u);
}

TEST(StackPlace, IsNoneForWhatIsNoExpertOrHasNoStack) {
    for (const char* name : {"m.12.norm", "m.12.experts.3.down", "m.12.experts.up", "m.12.experts.x.up",
                             "m.x.experts.3.up", "n.12.experts.3.up", "m.12.experts..up", ".up"})
        EXPECT_EQ(stack_place(tree(), name).name, "") << name;
}

}  // namespace
}  // namespace mortise::plan
