#include "engine/text/post_processor.h"

#include "engine/text/fields.h"

namespace mortise::text {
namespace {

using Step = PostProcessor::Step;
constexpr int64_t id_limit = int64_t{1} << 24;

Result<std::vector<uint32_t>> parse_ids(const json::Node& token) {
    const Fields fields(token, "special token of the template");
    fields.ignore("id");
    fields.ignore("tokens");
    MORTISE_TRY(const auto* list, fields.member("ids"));
    MORTISE_CHECK(list->require(json::Kind::array));
    std::vector<uint32_t> ids;
    for (const auto& item : list->items()) {
        MORTISE_TRY(const auto id, item->as_int());
        if (id < 0 || id >= id_limit)
            return fail(item->problem(Code::tokenizer_invalid, "token id out of range"));
        ids.push_back(static_cast<uint32_t>(id));
    }
    MORTISE_CHECK(fields.finish());
    return ids;
}

Result<Step> parse_step(const json::Node& node, const json::Node& special_tokens) {
    const Fields fields(node, "template step");
    MORTISE_CHECK(node.require(json::Kind::object));
    const auto* sequence = node.find("Sequence");
    const auto* special = node.find("SpecialToken");
    if (node.size() != 1 || (!sequence && !special))
        return fail(fields.invalid("must be {\"Sequence\": ...} or {\"SpecialToken\": ...}"));
    const Fields inner(sequence ? *sequence : *special, "template step");
    inner.ignore("type_id");
    MORTISE_TRY(const auto id, inner.string("id"));
    MORTISE_CHECK(inner.finish());
    if (sequence) {
        if (id == "A") return Step{Step::Kind::first, {}};
        if (id == "B") return Step{Step::Kind::second, {}};
        return fail(inner.invalid("a sequence is called A or B"));
    }
    const auto* token = special_tokens.find(id);
    if (!token)
        return fail(inner.invalid("special token " + json::quote(id) + " is not among 'special_tokens'"));
    MORTISE_TRY(auto ids, parse_ids(*token));
    return Step{Step::Kind::fixed, std::move(ids)};
}

Result<std::vector<Step>> parse_steps(const json::Node& list, const json::Node& special_tokens) {
    MORTISE_CHECK(list.require(json::Kind::array));
    std::vector<Step> steps;
    for (const auto& item : list.items()) {
        MORTISE_TRY(auto step, parse_step(*item, special_tokens));
        steps.push_back(std::move(step));
    }
    return steps;
}

Result<PostProcessor> parse_template(const Fields& fields) {
    MORTISE_TRY(const auto* special, fields.member("special_tokens"));
    special->mark_all_read();
    MORTISE_TRY(const auto* single, fields.member("single"));
    MORTISE_TRY(const auto* pair, fields.member("pair"));
    PostProcessor made;
    MORTISE_TRY(made.single, parse_steps(*single, *special));
    MORTISE_TRY(made.pair, parse_steps(*pair, *special));
    return made;
}

// {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]}; the pair has the separator once or twice in the middle.
Result<PostProcessor> parse_frame(const Fields& fields, bool double_separator) {
    for (const char* key : {"trim_offsets", "add_prefix_space"}) fields.ignore(key);
    std::vector<uint32_t> ids[2];
    for (int i = 0; i < 2; ++i) {
        MORTISE_TRY(const auto* node, fields.member(i == 0 ? "cls" : "sep"));
        MORTISE_CHECK(node->require(json::Kind::array));
        if (node->size() != 2) return fail(fields.invalid("'cls' and 'sep' are [token, id]"));
        MORTISE_TRY(const auto id, node->items()[1]->as_int());
        if (id < 0 || id >= id_limit) return fail(fields.invalid("token id out of range"));
        ids[i] = {static_cast<uint32_t>(id)};
    }
    PostProcessor made;
    const Step cls{Step::Kind::fixed, ids[0]}, separator{Step::Kind::fixed, ids[1]};
    made.single = {cls, {Step::Kind::first, {}}, separator};
    made.pair = made.single;
    if (double_separator) made.pair.push_back(separator);
    made.pair.push_back({Step::Kind::second, {}});
    made.pair.push_back(separator);
    return made;
}

// Effect: the one step of the sequence that adds tokens. Two of them would frame each other, which no
// published tokenizer does.
Result<PostProcessor> parse_sequence(const Fields& fields) {
    MORTISE_TRY(const auto* list, fields.member("processors"));
    MORTISE_CHECK(list->require(json::Kind::array));
    PostProcessor made;
    int adding = 0;
    for (const auto& item : list->items()) {
        MORTISE_TRY(const auto type, component_type(*item, "post-processor"));
        MORTISE_TRY(auto one, parse_post_processor(*item));
        if (type == "ByteLevel") continue;
        if (++adding > 1)
            return fail(
                fields.unsupported("two steps add special tokens", "keep one template in the sequence"));
        made = std::move(one);
    }
    return made;
}

Result<PostProcessor> parse_kind(const std::string& type, const Fields& fields) {
    if (type == "Sequence") return parse_sequence(fields);
    if (type == "TemplateProcessing") return parse_template(fields);
    if (type == "BertProcessing") return parse_frame(fields, false);
    if (type == "RobertaProcessing") return parse_frame(fields, true);
    if (type == "ByteLevel") {  // repairs positions only
        for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(key);
        return PostProcessor{};
    }
    return fail(fields.unsupported("this kind is not implemented", "use TemplateProcessing"));
}

}  // namespace

std::vector<uint32_t> PostProcessor::apply(const std::vector<uint32_t>& first,
                                           const std::vector<uint32_t>* second, bool add_special) const {
    std::vector<uint32_t> out;
    for (const Step& step : second ? pair : single) {
        const std::vector<uint32_t>* ids = &step.ids;
        if (step.kind == Step::Kind::first) ids = &first;
        if (step.kind == Step::Kind::second) ids = second;
        if (!ids || (step.kind == Step::Kind::fixed && !add_special)) continue;
        out.insert(out.end(), ids->begin(), ids->end());
    }
    return out;
}

Result<PostProcessor> parse_post_processor(const json::Node& node) {
    MORTISE_TRY(const auto type, component_type(node, "post-processor"));
    const Fields fields(node, "post-processor '" + type + "'");
    auto made = parse_kind(type, fields);
    if (made) MORTISE_CHECK(fields.finish());
    return made;
}

}  // namespace mortise::text
