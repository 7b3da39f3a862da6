// Structs of different ages meet: what may be read is decided by the size that the writer set.
#include <gtest/gtest.h>

#include "mortise/abi.h"

TEST(Abi, ASmallerStructHidesItsTail) {
    mortise_kernels_v1 table{};
    table.head.size = offsetof(mortise_kernels_v1, run) + sizeof table.run;
    EXPECT_TRUE(MORTISE_HAS(&table, mortise_kernels_v1, run));
    EXPECT_FALSE(MORTISE_HAS(&table, mortise_kernels_v1, probe));
    table.head.size = offsetof(mortise_kernels_v1, probe) + sizeof table.probe - 1;
    EXPECT_FALSE(MORTISE_HAS(&table, mortise_kernels_v1, probe)) << "a field is there whole or not at all";
}

TEST(Abi, ALargerStructIsWelcome) {
    mortise_kernels_v1 table{};
    table.head.size = 4 * sizeof table;
    EXPECT_TRUE(MORTISE_HAS(&table, mortise_kernels_v1, probe));
}

extern "C" int mortise_abi_compiles_as_c(void);
TEST(Abi, IsPlainC) { EXPECT_EQ(mortise_abi_compiles_as_c(), 1); }
