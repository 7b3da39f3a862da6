#include "engine/text/chat_template.h"

#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/parser.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text {

using jinja::Value;

struct ChatTemplate::Parsed {
    jinja::Block block;
    std::string file;
};

namespace {

// Stands behind the last message's content while rendering; the text is cut there. Its space tells whether
// the template trims.
constexpr std::string_view end_mark = "CONTINUE_FINAL_MESSAGE_TAG ";

Value with_entry(const Value& dict, std::string_view key, Value value) {
    auto entries = dict.entries();
    entries.emplace_back(Value::string(std::string(key)), std::move(value));  // replaces the old one
    return Value::dict(std::move(entries));
}

// Effect: content with the mark behind its (last) text; undefined when there is none.
Value marked(const Value& content) {
    if (content.is(jinja::Kind::string)) return Value::string(content.text() + std::string(end_mark));
    if (!content.is_sequence()) return {};
    auto parts = content.items();
    for (size_t i = parts.size(); i-- > 0;) {
        const Value* text = parts[i].is(jinja::Kind::dict) ? parts[i].find("text") : nullptr;
        if (!text || !text->is(jinja::Kind::string)) continue;
        parts[i] = with_entry(parts[i], "text", Value::string(text->text() + std::string(end_mark)));
        return Value::list(std::move(parts));
    }
    return {};
}

Result<Value> mark_last(const Value& messages) {
    if (messages.is_sequence() && !messages.items().empty() &&
        messages.items().back().is(jinja::Kind::dict)) {
        auto items = messages.items();
        const Value* content = items.back().find("content");
        if (const Value made = content ? marked(*content) : Value(); !made.is(jinja::Kind::undefined)) {
            items.back() = with_entry(items.back(), "content", made);
            return Value::list(std::move(items));
        }
    }
    return fail(Code::usage, "there is no final message with text to continue");
}

Result<std::string> cut_at_mark(std::string text, const std::string& file) {
    const auto word = jinja::python_rstrip(end_mark);
    const size_t at = text.rfind(word);
    if (at == text.npos)
        return fail(Problem{.code = Code::template_invalid,
                            .what = "the chat template leaves out the message that is to be continued",
                            .file = file});
    const bool spaced = text.compare(at, end_mark.size(), end_mark) == 0;
    text.resize(at);
    return spaced ? text : std::string(jinja::python_rstrip(text));
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string file) {
    if (!is_valid_utf8(source))
        return fail(Problem{.code = Code::template_invalid, .what = "template is not UTF-8", .file = file});
    MORTISE_TRY(auto block, jinja::parse_template(source, file));
    return ChatTemplate(std::make_shared<Parsed>(Parsed{std::move(block), std::move(file)}));
}

Result<std::string> ChatTemplate::render(const ChatInput& input, const ChatLimits& limits) const {
    jinja::Scope variables;
    Value messages = input.messages;
    if (input.continue_final_message) {
        if (input.add_generation_prompt)
            return fail(Code::usage, "a final message cannot be continued and a new one be begun");
        MORTISE_TRY(messages, mark_last(messages));
    }
    variables.set("messages", std::move(messages));
    variables.set("tools", input.tools);
    variables.set("documents", Value::none());
    variables.set("add_generation_prompt", Value::boolean(input.add_generation_prompt));
    for (const auto& [name, token] : input.special_tokens) variables.set(name, Value::string(token));
    for (const auto& [name, value] : input.extra) variables.set(name, value);
    jinja::Machine machine({limits.steps, limits.output, limits.memory, limits.depth}, input.now,
                           parsed_->file);
    jinja::Interpreter interpreter(machine);
    auto text = interpreter.render(parsed_->block, std::move(variables));
    if (machine.failed()) return std::unexpected(machine.error());
    return input.continue_final_message ? cut_at_mark(std::move(text), parsed_->file)
                                        : Result<std::string>(std::move(text));
}

Value chat_messages(const std::vector<ChatMessage>& messages) {
    jinja::List list;
    for (const auto& message : messages)
        list.push_back(Value::dict({{Value::string("role"), Value::string(message.role)},
                                    {Value::string("content"), Value::string(message.content)}}));
    return Value::list(std::move(list));
}

std::tm local_time() {
    const std::time_t now = std::time(nullptr);
    std::tm out{};
    localtime_r(&now, &out);
    return out;
}

Result<std::optional<TemplateSource>> find_chat_template(std::optional<std::string_view> chat_template_jinja,
                                                         const json::Node* tokenizer_config,
                                                         bool with_tools) {
    if (chat_template_jinja) return TemplateSource{std::string(*chat_template_jinja), "chat_template.jinja"};
    const auto* node = tokenizer_config ? tokenizer_config->find_value("chat_template") : nullptr;
    if (!node) return std::optional<TemplateSource>();
    if (node->kind() == json::Kind::string)
        return TemplateSource{std::string(node->text()), "tokenizer_config.json: chat_template"};
    MORTISE_CHECK(node->require(json::Kind::array));
    node->mark_all_read();
    std::optional<TemplateSource> chosen;
    for (const auto& item : node->items()) {
        MORTISE_CHECK(item->require(json::Kind::object));
        const auto *name_node = item->find("name"), *text_node = item->find("template");
        if (!name_node || !text_node)
            return fail(
                item->problem(Code::template_invalid, "a named chat template needs 'name' and 'template'"));
        MORTISE_TRY(const auto name, name_node->as_string());
        MORTISE_TRY(const auto text, text_node->as_string());
        const bool better = with_tools && name == "tool_use";
        if (better || (name == "default" && !chosen))
            chosen = TemplateSource{std::string(text),
                                    "tokenizer_config.json: chat_template '" + std::string(name) + "'"};
    }
    if (!chosen)
        return fail(
            node->problem(Code::template_invalid, "none of the named chat templates is called 'default'"));
    return chosen;
}

Result<std::map<std::string, std::string>> read_special_tokens(const json::Node& tokenizer_config) {
    std::map<std::string, std::string> tokens;
    for (const char* name :
         {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
        const auto* node = tokenizer_config.find_value(name);
        if (node && node->kind() == json::Kind::object) node = node->find_value("content");  // with its flags
        if (!node) continue;
        MORTISE_TRY(const auto text, node->as_string());
        tokens[name] = text;
    }
    return tokens;
}

}  // namespace mortise::text
