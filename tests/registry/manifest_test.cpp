#include "registry/manifest.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string errors_in(const std::string& text) { return text_of(parse_manifest(text, "x.yaml")); }
std::string errors_in(const ManifestText& text) { return errors_in(text.text()); }

TEST(Manifest, IsReadWhole) {
    ManifestText text;
    text.id("com.acme.all").version("1.4.2-rc.1").library("lib/all.so").sha256(std::string(64, 'a'));
    text.more("disable_env: ACME_OFF").more("requires: com.acme.kernels").more("conflicts: [com.acme.old]");
    text.provides(
        "{interface: scheme, id: acme4, priority: 60, quant_method: [acme4, \"\"], name_space: [acme]}");
    text.provides("{interface: architecture, id: acme, architectures: [AcmeForCausalLM], model_type: acme}");
    text.provides("{interface: container, id: acme, suffix: [.acme], first_bytes: [ACME, \"hex:00ff\"]}");
    text.provides("{interface: kernels, id: acme, device: npu}");
    const auto manifest = parse_manifest(text.text(), "x.yaml");
    ASSERT_TRUE(manifest) << text_of(manifest);
    EXPECT_EQ(manifest->id, "com.acme.all");
    EXPECT_EQ(manifest->version, "1.4.2-rc.1");
    EXPECT_EQ(manifest->library, "lib/all.so");
    EXPECT_EQ(manifest->abi_major, 1u);
    EXPECT_THAT(manifest->needs, ElementsAre("com.acme.kernels"));
    EXPECT_THAT(manifest->conflicts, ElementsAre("com.acme.old"));
    ASSERT_EQ(manifest->provides.size(), 4u);
    EXPECT_EQ(manifest->provides[0].priority, 60);
    EXPECT_THAT(manifest->provides[0].quant_methods, ElementsAre("acme4", ""));
    EXPECT_EQ(manifest->provides[1].kind, Interface::architecture);
    EXPECT_THAT(manifest->provides[1].model_types, ElementsAre("acme"));
    EXPECT_THAT(manifest->provides[2].first_bytes, ElementsAre("ACME", std::string("\0\xff", 2)));
    EXPECT_EQ(manifest->provides[3].device, "npu");
    EXPECT_EQ(manifest->provides[3].line, 16);
}

TEST(Manifest, ReportsEveryProblemWithItsPlaceInOrder) {
    const std::string text =
        "manifest: mortise.plugin/v1\n"
        "plugin: {id: Com.Acme, version: 1.10}\n"
        "library: {path: ../x.so, sha: abc}\n"
        "abi: one\n"
        "requries: [a]\n"
        "provides:\n"
        "  - {interface: schema, id: x}\n";
    const std::string found = errors_in(text);
    EXPECT_THAT(found, HasSubstr("x.yaml:2:14: error[E4001]: plugin.id is no id"));
    EXPECT_THAT(found, HasSubstr("x.yaml:2:33"));
    EXPECT_THAT(found,
                HasSubstr("x.yaml:3:17: error[E4001]: library.path leaves the folder of the manifest"));
    EXPECT_THAT(found, HasSubstr("x.yaml:3:26"));
    EXPECT_THAT(found, HasSubstr("x.yaml:5:1"));
    EXPECT_THAT(found, HasSubstr("did you mean 'requires'?"));
    EXPECT_THAT(found, HasSubstr("did you mean 'scheme'?"));
    EXPECT_LT(found.find("x.yaml:2:"), found.find("x.yaml:3:"));
    EXPECT_LT(found.find("x.yaml:5:1"), found.find("x.yaml:7:"));
}

TEST(Manifest, KeyTwiceIsAnErrorWithBothPlaces) {
    const std::string found =
        errors_in("manifest: mortise.plugin/v1\nplugin: {id: a, version: \"1.0.0\"}\nplugin: {id: b}\n");
    EXPECT_THAT(found, AllOf(HasSubstr("x.yaml:3:1"), HasSubstr("E4001"), HasSubstr("line 2")));
}

TEST(Manifest, BareVersionIsRefusedBecauseItIsANumber) {
    EXPECT_THAT(errors_in("manifest: mortise.plugin/v1\nplugin: {id: a, version: 1.10}\nlibrary: {path: "
                          "a.so}\nabi: \"1.0\"\n"
                          "provides: [{interface: kernels, id: a, device: d}]\n"),
                HasSubstr("x.yaml:2:26"));
}

TEST(Manifest, UnknownFamilyIsRefused) {
    std::string text = ManifestText().text();
    text.replace(text.find("/v1"), 3, "/v9");
    EXPECT_THAT(errors_in(text), HasSubstr("mortise.plugin/v9"));
}

TEST(Manifest, FactsOfAnotherInterfaceAreUnknownKeys) {
    EXPECT_THAT(
        errors_in(ManifestText().provides("{interface: kernels, id: a, device: d, quant_method: [b]}")),
        HasSubstr("quant_method"));
}

TEST(Manifest, SchemeThatFitsNothingIsRefused) {
    EXPECT_THAT(errors_in(ManifestText().provides("{interface: scheme, id: a}")),
                HasSubstr("quant_method or name_space"));
}

TEST(Manifest, ContainerThatFitsNothingIsRefused) {
    EXPECT_THAT(errors_in(ManifestText().provides("{interface: container, id: a}")),
                HasSubstr("suffix or first_bytes"));
}

TEST(Manifest, EntryTwiceIsRefused) {
    EXPECT_THAT(errors_in(ManifestText().scheme("a", "x").scheme("a", "y")), HasSubstr("provided twice"));
}

TEST(Manifest, PriorityOutsideItsRangeIsRefused) {
    EXPECT_THAT(errors_in(ManifestText().scheme("a", "x", 101)), HasSubstr("0 to 100"));
}

TEST(Manifest, AbsoluteLibraryIsRefused) {
    EXPECT_THAT(errors_in(ManifestText().library("/usr/lib/x.so")), HasSubstr("leaves the folder"));
}

TEST(Manifest, TwoDotsInsideAFileNameAreNoClimbing) {
    EXPECT_EQ(errors_in(ManifestText().library("a..b.so")), "no error");
}

TEST(Manifest, DigestMustBeADigest) {
    EXPECT_THAT(errors_in(ManifestText().sha256("ABC")), HasSubstr("64 lower-case hexadecimal digits"));
}

TEST(Manifest, EmptyFileIsRefused) { EXPECT_THAT(errors_in(""), Not("no error")); }

TEST(Manifest, PublishedSchemaIsTheOneThatTheReaderUses) {
    std::ifstream file(MORTISE_SOURCE_DIR "/configs/schema/manifest.schema.json");
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_TRUE(text.str() == manifest_schema())
        << "write manifest_schema() into configs/schema/manifest.schema.json";
}

}  // namespace
}  // namespace mortise::registry::test
