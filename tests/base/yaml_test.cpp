#include "base/yaml.h"

#include <gtest/gtest.h>

#include <array>

#include "support/temp_folder.h"

namespace mortise::yaml {
namespace {

Result<Document> parse(std::string_view text) { return Document::parse(text, "m.yaml"); }
std::string error_of(std::string_view text) {
    auto document = parse(text);
    return document ? "accepted" : to_string(document.error());
}

TEST(Yaml, keeps_kinds_quotes_and_positions) {
    auto document =
        parse(
            "id: fp8\nversion: \"1.10\"\nlist:\n  - 1\n  - 2.5\n  - true\n  - ~\nempty:\nneg: -3\n"
            "block: |\n  12\n")
            .value();
    const Node& root = document.root();
    EXPECT_EQ(root.find("id")->as_string().value(), "fp8");
    EXPECT_FALSE(root.find("id")->quoted());
    EXPECT_EQ(root.find("version")->as_quoted().value(), "1.10");
    const Node& list = *root.find("list");
    EXPECT_EQ(list.items()[0]->as_int().value(), 1);
    EXPECT_EQ(list.items()[1]->as_double().value(), 2.5);
    EXPECT_TRUE(list.items()[2]->as_bool().value());
    EXPECT_EQ(list.items()[3]->kind(), Kind::null);
    EXPECT_EQ(list.items()[1]->line(), 5);
    EXPECT_EQ(list.items()[1]->column(), 5);
    EXPECT_EQ(list.items()[1]->path(), "list[1]");
    EXPECT_EQ(root.find_value("empty"), nullptr);
    EXPECT_NE(root.find("empty"), nullptr);
    EXPECT_EQ(root.find("neg")->as_int().value(), -3);
    EXPECT_EQ(root.find("block")->as_string().value(), "12\n");
    EXPECT_EQ(root.key_positions()[1].line, 2);
    EXPECT_TRUE(root.items()[0]->was_read());
}

TEST(Yaml, a_bare_number_is_no_string) {
    auto document = parse("version: 1.10\nname: 010\nflag: yes\nid: fp8\n").value();
    const Node& root = document.root();
    auto error = root.find("version")->as_string();
    EXPECT_EQ(to_string(error.error()),
              "m.yaml:1:10: error[E3004]: 'version' has the wrong type (expected string, found real '1.10'); "
              "write it in quotes");
    EXPECT_EQ(root.find("name")->as_string().value(), "010");  // no octal
    EXPECT_FALSE(root.find("flag")->as_bool());                // true and false only
    EXPECT_FALSE(root.find("id")->as_quoted());
    EXPECT_FALSE(root.find("id")->as_int());
    EXPECT_FALSE(root.require(Kind::sequence));
}

TEST(Yaml, repeated_keys_name_both_lines) {
    EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"),
              "m.yaml:3:1: error[E3002]: key 'a' occurs twice, first on line 1");
}

TEST(Yaml, refuses_what_surprises_people) {
    EXPECT_NE(error_of("a: &x 1\nb: *x\n").find("anchors are not allowed"), std::string::npos);
    EXPECT_NE(error_of("a: &x 1\nb: *x\n").find("aliases are not allowed"), std::string::npos);
    EXPECT_NE(error_of("a: !!str 1\n").find("tags are not allowed"), std::string::npos);
    EXPECT_NE(error_of("a: !mine {b: 1}\n").find("tags are not allowed"), std::string::npos);
    EXPECT_NE(error_of("a: 1\n---\nb: 2\n").find("more than one document"), std::string::npos);
    EXPECT_NE(error_of("<<: {a: 1}\n").find("merge keys"), std::string::npos);
    EXPECT_NE(error_of("? [a]\n: 1\n").find("key must be a scalar"), std::string::npos);
    EXPECT_NE(error_of("a:\n\tb: 1\n").find("begins with a tab"), std::string::npos);
    EXPECT_NE(error_of("a: \x01\n").find("control character"), std::string::npos);
    EXPECT_NE(error_of("a: \xC2\x85\n").find("control character"), std::string::npos);
    EXPECT_NE(error_of("a: \xFF\n").find("not UTF-8"), std::string::npos);
    EXPECT_NE(error_of("a: [1\n").find("E3001"), std::string::npos);
}

TEST(Yaml, limits_depth_and_size) {
    auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    EXPECT_TRUE(parse(nested(16)));
    EXPECT_NE(error_of(nested(17)).find("E3007"), std::string::npos);
    EXPECT_NE(error_of(nested(100000)).find("E3007"), std::string::npos);
    EXPECT_NE(error_of(std::string(max_bytes + 1, ' ')).find("E3007"), std::string::npos);
    test::TempFolder folder;
    std::string path = folder.write("big.yaml", std::string(max_bytes + 1, '#'));
    EXPECT_EQ(Document::load(path).error().code(), Code::yaml_limits);
    EXPECT_EQ(Document::load(folder.at("none")).error().code(), Code::file_missing);
    EXPECT_TRUE(Document::load(folder.write("ok.yaml", "a: 1")));
}

TEST(Yaml, alias_bombs_end_at_once) {
    std::string bomb = "a0: &a0 [x, x]\n";
    for (int i = 1; i < 30; ++i) {
        std::string n = std::to_string(i), before = std::to_string(i - 1);
        bomb += "a" + n + ": &a" + n + " [*a" + before + ", *a" + before + "]\n";
    }
    auto document = parse(bomb);
    ASSERT_FALSE(document);
    EXPECT_EQ(document.error().problems().size(), max_problems);
}

TEST(Yaml, reports_all_problems_of_a_file_in_order) {
    auto document = parse("a: &x 1\nb: !t 2\na: 3\n");
    ASSERT_FALSE(document);
    const auto& problems = document.error().problems();
    ASSERT_EQ(problems.size(), 3u);
    EXPECT_EQ(problems[0].line, 1);
    EXPECT_EQ(problems[1].line, 2);
    EXPECT_EQ(problems[2].line, 3);
}

TEST(Yaml, empty_text_is_a_null_root) {
    for (auto text : {"", "# nothing\n", "\n"}) {
        auto document = parse(text).value();
        EXPECT_EQ(document.root().kind(), Kind::null);
        EXPECT_FALSE(document.root().require(Kind::map));
    }
}

TEST(YamlSchema, unknown_and_missing_keys_are_found_with_their_place) {
    auto document = parse("server:\n  prot: 1\n  x-note: hi\n  host: a\n").value();
    const std::array<std::string_view, 2> allowed = {"host", "port"};
    const Node& server = *document.root().find("server");
    Problems problems;
    EXPECT_FALSE(check_keys(server, allowed, problems));
    EXPECT_NE(require_key(server, "host", problems), nullptr);
    EXPECT_EQ(require_key(server, "port", problems), nullptr);
    EXPECT_FALSE(check_keys(*server.find("host"), allowed, problems));
    std::string text = to_string(std::move(problems).status().error());
    EXPECT_NE(text.find("m.yaml:2:3: error[E3003]: unknown key 'prot' in 'server'; did you mean 'port'?"),
              std::string::npos);
    EXPECT_NE(text.find("E3005]: key 'port' is missing in 'server'"), std::string::npos);
    EXPECT_NE(text.find("expected map, found string 'a'"), std::string::npos);
    Problems none;
    EXPECT_TRUE(check_keys(document.root(), std::array<std::string_view, 1>{"server"}, none));
}

TEST(YamlSchema, long_lists_of_problems_are_sorted_and_cut) {
    Problems problems;
    for (int line = 30; line > 0; --line)
        problems.add(Problem{.code = Code::yaml_value, .what = "x", .line = line});
    Error error = sorted(std::move(problems).status().error());
    ASSERT_EQ(error.problems().size(), max_problems);
    EXPECT_EQ(error.first().line, 1);
    EXPECT_NE(error.problems().back().what.find("10 more"), std::string::npos);
}

}  // namespace
}  // namespace mortise::yaml
