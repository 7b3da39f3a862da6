// Which levels run here, how one is forced, and that tiles in plain arithmetic are the hardware's bits.
#include <gtest/gtest.h>

#include <cstdlib>

#include "cpu/provider.h"
#include "providers.h"

namespace mortise::test {
namespace {

class Environment {
  public:
    explicit Environment(const char* value) { setenv("MORTISE_CPU_ISA", value, 1); }
    ~Environment() { unsetenv("MORTISE_CPU_ISA"); }
};

TEST(Level, EveryLevelOfThisMachineIsTested) {
    std::string missing;
    for (const std::string& level : levels_not_run()) missing += "\n  " + level;
    if (!missing.empty()) GTEST_SKIP() << "NOT RUN on this machine:" << missing;
}

TEST(Level, TheBestOneIsChosen) {
    unsetenv("MORTISE_CPU_ISA");
    const cpu::Choice choice = cpu::choose();
    EXPECT_TRUE(choice.error.empty());
    EXPECT_EQ(cpu::why_not(choice.level), nullptr);
    for (int better = static_cast<int>(choice.level) + 1; better < cpu::level_count; better++) {
        EXPECT_NE(cpu::why_not(static_cast<cpu::Level>(better)), nullptr);
    }
}

TEST(Level, TheEnvironmentForcesOneOrGetsTheReason) {
    for (int i = 0; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        const Environment forced(cpu::name(level));
        const cpu::Choice choice = cpu::choose();
        EXPECT_EQ(choice.level, level);
        EXPECT_EQ(choice.error.empty(), cpu::why_not(level) == nullptr) << choice.error;
    }
    const Environment wrong("sse9");
    EXPECT_NE(cpu::choose().error.find("sse9"), std::string::npos);
}

TEST(Level, EmulatedTilesAreTheHardwaresBits) {
    if (const char* why = cpu::why_not(cpu::Level::amx))
        GTEST_SKIP() << "hardware tiles were NOT RUN: " << why;
    install_host();
    const Format format{"int4", MORTISE_ENCODING_UNSIGNED, 4, 64, 1, 2};
    const Part part(format, 75, 480, 3, true);
    ProblemBox box;
    box.inputs = {480}, box.outputs = {75}, box.parts = {&part.facts()};
    const auto& problem = box.finish(MORTISE_OP_LINEAR, 70, 2);
    Bound hardware({"amx", &cpu::kernels(cpu::Level::amx)}, problem, {&part});
    Bound emulated({"emulated", &cpu::kernels(cpu::Level::amx, true)}, problem, {&part});
    for (uint32_t rows : {5u, 16u, 33u, 70u}) {
        const auto x = random_floats(rows * 480, rows);
        EXPECT_EQ(hardware.run(2, rows, {x.data()}), emulated.run(2, rows, {x.data()}));
    }
}

TEST(Level, ProbesMeasureSomething) {
    install_host();
    for (const Level& level : levels()) {
        if (!level.provider.table->probe) continue;  // the reference has none
        for (uint32_t kind : {MORTISE_PROBE_READ, MORTISE_PROBE_MATRIX}) {
            double rate = 0;
            char name[64] = "";
            ASSERT_EQ(level.provider.table->probe(kind, 0, 1, 0.001, &rate, name), MORTISE_OK);
            EXPECT_GT(rate, 1e6) << level.provider.name;
            EXPECT_NE(name[0], 0);
        }
        double rate = 0;
        char name[64];
        EXPECT_NE(level.provider.table->probe(99, 0, 1, 0.001, &rate, name), MORTISE_OK);
    }
}

}  // namespace
}  // namespace mortise::test
