// The services of mortise_host, over the core's own rooms.

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/log.h"
#include "plan/host_view.h"
#include "plan/patterns.h"
#include "plan/plan.h"
#include "quant/activation.h"
#include "quant/decode.h"

namespace mortise::plan {
namespace {

thread_local std::optional<Error> slot;

Code default_code(mortise_status status) {
    switch (status) {
        case MORTISE_REFUSED: return Code::config_value;
        case MORTISE_UNSUPPORTED: return Code::unsupported_variant;
        case MORTISE_NO_MEMORY: return Code::out_of_memory;
        default: return Code::plugin_failed;
    }
}

// ---- log and errors ----------------------------------------------------------------------------

void host_log(uint32_t level, mortise_str component, mortise_str message) {
    const std::string text = copy(component) + ": " + copy(message);
    switch (level) {
        case MORTISE_LOG_DEBUG: return log::debug(text);
        case MORTISE_LOG_INFO: return log::info(text);
        case MORTISE_LOG_WARN: return log::warn(text);
        default: return log::error(text);
    }
}

void host_set_error(const mortise_error* error) {
    Problem problem{.code = static_cast<Code>(error->code),
                    .what = copy(error->what),
                    .tensor = copy(error->subject),
                    .expected = copy(error->expected),
                    .found = copy(error->found),
                    .fix = copy(error->fix)};
    if (const json::Node* at = node(error->node)) {
        const Problem position = at->problem(problem.code, {});
        problem.file = position.file;
        problem.line = position.line;
        problem.column = position.column;
    }
    slot.emplace(std::move(problem));
}

template <class T, class Out>
mortise_status give(Result<T> value, Out* out) {
    if (!value) {
        leave_error(value.error());
        return MORTISE_REFUSED;
    }
    *out = static_cast<Out>(*value);
    return MORTISE_OK;
}

// ---- config ------------------------------------------------------------------------------------

uint32_t config_kind(const mortise_node* n) {
    switch (node(n)->kind()) {
        case json::Kind::null: return MORTISE_NODE_NULL;
        case json::Kind::boolean: return MORTISE_NODE_BOOLEAN;
        case json::Kind::integer: return MORTISE_NODE_INTEGER;
        case json::Kind::real: return MORTISE_NODE_REAL;
        case json::Kind::string: return MORTISE_NODE_STRING;
        case json::Kind::array: return MORTISE_NODE_ARRAY;
        case json::Kind::object: return MORTISE_NODE_OBJECT;
    }
    return MORTISE_NODE_NULL;
}
const mortise_node* config_member(const mortise_node* n, mortise_str key) {
    return n ? handle(node(n)->find(view(key))) : nullptr;
}
uint64_t config_count(const mortise_node* n) { return node(n)->size(); }
const mortise_node* config_item(const mortise_node* n, uint64_t index) {
    if (index >= node(n)->size()) return nullptr;
    const json::Node* item = node(n)->items()[index].get();
    item->mark_read();
    return handle(item);
}
mortise_str config_key(const mortise_node* n, uint64_t index) {
    return index < node(n)->keys().size() ? borrow(node(n)->keys()[index]) : mortise_str{"", 0};
}
mortise_status config_bool(const mortise_node* n, uint8_t* out) { return give(node(n)->as_bool(), out); }
mortise_status config_int(const mortise_node* n, int64_t* out) { return give(node(n)->as_int(), out); }
mortise_status config_real(const mortise_node* n, double* out) { return give(node(n)->as_double(), out); }
mortise_status config_string(const mortise_node* n, mortise_str* out) {
    const auto text = node(n)->as_string();
    if (!text) {
        leave_error(text.error());
        return MORTISE_REFUSED;
    }
    *out = borrow(*text);
    return MORTISE_OK;
}
void config_mark(const mortise_node* n, uint8_t deep) {
    if (n) deep ? node(n)->mark_all_read() : node(n)->mark_read();
}
uint64_t config_line(const mortise_node* n) { return n ? static_cast<uint64_t>(node(n)->line()) : 0; }

// ---- checkpoint --------------------------------------------------------------------------------

const CheckpointView& of(const mortise_checkpoint* c) { return *reinterpret_cast<const CheckpointView*>(c); }

void fill_tensor(const checkpoint::Checkpoint& checkpoint, const checkpoint::TensorEntry& entry,
                 mortise_tensor* out) {
    mortise_tensor full{};
    full.head = {sizeof full, MORTISE_ABI_MINOR};
    full.name = borrow(entry.name);
    full.dtype = static_cast<uint32_t>(entry.dtype);
    full.rank = static_cast<uint32_t>(entry.shape.size());
    full.shape = entry.shape.data();
    full.bytes = entry.bytes;
    full.encoding = borrow(entry.encoding);
    full.file = borrow(checkpoint.catalog.file_name(entry));
    const size_t known = std::min<size_t>(out->head.size, sizeof full);
    full.head.size = static_cast<uint32_t>(known);
    std::memcpy(out, &full, known);
}

mortise_str checkpoint_space(const mortise_checkpoint* c) { return borrow(of(c).checkpoint->name_space); }

const mortise_node* checkpoint_document(const mortise_checkpoint* c, mortise_str name) {
    const auto document = of(c).checkpoint->document(view(name));
    if (!document || !*document) return nullptr;
    return handle(&(*document)->root());
}

uint8_t checkpoint_tensor(const mortise_checkpoint* c, mortise_str name, mortise_tensor* out) {
    const checkpoint::TensorEntry* entry = of(c).checkpoint->catalog.find(view(name));
    if (entry && out) fill_tensor(*of(c).checkpoint, *entry, out);
    return entry != nullptr;
}

void checkpoint_below(const mortise_checkpoint* c, mortise_str module, mortise_tensor_visitor visit,
                      void* context) {
    const std::string prefix = module.size ? copy(module) + "." : std::string();
    for (const checkpoint::TensorEntry& entry : of(c).checkpoint->catalog.with_prefix(prefix)) {
        mortise_tensor tensor{};
        tensor.head.size = sizeof tensor;
        fill_tensor(*of(c).checkpoint, entry, &tensor);
        visit(context, &tensor);
    }
}

mortise_status checkpoint_probe(const mortise_checkpoint* c, mortise_str name, void* out, uint64_t bytes) {
    constexpr uint64_t most = 16u << 20;
    const checkpoint::TensorEntry* entry = of(c).checkpoint->catalog.find(view(name));
    if (!entry || entry->bytes != bytes || bytes > most || !of(c).reader) {
        leave_error(
            Error(Problem{.code = Code::plugin_contract,
                          .what = "probe of a tensor that is not there, has another size or is too large",
                          .tensor = copy(name),
                          .expected = std::to_string(bytes) + " bytes",
                          .found = entry ? std::to_string(entry->bytes) + " bytes" : "no such tensor"}));
        return MORTISE_REFUSED;
    }
    const Status read =
        of(c).reader->read(*entry, 0, {static_cast<std::byte*>(out), static_cast<size_t>(bytes)});
    if (!read) {
        leave_error(read.error());
        return MORTISE_REFUSED;
    }
    if (of(c).probed) of(c).probed->push_back(copy(name));
    return MORTISE_OK;
}

int32_t host_pattern(uint32_t kind, mortise_str pattern, mortise_str name) {
    const auto matched = matches(kind, view(pattern), view(name));
    if (matched) return *matched;
    leave_error(matched.error());
    return -1;
}

void host_decode(const mortise_tile* tile, float* out) { quant::decode_tile(*tile, out); }

void host_prepare(const mortise_spec* spec, const mortise_extras* extras, uint32_t activations, uint64_t rows,
                  uint64_t columns, const float* x, float* out) {
    quant::prepare_input(*spec, *extras, activations, rows, columns, x, out);
}

}  // namespace

void clear_error() { slot.reset(); }

void leave_error(const Error& error) { slot.emplace(error); }

Error take_error(mortise_status status, std::string_view plugin, std::string_view function) {
    if (!slot)
        return Error(Problem{.code = Code::plugin_failed,
                             .what = "plugin " + std::string(plugin) + ": " + std::string(function) +
                                     " returned status " + std::to_string(status) +
                                     " without an explanation"});
    std::vector<Problem> problems = slot->problems();
    slot.reset();
    for (Problem& problem : problems)
        if (problem.code == Code{}) problem.code = default_code(status);
    return Error(std::move(problems));
}

const mortise_host& host() {
    static const mortise_config_api config{{sizeof(mortise_config_api), MORTISE_ABI_MINOR},
                                           config_kind,
                                           config_member,
                                           config_count,
                                           config_item,
                                           config_key,
                                           config_bool,
                                           config_int,
                                           config_real,
                                           config_string,
                                           config_mark,
                                           config_line};
    static const mortise_checkpoint_api checkpoint{{sizeof(mortise_checkpoint_api), MORTISE_ABI_MINOR},
                                                   checkpoint_space,
                                                   checkpoint_document,
                                                   checkpoint_tensor,
                                                   checkpoint_below,
                                                   checkpoint_probe};
    static const mortise_host table{{sizeof(mortise_host), MORTISE_ABI_MINOR},
                                    host_log,
                                    host_set_error,
                                    &config,
                                    &checkpoint,
                                    host_pattern,
                                    host_decode,
                                    host_prepare};
    return table;
}

}  // namespace mortise::plan
