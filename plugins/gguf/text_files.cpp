// tokenizer_config.json, chat_template.jinja and generation_config.json from metadata.

#include <algorithm>

#include "json_object.h"
#include "virtual_files.h"

namespace gguf {
namespace {

constexpr std::string_view template_key = "tokenizer.chat_template";

// Named templates: "tool_use" lies under tokenizer.chat_template.tool_use.
std::string named_templates(const File& file, const Texts& names, const std::optional<std::string>& plain) {
    std::string out = "[";
    const auto add = [&](std::string_view name, std::string_view text) {
        out += (out.size() > 1 ? ", " : "") + std::string(R"({"name": )") + quote(name) +
               R"(, "template": )" + quote(text) + "}";
    };
    if (plain) add("default", *plain);
    for (const std::string& name : names) {
        const std::string key = std::string(template_key) + "." + name;
        if (!is_utf8(name))
            refuse("tokenizer.chat_templates", "a name is not UTF-8", "UTF-8", printable(name));
        const auto text = file.text(key);
        if (!text)
            refuse(key, "missing metadata key", "the template that tokenizer.chat_templates names", "none");
        if (name != "default" || !plain) add(name, *text);
    }
    return out + "]";
}

}  // namespace

std::string tokenizer_config_json(const File& file) {
    JsonObject out;
    out.text("tokenizer_class", "PreTrainedTokenizerFast").flag("clean_up_tokenization_spaces", false);
    const Texts* tokens = file.texts("tokenizer.ggml.tokens");
    const std::pair<const char*, const char*> roles[] = {{"bos", "bos_token"},
                                                         {"eos", "eos_token"},
                                                         {"unknown", "unk_token"},
                                                         {"padding", "pad_token"},
                                                         {"seperator", "sep_token"}};
    for (const auto& [role, member] : roles)
        if (const auto id = special_token(file, role); id && tokens && is_utf8((*tokens)[*id]))
            out.text(member, (*tokens)[*id]);
    for (const char* key : {"add_bos_token", "add_eos_token"})
        if (const auto flag = file.flag(std::string("tokenizer.ggml.") + key)) out.flag(key, *flag);
    const auto plain = file.text(template_key);
    const Texts* names = file.texts("tokenizer.chat_templates");
    if (names && !names->empty())
        out.raw("chat_template", named_templates(file, *names, plain));
    else if (plain)
        out.text("chat_template", *plain);
    return std::move(out).finish();
}

std::optional<std::string> chat_template(const File& file) {
    const Texts* names = file.texts("tokenizer.chat_templates");
    return names && !names->empty() ? std::nullopt
                                    : file.text(template_key);  // the file would hide the named ones
}

std::string generation_config_json(const File& file) {
    JsonObject out;
    if (const auto id = special_token(file, "bos")) out.integer("bos_token_id", *id);
    std::vector<uint32_t> stops;
    for (const char* role : {"eos", "eot", "eom"}) {
        const auto id = special_token(file, role);
        if (id && std::ranges::find(stops, *id) == stops.end()) stops.push_back(*id);
    }
    std::string list;
    for (const uint32_t id : stops) list += (list.empty() ? "" : ", ") + std::to_string(id);
    if (!stops.empty()) out.raw("eos_token_id", "[" + list + "]");
    if (const auto id = special_token(file, "padding")) out.integer("pad_token_id", *id);
    return std::move(out).finish();
}

}  // namespace gguf
