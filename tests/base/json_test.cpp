#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "support/temp_folder.h"

namespace mortise::json {
namespace {

Result<Document> parse(std::string_view text) { return Document::parse(text, "config.json"); }
Problem problem_of(std::string_view text) {
    auto document = parse(text);
    EXPECT_FALSE(document) << text;
    return document ? Problem{} : document.error().first();
}

TEST(Json, keeps_kinds_positions_and_paths) {
    auto document = parse("{\n  \"a\": {\"b\": [1, 2.5, \"x\", true, null]},\n  \"c\": -7\n}").value();
    const Node& list = *document.root().find("a")->find("b");
    EXPECT_EQ(list.items()[1]->path(), "a.b[1]");
    EXPECT_EQ(list.items()[1]->line(), 2);
    EXPECT_EQ(list.items()[1]->column(), 18);
    EXPECT_EQ(list.items()[0]->as_int().value(), 1);
    EXPECT_EQ(list.items()[1]->as_double().value(), 2.5);
    EXPECT_EQ(list.items()[2]->as_string().value(), "x");
    EXPECT_TRUE(list.items()[3]->as_bool().value());
    EXPECT_EQ(list.items()[4]->kind(), Kind::null);
    EXPECT_EQ(document.root().find("c")->as_int().value(), -7);
    EXPECT_EQ(document.root().find("c")->line(), 3);
    EXPECT_EQ(document.root().path(), "");
}

TEST(Json, remembers_what_was_read) {
    auto document = parse(R"({"a": 1, "b": {"c": 2}, "d": null})").value();
    const Node& root = document.root();
    EXPECT_EQ(root.find("zzz"), nullptr);
    EXPECT_EQ(root.find_value("d"), nullptr);
    EXPECT_TRUE(root.items()[2]->was_read());
    EXPECT_FALSE(root.items()[0]->was_read());
    root.find("b");
    EXPECT_TRUE(root.items()[1]->was_read());
    EXPECT_FALSE(root.items()[1]->items()[0]->was_read());
    root.mark_all_read();
    EXPECT_TRUE(root.items()[1]->items()[0]->was_read());
}

TEST(Json, finds_members_of_large_objects) {
    std::string text = "{";
    for (int i = 0; i < 1000; ++i) {
        text +=
            (i ? ",\"k" : "\"k") + std::to_string(i * 7919 % 1000) + "\":" + std::to_string(i * 7919 % 1000);
    }
    auto document = parse(text + "}").value();
    for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(document.root().find("k" + std::to_string(i))->as_int().value(), i);
    }
    EXPECT_EQ(document.root().find("k1000"), nullptr);
    EXPECT_EQ(document.root().keys()[1], "k919");
}

TEST(Json, type_errors_say_where_and_what) {
    auto document = parse("{\"a\": {\"b\":\n \"12\"}}").value();
    auto error = document.root().find("a")->find("b")->as_int();
    ASSERT_FALSE(error);
    EXPECT_EQ(to_string(error.error()),
              "config.json:2:2: error[E2043]: 'a.b' has the wrong type "
              "(expected 64-bit integer, found string \"12\")");
    EXPECT_EQ(document.root().as_string().error().code(), Code::json_type);
    EXPECT_FALSE(document.root().require(Kind::array));
    EXPECT_TRUE(document.root().require(Kind::object));
}

TEST(Json, numbers_are_exact) {
    auto document = parse(
                        "[9223372036854775807, -9223372036854775808, 9223372036854775808, 3.0, 3.5, 1e3,"
                        " 1e400, 0.1, 1000000000000000019884624838656]")
                        .value();
    const auto& items = document.root().items();
    EXPECT_EQ(items[0]->as_int().value(), std::numeric_limits<int64_t>::max());
    EXPECT_EQ(items[1]->as_int().value(), std::numeric_limits<int64_t>::min());
    EXPECT_FALSE(items[2]->as_int());
    EXPECT_EQ(items[3]->as_int().value(), 3);
    EXPECT_FALSE(items[4]->as_int());
    EXPECT_EQ(items[5]->as_int().value(), 1000);
    EXPECT_FALSE(items[6]->as_double());
    EXPECT_EQ(items[7]->as_double().value(), 0.1);
    EXPECT_EQ(items[8]->as_double().value(), 1e30);
    EXPECT_EQ(items[0]->text(), "9223372036854775807");
}

TEST(Json, reads_non_finite_numbers_in_both_spellings_of_the_python_writers) {
    auto document =
        parse(R"([Infinity, -Infinity, NaN, {"__float__": "Infinity"}, {"__float__": "x"}])").value();
    const auto& items = document.root().items();
    EXPECT_EQ(items[0]->as_double().value(), INFINITY);
    EXPECT_EQ(items[1]->as_double().value(), -INFINITY);
    EXPECT_TRUE(std::isnan(items[2]->as_double().value()));
    EXPECT_EQ(items[3]->as_double().value(), INFINITY);
    EXPECT_FALSE(items[4]->as_double());
    EXPECT_FALSE(parse_events("[NaN]", "x", [](const Event&) { return Status(); }));
}

TEST(Json, repeated_keys_are_an_error_that_names_both_lines) {
    Problem problem = problem_of("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}");
    EXPECT_EQ(problem.code, Code::json_duplicate_key);
    EXPECT_EQ(problem.line, 3);
    EXPECT_EQ(problem.column, 2);
    EXPECT_EQ(problem.what, "key 'a' occurs twice, first on line 1");
    EXPECT_EQ(problem_of(R"({"a":1,"\u0061":2})").code, Code::json_duplicate_key);
    std::string many = "{";
    for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\":0,";
    EXPECT_EQ(problem_of(many + "\"k42\":0}").code, Code::json_duplicate_key);
    EXPECT_TRUE(parse(R"([{"a":1},{"a":1}])"));
}

TEST(Json, limits_depth_strings_and_numbers) {
    auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    EXPECT_TRUE(parse(nested(64)));
    EXPECT_EQ(problem_of(nested(65)).code, Code::json_limits);
    EXPECT_EQ(problem_of(std::string(10'000'000, '[')).code, Code::json_limits);
    EXPECT_EQ(problem_of('"' + std::string(9u << 20, 'a') + '"').code, Code::json_limits);
    EXPECT_EQ(problem_of(std::string(1'000'000, '1')).code, Code::json_limits);
    auto large = Document::parse("[1,2,3]", "x", 6);
    EXPECT_EQ(large.error().code(), Code::json_limits);
}

TEST(Json, refuses_what_is_not_json) {
    const std::string bad[] = {"",
                               " ",
                               "{",
                               "}",
                               "[",
                               "[1",
                               "[1,]",
                               "[,1]",
                               "{\"a\"}",
                               "{\"a\":}",
                               "{\"a\":1,}",
                               "{a:1}",
                               "{1:1}",
                               "'a'",
                               "\"a",
                               "\"a\nb\"",
                               "\"\\x\"",
                               "\"\\u12g4\"",
                               "\"\\ud800\"",
                               "\"\\udc00\"",
                               "\"\\ud800\\u0041\"",
                               "01",
                               "-",
                               "+1",
                               "1.",
                               ".5",
                               "1e",
                               "0x10",
                               "tru",
                               "nul",
                               "True",
                               "1 2",
                               "[1] x",
                               "[1}",
                               "{\"a\":1]",
                               "\xEF\xBB\xBF[]",
                               "\"\xFF\"",
                               "\"\xC0\x80\"",
                               "\"\xED\xA0\x80\"",
                               std::string("[1\0]", 4),
                               std::string("\"a\0\"", 4),
                               "/* c */ 1",
                               "[1] // c"};
    for (const std::string& text : bad) {
        Problem problem = problem_of(text);
        EXPECT_EQ(problem.code, Code::json_invalid) << text;
        EXPECT_GE(problem.line, 1) << text;
        EXPECT_GE(problem.column, 1) << text;
    }
}

TEST(Json, escapes_decode) {
    auto document = parse(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")").value();
    EXPECT_EQ(document.root().as_string().value(), "\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001F600");
}

TEST(Json, every_prefix_of_a_document_is_refused) {
    std::string text = R"({"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",true,false,null],"b":{"c":{}}})";
    ASSERT_TRUE(parse(text));
    for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse(text.substr(0, n))) << n;
}

// A second parser as referee over random damage.
TEST(Json, agrees_with_another_parser_on_damaged_documents) {
    std::string good = R"({"a": [1, -2.5e3, "xé\n", true, false, null], "b": {"c": {}, "d": 0.125}})";
    const std::string alphabet = "{}[]\",:\\ 0123456789.eE+-truefalsn\n\x01\xC3\xA9";
    std::mt19937 random(7);
    int accepted = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string text = good;
        for (int edits = 0; edits <= static_cast<int>(random() % 3); ++edits) {
            size_t at = random() % text.size();
            if (random() % 2)
                text[at] = alphabet[random() % alphabet.size()];
            else
                text.erase(at, 1);
        }
        auto document = Document::parse(text, "x");
        bool reference = nlohmann::json::accept(text);
        bool stricter = !document && document.error().code() == Code::json_duplicate_key;
        EXPECT_TRUE(document.has_value() == reference || (reference && stricter)) << text;
        accepted += document.has_value();
    }
    EXPECT_GT(accepted, 500);
}

TEST(JsonEvents, come_in_order_and_stop_at_the_error_of_the_sink) {
    std::string seen;
    auto sink = [&](const Event& event) -> Status {
        constexpr char letters[] = "nbirsk{}[]";
        seen += letters[static_cast<size_t>(event.type)];
        seen += event.text;
        if (event.text == "stop") return fail(Code::usage, "stopped");
        return {};
    };
    ASSERT_TRUE(parse_events(R"({"a": [1, "x"], "b": null})", "f", sink));
    EXPECT_EQ(seen, "{ka[i1sx]kbnnull}");
    auto stopped = parse_events(R"(["stop", 1])", "f", sink);
    EXPECT_EQ(stopped.error().first().file, "f");
    EXPECT_EQ(stopped.error().code(), Code::usage);
}

TEST(JsonEvents, integers_carry_sign_and_magnitude) {
    std::vector<Event> events;
    ASSERT_TRUE(parse_events("[18446744073709551615, -5, 18446744073709551616]", "f", [&](const Event& e) {
        events.push_back(e);
        return Status();
    }));
    EXPECT_EQ(events[1].unsigned_value, ~uint64_t{0});
    EXPECT_EQ(events[2].unsigned_value, 5u);
    EXPECT_TRUE(events[2].negative);
    EXPECT_EQ(events[3].type, Event::Type::real);
}

TEST(JsonWriter, writes_what_reads_back) {
    Writer writer;
    writer.begin_object().key("a").begin_array().value(1).value(0.1).value("x\"\n\x01").value(true).null();
    writer.value(uint64_t{1} << 63).value(std::nan("")).end_array().key("b").begin_object().end_object();
    writer.key("c").raw("[1]").end_object();
    std::string text = writer.take();
    EXPECT_EQ(text,
              "{\"a\":[1,0.1,\"x\\\"\\n\\u0001\",true,null,9223372036854775808,null],\"b\":{},\"c\":[1]}");
    EXPECT_TRUE(parse(text));
    Writer wide(2);
    wide.begin_object().key("a").begin_array().value(1).value(2).end_array().end_object();
    EXPECT_EQ(wide.take(), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    EXPECT_EQ(quote("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
}

}  // namespace
}  // namespace mortise::json
