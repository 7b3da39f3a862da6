#include "plan/dialect_writer.h"

#include <utility>
#include <vector>

#include "base/json.h"
#include "plan/host_view.h"
#include "plan/scheme_model.h"
#include "registry/plugin_call.h"

namespace mortise::plan {
namespace {

using registry::PluginCall;

struct Word {
    std::string key, value;
};

std::vector<Word> split(const std::string& text) {
    std::vector<Word> out;
    for (size_t at = 0; at < text.size();) {
        size_t end = text.find_first_of(",:", at);
        if (end == std::string::npos) end = text.size();
        const std::string word = text.substr(at, end - at);
        const size_t equals = word.find('=');
        if (!word.empty())
            out.push_back(
                {word.substr(0, equals), equals == std::string::npos ? "" : word.substr(equals + 1)});
        at = end + 1;
    }
    return out;
}

bool writes(const mortise_scheme_v1& table) {
    return MORTISE_HAS(&table, mortise_scheme_v1, write_config) && table.open_writer && table.close_writer &&
           table.target && table.write_config;
}

}  // namespace

DialectWriter::DialectWriter(DialectWriter&& other) noexcept
    : table_(other.table_), id_(std::move(other.id_)), writer_(std::exchange(other.writer_, nullptr)) {}

DialectWriter::~DialectWriter() {
    if (writer_) PluginCall::call([&] { table_->close_writer(writer_); });
}

Result<DialectWriter> DialectWriter::open(const mortise_scheme_v1& table, const std::string& id,
                                          const mortise_checkpoint* source, const std::string& parameters) {
    if (!writes(table))
        return fail(Problem{.code = Code::unsupported_scheme,
                            .what = "scheme '" + id + "' reads only, it does not write",
                            .found = id,
                            .fix = "choose another dialect for --to"});
    DialectWriter writer(table, id);
    const auto words = split(parameters);
    std::vector<mortise_option> options;
    options.reserve(words.size());
    for (const Word& word : words) options.push_back({borrow(word.key), borrow(word.value)});
    clear_error();
    const mortise_status status = PluginCall::call(
        [&] { return table.open_writer(source, options.data(), options.size(), &writer.writer_); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id, "open_writer"));
    return writer;
}

Result<Target> DialectWriter::target(const Source& source, const std::string& name, uint64_t experts,
                                     const StackPlace& stack) {
    mortise_module module{};
    module.head = {sizeof module, MORTISE_ABI_MINOR};
    module.name = module.canonical = borrow(name);
    module.kind = source.kind;
    const mortise_str type = source.kind == MORTISE_MODULE_EMBEDDING ? borrow("Embedding") : borrow("Linear");
    module.class_count = 1;
    module.classes = &type;
    module.experts = experts;
    module.stack = borrow(stack.name);
    module.expert = stack.expert;
    module.rows = source.spec.extent.rows;
    module.columns = source.spec.extent.columns;
    module.transposed = source.transposed;
    module.n_parts = 1;
    module.part_names = &module.name;
    module.part_rows = &module.rows;
    bool bias = false;
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        const quant::Field& field = source.spec.fields[f];  // one that must be zero is dropped
        bias |= field.role == MORTISE_ROLE_BIAS && source.tensors[f] != none &&
                !field.has(MORTISE_FIELD_DROP_IF_ZERO);
    }
    module.has_bias = bias;
    const quant::AbiSpec current(source.spec);
    mortise_target answer{};
    answer.head.size = sizeof answer;
    clear_error();
    const mortise_status status =
        PluginCall::call([&] { return table_->target(writer_, &module, &current.abi(), &answer); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id_, "target").in_tensor(name));
    if (!answer.spec)
        return fail(Problem{.code = Code::plugin_contract,
                            .what = "scheme " + id_ + " gave no spec to write",
                            .tensor = name});
    Target target{.plain = answer.plain != 0,
                  .quantizer = quant::from_abi(answer.quantizer, answer.recipe),
                  .reason = copy(answer.reason),
                  .slice = answer.slice};
    MORTISE_TRY(target.spec, quant::from_abi(*answer.spec));
    return target;
}

Result<std::string> DialectWriter::config() {
    std::string text;
    clear_error();
    const mortise_status status = PluginCall::call([&] {
        return table_->write_config(
            writer_,
            [](void* context, mortise_str piece) { static_cast<std::string*>(context)->append(view(piece)); },
            &text);
    });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id_, "write_config"));
    return text;
}

Result<CacheAnswer> DialectWriter::cache(const std::string& attention, const CacheAnswer& current) {
    if (!MORTISE_HAS(table_, mortise_scheme_v1, target_cache) || !table_->target_cache)
        return CacheAnswer{.rule = "the dialect '" + id_ + "' says nothing of a cache"};
    quant::QuantSpec numbers;
    std::string letters;
    for (const CacheField& each : current.fields) {
        numbers.fields.push_back(each.field);
        letters.push_back(each.letter);
    }
    const quant::AbiSpec fields(std::move(numbers));
    mortise_cache_answer asked{.head = {sizeof asked, MORTISE_ABI_MINOR},
                               .encoding = current.encoding,
                               .bits = current.bits,
                               .per_head = current.per_head,
                               .affine = letters.find('K') != std::string::npos,
                               .n_fields = fields->n_fields,
                               .reserved = 0,
                               .fields = fields->fields,
                               .letters = letters.data(),
                               .rule = borrow(current.rule),
                               .scale_divisor = current.scale_divisor};
    mortise_cache_answer answer{};
    answer.head.size = sizeof answer;
    clear_error();
    const mortise_status status =
        PluginCall::call([&] { return table_->target_cache(writer_, borrow(attention), &asked, &answer); });
    if (status != MORTISE_OK)
        return std::unexpected(take_error(status, id_, "target_cache").in_tensor(attention));
    return from_abi(answer);
}

Result<std::map<std::string, std::string>> DialectWriter::files() {
    std::map<std::string, std::string> out;
    if (!MORTISE_HAS(table_, mortise_scheme_v1, write_files) || !table_->write_files) return out;
    const auto keep = [](void* context, mortise_str name, mortise_str text) {
        (*static_cast<std::map<std::string, std::string>*>(context))[copy(name)] = copy(text);
    };
    clear_error();
    const mortise_status status = PluginCall::call([&] { return table_->write_files(writer_, keep, &out); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id_, "write_files"));
    for (const auto& [name, text] : out)
        if (!name.ends_with(".json") || name == "config.json" || name.find('/') != std::string::npos ||
            !json::Document::parse(text, name))
            return fail(
                Problem{.code = Code::plugin_contract,
                        .what = "scheme " + id_ + " writes a file that is no JSON file beside config.json",
                        .found = name});
    return out;
}

std::string DialectWriter::config_copy() const {
    return MORTISE_HAS(table_, mortise_scheme_v1, config_copy) ? copy(table_->config_copy) : std::string();
}

}  // namespace mortise::plan
