// One scheme plugin, opened for one checkpoint. Private to the plan. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mortise/abi_scheme.h"
#include "plan/host_view.h"
#include "plan/load_plan.h"

namespace mortise::plan {

// A module as it is asked about; owns its strings.
struct ModuleQuery {
    std::string name, canonical;
    uint32_t kind = MORTISE_MODULE_LINEAR;
    uint64_t experts = 1, rows = 0, columns = 0;
    std::vector<std::string> part_names;
    std::vector<uint64_t> part_rows;
    bool has_bias = false, transposed = false;

    // Effect: calls `use` with the ABI form, which borrows from this.
    template <class Use>
    auto with_abi(Use use) const {
        std::vector<mortise_str> names;
        names.reserve(part_names.size());
        for (const std::string& part : part_names) names.push_back(borrow(part));
        static const mortise_str classes[2] = {{"Linear", 6}, {"Embedding", 9}};
        mortise_module module{};
        module.head = {sizeof module, MORTISE_ABI_MINOR};
        module.name = borrow(name);
        module.canonical = borrow(canonical);
        module.kind = kind;
        module.class_count = 1;
        module.classes = kind == MORTISE_MODULE_EMBEDDING ? classes + 1 : classes;
        module.experts = experts;
        module.rows = rows;
        module.columns = columns;
        module.n_parts = names.size();
        module.part_names = names.data();
        module.part_rows = part_rows.data();
        module.has_bias = has_bias;
        module.transposed = transposed;
        return use(module);
    }
};

class SchemeModel {
  public:
    // Errors: whatever the plugin finds wrong with the config.
    static Result<SchemeModel> open(const mortise_scheme_v1& table, std::string id, CheckpointView* view);
    SchemeModel(SchemeModel&& other) noexcept;
    SchemeModel& operator=(SchemeModel&& other) noexcept;
    ~SchemeModel();

    // Effect: the Source for this module, with the spec checked as a value but not yet against the catalog.
    Result<Source> ask(const ModuleQuery& query);
    Result<CacheAnswer> ask_cache(const std::string& attention, uint64_t kv_heads, uint64_t head_dim);
    // Each rule of the config, with its matches so far.
    struct Rule {
        uint32_t kind = 0;
        std::string pattern, where;
        uint64_t matches = 0;
        bool optional = false;
        const json::Node* node = nullptr;
    };
    std::vector<Rule> rules() const;

    const std::string& id() const { return id_; }
    const mortise_scheme_v1& table() const { return *table_; }

  private:
    SchemeModel(const mortise_scheme_v1& table, std::string id) : table_(&table), id_(std::move(id)) {}
    const mortise_scheme_v1* table_;
    std::string id_;
    void* model_ = nullptr;
};

// Effect: a deep copy. Errors: plugin_contract.
Result<CacheAnswer> from_abi(const mortise_cache_answer& answer);

// "config.json:12" of a node, or "".
std::string where(const json::Node* node);

}  // namespace mortise::plan
