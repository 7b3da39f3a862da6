#include "plan/tree_from_plugin.h"

#include "model/builder.h"
#include "registry/plugin_call.h"

namespace mortise::plan {
namespace {

struct Adapter {
    model::Builder builder;
    const json::Node* config;
};

Adapter& of(mortise_builder* b) { return *reinterpret_cast<Adapter*>(b); }

model::RowMap row_map(const mortise_row_map& from) {
    model::RowMap map{.offset = from.offset, .digits = {}};
    for (uint32_t d = 0; d < std::min<uint32_t>(from.n_digits, 4); ++d)
        map.digits.push_back(
            {from.digits[d].div ? from.digits[d].div : 1, from.digits[d].mod, from.digits[d].stride});
    return map;
}

Result<model::Partition> partition(uint32_t value, std::string_view name) {
    if (value <= MORTISE_PARTITION_ROW) return static_cast<model::Partition>(value);
    return fail(Problem{.code = Code::plugin_contract,
                        .what = "unknown partition " + std::to_string(value),
                        .tensor = std::string(name)});
}

uint32_t id_or_error(Result<uint32_t> id) {
    if (id) return *id;
    leave_error(id.error());
    return MORTISE_NONE;
}

const mortise_node* builder_config(mortise_builder* b) { return handle(of(b).config); }

uint32_t builder_linear(mortise_builder* b, const mortise_linear* from) {
    model::Linear linear;
    for (uint32_t p = 0; p < from->n_parts; ++p)
        linear.parts.push_back(
            {copy(from->parts[p].name), from->parts[p].rows, from->parts[p].units, from->parts[p].bias != 0});
    const auto kind = partition(from->partition, linear.parts.empty() ? "" : linear.parts[0].name);
    if (!kind) return id_or_error(std::unexpected(kind.error()));
    linear.partition = *kind;
    linear.columns = from->columns;
    linear.column_units = from->column_units;
    linear.experts = from->experts ? from->experts : 1;
    linear.head = from->head_of_model != 0;
    for (uint32_t f = 0; f < from->n_fusions; ++f) {
        model::Fusion fusion{
            copy(from->fusions[f].name), from->fusions[f].rows, {}, from->fusions[f].transposed != 0};
        for (uint32_t p = 0; p < from->n_parts; ++p) fusion.maps.push_back(row_map(from->fusions[f].maps[p]));
        linear.fusions.push_back(std::move(fusion));
    }
    return id_or_error(of(b).builder.add(std::move(linear)));
}

uint32_t builder_embedding(mortise_builder* b, const mortise_embedding* from) {
    return id_or_error(of(b).builder.add(model::Embedding{copy(from->name), from->rows, from->columns}));
}

uint32_t builder_vector(mortise_builder* b, const mortise_vector* from) {
    const auto kind = partition(from->partition, view(from->name));
    if (!kind) return id_or_error(std::unexpected(kind.error()));
    return id_or_error(
        of(b).builder.add(model::Vector{copy(from->name), from->rows, from->columns, *kind, from->units}));
}

mortise_status builder_op(mortise_builder* b, const mortise_op* from, uint32_t* outputs) {
    model::Op op{.kind = from->kind, .name = copy(from->name)};
    for (uint32_t a = 0; a < from->n_attrs; ++a) {
        const mortise_attr& attr = from->attrs[a];
        model::Attribute attribute{attr.key, attr.integer, attr.real, {}};
        if (attr.array) attribute.array.assign(attr.array, attr.array + attr.n);
        op.attributes.push_back(std::move(attribute));
    }
    op.inputs.assign(from->inputs, from->inputs + from->n_inputs);
    op.weights.assign(from->weights, from->weights + from->n_weights);
    const auto values = of(b).builder.add(std::move(op), from->n_outputs);
    if (!values) {
        leave_error(values.error());
        return MORTISE_INTERNAL;
    }
    std::copy(values->begin(), values->end(), outputs);
    return MORTISE_OK;
}

void builder_logits(mortise_builder* b, uint32_t value) { of(b).builder.set_logits(value); }
void builder_tie(mortise_builder* b, uint32_t head, uint32_t embedding, uint8_t tied) {
    of(b).builder.tie({head, embedding, tied != 0});
}
void builder_alias(mortise_builder* b, const mortise_alias* from) {
    of(b).builder.alias({copy(from->name_space), copy(from->canonical), copy(from->theirs),
                         from->rows != nullptr, from->rows ? row_map(*from->rows) : model::RowMap{}});
}
void builder_root(mortise_builder* b, mortise_str canonical, mortise_str theirs) {
    of(b).builder.root({copy(canonical), copy(theirs)});
}
void builder_drop(mortise_builder* b, uint32_t kind, mortise_str pattern, mortise_str rule,
                  mortise_str reason) {
    of(b).builder.drop({kind, copy(pattern), copy(rule), copy(reason)});
}
void builder_limits(mortise_builder* b, uint64_t vocabulary, uint64_t max_positions, uint32_t dtype) {
    of(b).builder.limits(vocabulary, max_positions, static_cast<DType>(dtype));
}

}  // namespace

const json::Node& governing_config(const json::Node& root) {
    const json::Node* text = root.find_value("text_config");
    return text && text->kind() == json::Kind::object ? *text : root;
}

Result<model::ModuleTree> build_tree(const mortise_architecture_v1& architecture, std::string_view id,
                                     const json::Node& config) {
    static const mortise_builder_api api{{sizeof(mortise_builder_api), MORTISE_ABI_MINOR},
                                         builder_config,
                                         builder_linear,
                                         builder_embedding,
                                         builder_vector,
                                         builder_op,
                                         builder_logits,
                                         builder_tie,
                                         builder_alias,
                                         builder_root,
                                         builder_drop,
                                         builder_limits};
    Adapter adapter{{}, &config};
    clear_error();
    const mortise_status status = registry::PluginCall::call(
        [&] { return architecture.build(reinterpret_cast<mortise_builder*>(&adapter), &api); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id, "build"));
    return std::move(adapter.builder).take();
}

}  // namespace mortise::plan
