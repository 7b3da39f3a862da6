// Chat templates: a conversation to the text that the model was trained on. The language is the part of
// jinja2 that published templates use, with the semantics of its immutable sandbox: no host objects, no
// files, no environment, no time but the one that is given.
//
// Thread-safe after construction; render may run on any number of threads at once.
#pragma once

#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "engine/text/jinja/value.h"

namespace mortise::text {

struct ChatMessage {
    std::string role, content;
};

// What one rendering gets. The variables of the template are `messages`, `tools`, `documents`,
// `add_generation_prompt`, the special tokens and `extra`, which wins.
struct ChatInput {
    jinja::Value messages = jinja::Value::list({});  // list of dicts, as the OpenAI protocol has them
    jinja::Value tools = jinja::Value::none();
    bool add_generation_prompt = false;
    bool continue_final_message = false;                // the text ends where the last message's content ends
    std::map<std::string, std::string> special_tokens;  // "bos_token" -> "<s>"
    std::vector<std::pair<std::string, jinja::Value>> extra;
    std::tm now = {};  // local time, for strftime_now
};

struct ChatLimits {
    int64_t steps = 1'000'000;
    size_t output = size_t{1} << 20;   // bytes
    size_t memory = size_t{64} << 20;  // bytes of all values made on the way
    int depth = 64;                    // macro calls, lists inside lists
};

class ChatTemplate {
  public:
    // Effect: parses `source`. `file` is used in messages.
    // Errors: template_invalid (jinja2 refuses it too), unsupported_template (it does not), with file and
    // line.
    static Result<ChatTemplate> parse(std::string_view source, std::string file);

    // Errors: template_invalid: the template failed, refused the conversation (raise_exception; its message
    // is the
    //   problem's `found`) or used up a budget; unsupported_template.
    Result<std::string> render(const ChatInput& input, const ChatLimits& limits = {}) const;

  private:
    struct Parsed;
    explicit ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
    std::shared_ptr<const Parsed> parsed_;
};

jinja::Value chat_messages(const std::vector<ChatMessage>& messages);
std::tm local_time();  // now

struct TemplateSource {
    std::string text;
    std::string name;  // where it comes from, for messages
};

// Effect: the template of a checkpoint: the contents of chat_template.jinja, else "chat_template" of
//   tokenizer_config.json: a string, or a list of named ones ("tool_use" where there are tools, else
//   "default"). Both sources may be absent (nullopt, null); nothing found gives nullopt.
// Errors: json_type; template_invalid (named templates without "default").
Result<std::optional<TemplateSource>> find_chat_template(std::optional<std::string_view> chat_template_jinja,
                                                         const json::Node* tokenizer_config, bool with_tools);

// Effect: bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token of
// tokenizer_config.json as
//   far as they are set. Errors: json_type.
Result<std::map<std::string, std::string>> read_special_tokens(const json::Node& tokenizer_config);

}  // namespace mortise::text
