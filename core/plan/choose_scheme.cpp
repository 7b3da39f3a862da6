#include "plan/planned_rep.h"
#include "plan/tree_from_plugin.h"
#include "registry/plugin_call.h"

namespace mortise::plan {
namespace {

std::string text_of(const json::Node* node) {
    return node && node->kind() == json::Kind::string ? node->text() : std::string();
}

// What the config says of its quantization, for the registry's pre-filter and for messages.
std::string method_of(const checkpoint::Checkpoint& checkpoint, const json::Node& root) {
    for (const char* key : {"quantization_config", "compression_config", "quantization"})
        if (const json::Node* q = root.find_value(key); q && q->kind() == json::Kind::object) {
            const std::string method = text_of(q->find("quant_method"));
            return method.empty() ? key : method;
        }
    for (const char* side : {"hf_quant_config.json", "quantize_config.json", "quant_config.json"})
        if (checkpoint.has_file(side)) return side;
    return {};
}

}  // namespace

Status choose_scheme(Planned::Rep& rep, registry::Registry& registry, const std::string& forced,
                     const json::Node& root) {
    const json::Node& governed = governing_config(root);
    const std::string method = method_of(
        rep.checkpoint, &governed == &root || method_of(rep.checkpoint, governed).empty() ? root : governed);
    const auto match = [&](const mortise_scheme_v1& table, std::string_view id) -> Result<registry::Verdict> {
        mortise_match answer{};
        answer.head.size = sizeof answer;
        clear_error();
        const mortise_status status =
            registry::PluginCall::call([&] { return table.match(handle(&rep.view), &answer); });
        if (status != MORTISE_OK) return std::unexpected(take_error(status, id, "match"));
        answer.reason[sizeof answer.reason - 1] = 0;
        return registry::Verdict{answer.verdict == MORTISE_VERDICT_YES, answer.score, answer.reason};
    };
    MORTISE_TRY(const auto chosen, registry.scheme(method, rep.checkpoint.name_space, forced, host(), match));
    rep.plan.scheme = chosen.id;
    MORTISE_TRY(auto model, SchemeModel::open(*chosen.table, chosen.id, &rep.view));
    rep.scheme = std::make_unique<SchemeModel>(std::move(model));
    return {};
}

}  // namespace mortise::plan
