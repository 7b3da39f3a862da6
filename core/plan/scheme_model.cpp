#include "plan/scheme_model.h"

#include <utility>

#include "registry/plugin_call.h"

namespace mortise::plan {

using registry::PluginCall;

std::string where(const json::Node* node) {
    if (!node) return {};
    const Problem at = node->problem(Code{}, {});
    return at.file.substr(at.file.find_last_of('/') + 1) + ":" + std::to_string(at.line);
}

SchemeModel::SchemeModel(SchemeModel&& other) noexcept
    : table_(other.table_), id_(std::move(other.id_)), model_(std::exchange(other.model_, nullptr)) {}

SchemeModel& SchemeModel::operator=(SchemeModel&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(id_, other.id_);
    std::swap(model_, other.model_);
    return *this;
}

SchemeModel::~SchemeModel() {
    if (model_) PluginCall::call([&] { table_->close(model_); });
}

Result<SchemeModel> SchemeModel::open(const mortise_scheme_v1& table, std::string id, CheckpointView* view) {
    SchemeModel scheme(table, std::move(id));
    clear_error();
    const mortise_status status = PluginCall::call([&] { return table.open(handle(view), &scheme.model_); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, scheme.id_, "open"));
    return scheme;
}

Result<Source> SchemeModel::ask(const ModuleQuery& query) {
    mortise_answer answer{};
    answer.head.size = sizeof answer;
    clear_error();
    const mortise_status status = query.with_abi([&](const mortise_module& module) {
        return PluginCall::call([&] { return table_->module(model_, &module, &answer); });
    });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id_, "module").in_tensor(query.name));
    if (!answer.spec)
        return fail(Problem{.code = Code::plugin_contract,
                            .what = "scheme " + id_ + " answered without a spec",
                            .tensor = query.name});
    auto spec = quant::from_abi(*answer.spec);
    if (!spec) return std::unexpected(std::move(spec).error().in_tensor(query.name));
    Source source{
        .name = query.name, .canonical = query.canonical, .kind = query.kind, .plain = answer.plain != 0};
    source.spec = std::move(*spec);
    source.rule = copy(answer.rule);
    source.where = where(node(answer.node));
    source.note = copy(answer.note);
    if (source.spec.extent != quant::Extent{query.experts, query.rows, query.columns})
        return fail(Problem{.code = Code::plugin_contract,
                            .what = "scheme " + id_ + " described a module of another extent",
                            .tensor = query.name,
                            .expected = std::to_string(query.rows) + " x " + std::to_string(query.columns),
                            .found = std::to_string(source.spec.extent.rows) + " x " +
                                     std::to_string(source.spec.extent.columns)});
    return source;
}

Result<CacheAnswer> from_abi(const mortise_cache_answer& answer) {
    CacheAnswer out{.encoding = answer.encoding, .bits = answer.bits, .per_head = answer.per_head != 0};
    if (answer.scale_divisor > 0) out.scale_divisor = answer.scale_divisor;
    out.rule = copy(answer.rule);
    for (uint32_t f = 0; f < answer.n_fields; ++f) {
        MORTISE_TRY(auto field, quant::from_abi(answer.fields[f]));
        out.fields.push_back({answer.letters[f], std::move(field)});
    }
    return out;
}

Result<CacheAnswer> SchemeModel::ask_cache(const std::string& attention, uint64_t kv_heads,
                                           uint64_t head_dim) {
    if (!MORTISE_HAS(table_, mortise_scheme_v1, cache) || !table_->cache) return CacheAnswer{};
    mortise_cache_answer answer{};
    answer.head.size = sizeof answer;
    clear_error();
    const mortise_status status = PluginCall::call(
        [&] { return table_->cache(model_, borrow(attention), kv_heads, head_dim, &answer); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id_, "cache").in_tensor(attention));
    return from_abi(answer);
}

std::vector<SchemeModel::Rule> SchemeModel::rules() const {
    std::vector<Rule> out;
    if (!MORTISE_HAS(table_, mortise_scheme_v1, rules) || !table_->rules) return out;
    const auto visit = [](void* context, const mortise_rule* rule) {
        static_cast<std::vector<Rule>*>(context)->push_back({rule->pattern_kind, copy(rule->pattern),
                                                             where(node(rule->node)), rule->matches,
                                                             rule->optional != 0, node(rule->node)});
    };
    PluginCall::call([&] { table_->rules(model_, visit, &out); });
    return out;
}

}  // namespace mortise::plan
