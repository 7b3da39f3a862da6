#include "mortise/sdk/config.h"

#include <gtest/gtest.h>

#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

using test::FakeHost;

class ConfigOf : public testing::Test {
  protected:
    void SetUp() override {
        host_slot() = FakeHost::instance().table();
        FakeHost::instance().reset();
    }
    Config of(const std::string& text) { return Config(FakeHost::instance().file("config.json", text)); }
};

TEST_F(ConfigOf, ReadsTypedValuesExactly) {
    const Config c = of(R"({"i": 3, "r": 1e-5, "s": "x", "b": true, "l": [1, 2]})");
    EXPECT_EQ(c.get<int>("i"), 3);
    EXPECT_EQ(c.get<double>("r"), 1e-5);
    EXPECT_EQ(c.get<std::string>("s"), "x");
    EXPECT_TRUE(c.get<bool>("b"));
    EXPECT_EQ(c["l"].list<int>(), (std::vector<int>{1, 2}));
}

TEST_F(ConfigOf, TreatsNullAsAbsent) {
    const Config c = of(R"({"n": null})");
    EXPECT_FALSE(c["n"]);
    EXPECT_FALSE(c["gone"]);
    EXPECT_EQ(c.get<int>("n", 7), 7);
    EXPECT_EQ(c.maybe<int>("n"), std::nullopt);
    EXPECT_THROW(c.get<int>("n"), Refused);
}

TEST_F(ConfigOf, RefusesANumberThatTheTypeCannotHold) {
    const Config c = of(R"({"big": 5000000000, "negative": -1, "real": 1.5})");
    EXPECT_THROW(c.get<int>("big"), Refused);
    EXPECT_THROW(c.get<uint64_t>("negative"), Refused);
    EXPECT_THROW(c.get<int>("real"), Reported);
}

TEST_F(ConfigOf, RefusesAnotherKind) { EXPECT_THROW(of(R"({"s": "3"})").get<int>("s"), Reported); }

TEST_F(ConfigOf, TakesEitherSpellingAndRefusesTwoThatDisagree) {
    EXPECT_EQ(of(R"({"w_bit": 4})").first_of<int>({"bits", "w_bit"}), 4);
    EXPECT_EQ(of(R"({"bits": 4, "w_bit": 4})").first_of<int>({"bits", "w_bit"}), 4);
    EXPECT_THROW(of(R"({"bits": 4, "w_bit": 8})").first_of<int>({"bits", "w_bit"}), Refused);
}

TEST_F(ConfigOf, NamesTheValueThatIsNoneOfTheChoices) {
    const Config c = of(R"({"version": "marlin"})");
    EXPECT_EQ(c.one_of("version", {"gemm", "marlin"}), "marlin");
    EXPECT_EQ(c.one_of("absent", {"a"}, "a"), "a");
    try {
        c.one_of("version", {"gemm"});
        FAIL();
    } catch (const Unsupported& no) {
        EXPECT_EQ(no.details().found, "marlin");
        EXPECT_EQ(no.details().expected, "gemm");
        EXPECT_NE(no.details().node, nullptr);
    }
}

TEST_F(ConfigOf, AcceptsAnEmptySettingThatItWouldRefuse) {
    const Config c =
        of(R"({"a": null, "b": false, "c": "", "d": [], "e": {}, "f": {"x": 1}, "g": 1, "h": true})");
    for (const char* key : {"a", "b", "c", "d", "e", "absent"}) EXPECT_NO_THROW(c.refuse_if_set(key)) << key;
    for (const char* key : {"f", "g", "h"}) EXPECT_THROW(c.refuse_if_set(key), Unsupported) << key;
}

TEST_F(ConfigOf, LeavesUnreadKeysToTheHost) {
    const Config c = of(R"({"known": 1, "inert": {"deep": [1]}, "unknown": 2})");
    c.get<int>("known");
    c.ignore({"inert", "absent"});
    EXPECT_EQ(FakeHost::instance().unread(), "unknown ");
}

mortise_status thrown(auto what) {
    return guard([&] { throw what; });
}

TEST_F(ConfigOf, TurnsWhateverIsThrownIntoAStatusAndAMessage) {
    FakeHost& host = FakeHost::instance();
    EXPECT_EQ(guard([] {}), MORTISE_OK);
    EXPECT_EQ(thrown(Refused({.what = "wrong", .found = "this"})), MORTISE_REFUSED);
    EXPECT_EQ(host.error(), "wrong; this");
    EXPECT_EQ(thrown(Unsupported({.what = "not here"})), MORTISE_UNSUPPORTED);
    EXPECT_EQ(host.error(), "not here");
    EXPECT_EQ(thrown(std::bad_alloc()), MORTISE_NO_MEMORY);
    EXPECT_NE(host.error(), "");
    EXPECT_EQ(thrown(std::runtime_error("oops")), MORTISE_INTERNAL);
    EXPECT_EQ(host.error(), "oops");
    EXPECT_EQ(thrown(42), MORTISE_INTERNAL);
    EXPECT_NE(host.error(), "");
    EXPECT_EQ(thrown(Reported{MORTISE_REFUSED}), MORTISE_REFUSED);
    EXPECT_EQ(host.error(), "") << "the host's own message must stay";
}

}  // namespace
}  // namespace mortise::sdk
