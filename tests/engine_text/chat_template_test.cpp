#include "engine/text/chat_template.h"

#include "engine_text/golden.h"

namespace mortise::text {
namespace {

using jinja::Value;

std::tm time_of(const std::string& text) {  // "2025-07-04T09:05:03"
    std::tm out{};
    EXPECT_NE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &out), nullptr);
    return out;
}

ChatInput golden_input(const json::Node& set, const json::Node& input, const std::tm& now) {
    ChatInput made;
    made.now = now;
    for (const char* name : {"bos_token", "eos_token"})
        if (const auto* token = set.find_value(name)) made.special_tokens[name] = token->text();
    for (size_t i = 0; i < input.size(); ++i) {
        const std::string& key = input.keys()[i];
        const Value value = Value::from_json(*input.items()[i]);
        if (key == "messages") {
            made.messages = value;
        } else if (key == "tools") {
            made.tools = value;
        } else if (key == "add_generation_prompt") {
            made.add_generation_prompt = value.truthy();
        } else if (key == "continue_final_message") {
            made.continue_final_message = value.truthy();
        } else {
            made.extra.emplace_back(key, value);
        }
    }
    return made;
}

TEST(ChatTemplate, RendersEveryGoldenConversationAsJinjaDoes) {
    const auto file = golden::document(golden::root() / "chat_templates/chat_templates.json");
    const auto now = time_of(golden::string(file.root(), "now"));
    size_t count = 0;
    for (const auto& set : file.root().find("templates")->items()) {
        const auto name = golden::string(*set, "name");
        const auto made = ChatTemplate::parse(golden::string(*set, "template"), name);
        ASSERT_TRUE(made) << to_string(made.error());
        for (const auto& item : set->find("cases")->items()) {
            const auto text = made->render(golden_input(*set, *item->find("input"), now));
            const auto what = name + ": " + golden::string(*item, "what");
            ++count;
            if (const auto* error = item->find("error")) {
                ASSERT_FALSE(text) << what;
                EXPECT_EQ("TemplateError: " + text.error().first().found, error->text()) << what;
                continue;
            }
            ASSERT_TRUE(text) << what << ": " << to_string(text.error());
            EXPECT_EQ(*text, golden::string(*item, "text")) << what;
        }
    }
    EXPECT_GT(count, 50u);
}

Result<std::string> render(const std::string& source, const ChatLimits& limits = {}) {
    auto made = ChatTemplate::parse(source, "chat_template.jinja");
    if (!made) return std::unexpected(made.error());
    ChatInput input;
    input.messages = chat_messages({{"user", "Hi"}, {"assistant", "Ho"}});
    input.now = time_of("2025-07-04T09:05:03");
    return made->render(input, limits);
}

struct Pair {
    const char *source, *text;
};

// Each text is what jinja2 3.1.6 gives (sandboxed, trim_blocks, lstrip_blocks).
class Expression : public testing::TestWithParam<Pair> {};
TEST_P(Expression, GivesWhatJinjaGives) {
    const auto text = render(GetParam().source);
    ASSERT_TRUE(text) << GetParam().source << ": " << to_string(text.error());
    EXPECT_EQ(*text, GetParam().text) << GetParam().source;
}
INSTANTIATE_TEST_SUITE_P(
    All, Expression,
    testing::Values(
        Pair{"{{ -3 | abs }} {{ 2 ** 3 ** 2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + "
             "0.2 }}",
             "3 64 2 3.0 1e+16 1e-05 0.30000000000000004"},
        Pair{"{{ 'a' ~ 1 ~ none }} {{ 1 if false }}|{{ (1,) }} {{ () }}", "a1None |(1,) ()"},
        Pair{"{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "231"},
        Pair{"{% for a, b in {'x': 1, 'y': 2}.items() %}{{ a }}{{ b }}{% else %}none{% endfor %}", "x1y2"},
        Pair{"{% for i in [] %}{{ i }}{% else %}none{% endfor %}", "none"},
        Pair{"{% macro f(a, b=2) %}{{ a }}{{ b }}{{ caller() if caller is defined }}{% endmacro %}{{ f(1) "
             "}}{{ f(b=3, a=0) }}{% call f(5) %}!{% endcall %}",
             "120352!"},
        Pair{"{{ 'abc'[::-1] }}{{ 'äöü'[1:] }}{{ [1,2,3][-1] }}{{ 'x'[5] }}", "cbaöü3"},
        Pair{"{{ \"it's\" | tojson }} {{ [1, 'it\\'s', \"q\\\"\"] }}", "\"it's\" [1, \"it's\", 'q\"']"},
        Pair{"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False"},
        Pair{"{% set t %}  x {{ 1 }}{% endset %}[{{ t | trim }}]", "[x 1]"},
        Pair{"{% filter upper | trim %} a {% endfilter %}", "A"},
        Pair{"{{ 'a b  c'.split() }}{{ 'a,b'.rsplit(',', 1) }}{{ 'k=v=w'.partition('=') }}",
             "['a', 'b', 'c']['a', 'b']('k', '=', 'v=w')"},
        Pair{"{{ '%s-%05.2f-%d' | format('a', 3.14159, 7) }} {{ '{} {1}'.format('x', 'y') if false else '{} "
             "{}'.format('x', 'y') }}",
             "a-03.14-7 x y"},
        Pair{"{{ {'a': {'b': [1, {'c': 2}]}} | tojson(indent=1) }}",
             "{\n \"a\": {\n  \"b\": [\n   1,\n   {\n    \"c\": 2\n   }\n  ]\n }\n}"},
        Pair{"{{ messages | map(attribute='role') | list }}{{ messages | selectattr('role', 'eq', 'user') | "
             "list | length }}",
             "['user', 'assistant']1"},
        Pair{"{{ [3, 1, 2] | sort(reverse=true) }}{{ ['b', 'A'] | sort }}{{ [[2, 'b'], [1, 'a']] | "
             "sort(attribute=0) | map('last') | join }}",
             "[3, 2, 1]['A', 'b']ab"},
        Pair{"{{ 'a' in {'a': 1} }}{{ 1 in [1.0] }}{{ 'x' not in 'abc' }}{{ 1 < 2 < 3 }}{{ 1 < 2 > 3 }}",
             "TrueTrueTrueTrueFalse"},
        Pair{"{% set ns = namespace(a=[]) %}{% for i in range(3) %}{% set ns.a = ns.a + [i] %}{% endfor %}{{ "
             "ns.a }}",
             "[0, 1, 2]"},
        Pair{"{{ '<b>' | e }}{{ '<b>' | safe + '<' }}{{ x is undefined }}{{ x }}{{ x | default('d') }}{{ '' "
             "| default('e', true) }}",
             "&lt;b&gt;<b>&lt;Trued"
             "e"},
        Pair{"{{ strftime_now('%d %b %Y %H:%M') }}", "04 Jul 2025 09:05"},
        Pair{"{{ 'ΑΣ'.lower() }}{{ 'straße'.title() }}{{ 'x'.center(4, '*') }}{{ '-5'.zfill(4) }}{{ "
             "'aXb'.swapcase() }}",
             "αςStraße*x**-005AxB"},
        Pair{"{{ ' a\n\n b' | indent(2) }}|{{ ' a\n\n b' | indent(2, true, true) }}",
             " a\n\n   b|   a\n  \n   b"},
        Pair{"{{ messages[0]['content'] }}{{ messages[0].content }}{{ messages[0].get('x', 'y') }}{{ "
             "messages[0]['items'] is callable }}",
             "HiHiyTrue"},
        Pair{"{{ 42 | string ~ '7' | int }}{{ '0x1f' | int(base=16) }}{{ 'x' | int(9) }}{{ 2.5 | round }}{{ "
             "2.675 | round(2) }}{{ 10 | round }}",
             "42731"
             "92.02.6710"},
        Pair{"a\n  {% if true %}\n  b\n  {% endif %}\n  {{- ' c' }}\n{# x #}\nd\n", "a\n  b\n c\nd"},
        Pair{"{{ [1, [2, {'a': none}], (3, true), 'ü\\n'] }}", "[1, [2, {'a': None}], (3, True), 'ü\\n']"},
        Pair{"{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{{ loop.revindex0 }}{{ loop.changed(i // 2) "
             "}}{% endfor %}",
             "a2Trueb1Falsea0True"},
        Pair{"{{ 'x' if messages | selectattr('role', 'equalto', 'nobody') else 'y' }}", "x"},
        Pair{"{{ [1, 2, 3, 4, 5] | batch(2) | list }}{{ [1, 2] | sum }}{{ [3, 1] | min }}{{ ['a', 'A', 'b'] "
             "| unique | list }}",
             "[[1, 2], [3, 4], [5]]31['a', 'b']"},
        Pair{"{{ range(*[1, 3]) | list }}{{ dict(a=1, **{'b': 2}) }}{{ none | map('upper') | list }}",
             "[1, 2]{'a': 1, 'b': 2}[]"},
        Pair{"{% if not none %}1{% elif true %}2{% else %}3{% endif %}{{ true and 'a' or 'b' }}{{ not not 1 "
             "}}",
             "1aTrue"}));

class Refused : public testing::TestWithParam<Pair> {};
TEST_P(Refused, IsAnErrorWithFileAndLine) {
    const auto text = render("\n" + std::string(GetParam().source));
    ASSERT_FALSE(text) << GetParam().source << " gave " << *text;
    const auto& problem = text.error().first();
    EXPECT_EQ(problem.code, std::string(GetParam().text) == "unsupported" ? Code::unsupported_template
                                                                          : Code::template_invalid)
        << to_string(problem);
    EXPECT_EQ(problem.file, "chat_template.jinja");
    EXPECT_EQ(problem.line, 2) << to_string(problem);
}
INSTANTIATE_TEST_SUITE_P(
    All, Refused,
    testing::Values(
        Pair{"{% include 'x' %}", "unsupported"}, Pair{"{% import 'os' as os %}", "unsupported"},
        Pair{"{% extends 'x' %}", "unsupported"}, Pair{"{% block a %}{% endblock %}", "unsupported"},
        Pair{"{{ 'x' | urlize }}", "unsupported"}, Pair{"{{ range(*[1], *[2]) }}", "invalid"},
        Pair{"{% for x in y recursive %}{% endfor %}", "unsupported"}, Pair{"{{ lipsum() }}", "unsupported"},
        Pair{"{% do x %}", "invalid"}, Pair{"{{ x | nothing }}", "invalid"},
        Pair{"{{ x is nothing }}", "invalid"}, Pair{"{% if x %}", "invalid"},
        Pair{"{{ 'a' + 1 }}", "invalid"}, Pair{"{{ x.y }}", "invalid"}, Pair{"{{ 1 / 0 }}", "invalid"},
        Pair{"{{ none | length }}", "invalid"}, Pair{"{{ 'a'() }}", "invalid"},
        Pair{"{{ [1].append(2) }}", "invalid"}, Pair{"{{ {}.update(a=1) }}", "invalid"},
        Pair{"{{ [1, 'a'] | sort }}", "invalid"}, Pair{"{{ 9223372036854775807 + 1 }}", "invalid"},
        Pair{"{% for a, b in [1] %}{% endfor %}", "invalid"}, Pair{"{% break %}", "invalid"},
        Pair{"{% set x.y = 1 %}", "invalid"}, Pair{"{{ 'a", "invalid"}, Pair{"{{ a", "invalid"},
        Pair{"{# a", "invalid"}, Pair{"{% raw %}", "invalid"}, Pair{"{{ (1 }}", "invalid"},
        Pair{"{{ messages | tojson(1, 2, 3, 4, 5) }}", "invalid"},
        Pair{"{{ undefined_function() }}", "invalid"}, Pair{"{{ raise_exception | tojson }}", "invalid"},
        Pair{"{{ range(1000000) | list }}", "invalid"}));

// Ways by which templates escape from Python's jinja2, or try to: nothing of the host is there to reach.
TEST(ChatTemplate, HasNoHostObjectsToReach) {
    for (const char* source : {"{{ ''.__class__.__mro__[1].__subclasses__() }}",
                               "{{ messages.__class__.__base__ }}",
                               "{{ self.__init__.__globals__ }}",
                               "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
                               "{{ lipsum.__globals__['os'] }}",
                               "{{ namespace.__init__.__globals__ }}",
                               "{{ range.__self__.open('/etc/passwd') }}",
                               "{{ request.application.__globals__ }}",
                               "{{ config.items() }}",
                               "{{ get_flashed_messages.__globals__ }}",
                               "{{ joiner.__init__ }}",
                               "{{ url_for.__globals__ }}",
                               "{{ ''|attr('__class__')|attr('__mro__') }}",
                               "{{ dict.__base__.__subclasses__() }}",
                               "{{ raise_exception.__globals__['__builtins__'] }}",
                               "{{ strftime_now.__globals__.x }}",
                               "{{ ().__class__.__bases__[0] }}",
                               "{{ messages[0].__init__.__globals__ }}",
                               "{{ ''.format.__func__.__globals__ }}",
                               "{{ '{0.__class__.__mro__}'.format(1) }}",
                               "{{ '{0[__class__]}'.format({}) }}",
                               "{{ '%(a)s' | format(a=messages.__class__.x) }}",
                               "{% set x = ''['__class__']['__base__'] %}{{ x.y }}",
                               "{{ ''.encode('utf8').decode() }}",
                               "{% macro m() %}{% endmacro %}{{ m.__globals__.os }}",
                               "{{ loop.__class__.x }}",
                               "{% for i in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
                               "{{ (messages|map('attr', '__class__')|list)[0].x }}",
                               "{{ ''.translate({}) }}",
                               "{{ _TemplateReference__context.x }}"}) {
        const auto text = render(source);
        EXPECT_FALSE(text) << source << " gave " << *text;
    }
}

TEST(ChatTemplate, StaysInsideItsBudgets) {
    const auto start = std::clock();
    for (const char* source :
         {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
          "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
          "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'x' * 1000000000 }}",
          "{{ 'x' * 2000000 }}",
          "{% set x = 'aaaaaaaa' %}{% for i in range(60) %}{% set x = x ~ x %}{{ x | length }}{{ x * 100000 "
          "}}{% endfor %}",
          "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
          "{% set ns = namespace(x=[1]) %}{% for i in range(50) %}{% set ns.x = [ns.x, ns.x] %}{% endfor "
          "%}{{ ns.x }}",
          "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x] %}{% endfor %}{{ "
          "ns.x }}",
          "{{ [0] * 100000000 }}",
          "{% for i in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
          "{{ '%999999999d' % 1 }}", "{{ 'x' | indent(99999999) | center(99999999) }}",
          "{{ 2 ** 9999999999 }}", "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
          "{{ strftime_now('%99999d') }}"}) {
        const auto text = render(source);
        EXPECT_FALSE(text) << source;
    }
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 10.0);
}

TEST(ChatTemplate, DeepNestingIsAnErrorAndNoCrash) {
    const auto repeat = [](const std::string& part, int n) {
        std::string out;
        for (int i = 0; i < n; ++i) out += part;
        return out;
    };
    constexpr int n = 100000;
    for (const auto& source :
         {"{{ " + repeat("(", n) + "1" + repeat(")", n) + " }}",
          "{{ " + repeat("[", n) + repeat("]", n) + " }}", "{{ " + repeat("-", n) + "1 }}",
          "{{ a" + repeat(".a", n) + " }}", "{{ a" + repeat("|trim", n) + " }}",
          "{{ " + repeat("1 if 1 else ", n) + "1 }}", "{{ 1" + repeat(" if 1", n) + " }}",
          repeat("{% if 1 %}", n), repeat("{% for a in [1] %}", n), "{{ f" + repeat("()", n) + " }}",
          "{{ " + repeat("{1:", n) + " }}"}) {
        const auto text = render(source);
        EXPECT_FALSE(text) << source.substr(0, 40);
    }
    const auto flat = render("{{ 1" + repeat(" + 1", 1000) + " }}{{ 1" + repeat(" and 1", 1000) + " }}{{ " +
                             repeat("not ", 1000) + "1 }}");
    ASSERT_TRUE(flat) << to_string(flat.error());
    EXPECT_EQ(*flat, "10011True");
}

TEST(ChatTemplate, LimitsAreAsked) {
    EXPECT_FALSE(render("{{ 'x' * 100 }}", {.output = 50}));
    EXPECT_FALSE(render("{% for i in range(100) %}{% endfor %}", {.steps = 50}));
    EXPECT_TRUE(render("{% for i in range(100) %}{% endfor %}", {.steps = 500}));
}

TEST(ChatTemplate, IsFoundInItsFileThenInTheTokenizersConfig) {
    const auto parse = [](const char* text) {
        return json::Document::parse(text, "tokenizer_config.json").value();
    };
    const auto plain = parse(R"({"chat_template": "A"})");
    const auto named = parse(
        R"({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
    const auto other = parse(R"({"chat_template": [{"name": "rag", "template": "R"}]})");
    const auto none = parse(R"({"chat_template": null})");
    EXPECT_EQ(find_chat_template("J", &plain.root(), false).value()->text, "J");
    EXPECT_EQ(find_chat_template("J", &plain.root(), false).value()->name, "chat_template.jinja");
    EXPECT_EQ(find_chat_template(std::nullopt, &plain.root(), false).value()->text, "A");
    EXPECT_EQ(find_chat_template(std::nullopt, &named.root(), false).value()->text, "D");
    EXPECT_EQ(find_chat_template(std::nullopt, &named.root(), true).value()->text, "T");
    EXPECT_EQ(find_chat_template(std::nullopt, &other.root(), false).error().code(), Code::template_invalid);
    EXPECT_FALSE(find_chat_template(std::nullopt, &none.root(), false).value().has_value());
    EXPECT_FALSE(find_chat_template(std::nullopt, nullptr, false).value().has_value());
}

TEST(ChatTemplate, SpecialTokensAreTextOrObjects) {
    const auto config =
        json::Document::parse(
            R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null})",
            "t.json")
            .value();
    const auto tokens = read_special_tokens(config.root()).value();
    EXPECT_EQ(tokens, (std::map<std::string, std::string>{{"bos_token", "<s>"}, {"eos_token", "</s>"}}));
}

}  // namespace
}  // namespace mortise::text
