// One scheme opened on made-up headers: what it answers for a module, what it would write.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "quant/decode.h"
#include "support/open_plugin.h"

namespace mortise::test {

// A field as a test wants to see it.
struct SeenField {
    uint32_t role, encoding, flags, bits, first_dtype;
    std::string tensor;
    uint64_t rows, columns;
    double default_value;
    std::vector<uint32_t> dtypes;
    std::vector<std::vector<int64_t>> shapes;

    bool accepts(uint32_t dtype) const { return std::count(dtypes.begin(), dtypes.end(), dtype) != 0; }
    bool accepts(const std::vector<int64_t>& shape) const {
        return std::count(shapes.begin(), shapes.end(), shape) != 0;
    }
};
struct Seen {
    mortise_status status = MORTISE_OK;
    bool plain = false;
    std::string rule, note, error;
    uint32_t encoding = 0, levels = 0, offset_kind = 0, granularity = 0, dynamic = 0;
    mortise_activation activation{};
    double amax_ceiling = 0;
    std::vector<uint32_t> divides;                              // of each level
    std::vector<uint64_t> row_group, column_group, piece_ends;  // of each level; of the first
    uint32_t bits = 0, rotation_block = 0;
    double rotation_factor = 0;
    std::vector<uint64_t> code_terms;  // of the layout of the codes: source, div, mod, stride of each
    std::vector<SeenField> fields;

    const SeenField* find(uint32_t role) const {
        for (const SeenField& each : fields)
            if (each.role == role) return &each;
        return nullptr;
    }
    void take(const mortise_spec& spec) {
        encoding = spec.encoding;
        levels = spec.n_levels;
        offset_kind = spec.offset_kind;
        granularity = spec.activation.granularity;
        dynamic = spec.activation.dynamic;
        activation = spec.activation;
        amax_ceiling = spec.activation_amax_ceiling;
        for (uint32_t l = 0; l < spec.n_levels; ++l) {
            divides.push_back(spec.levels[l].divide);
            row_group.push_back(spec.levels[l].row_group);
            column_group.push_back(spec.levels[l].column_group);
        }
        piece_ends.assign(spec.levels[0].row_splits, spec.levels[0].row_splits + spec.levels[0].n_row_splits);
        bits = spec.bits;
        rotation_block = spec.rotation_block;
        rotation_factor = spec.rotation_factor;
        for (uint32_t f = 0; f < spec.n_fields; ++f) {
            const mortise_field& field = spec.fields[f];
            const mortise_plane& plane = field.layout.planes[0];
            for (uint32_t t = 0; field.role == MORTISE_ROLE_CODES && t < plane.n_terms; ++t)
                code_terms.insert(code_terms.end(), {plane.terms[t].source, plane.terms[t].div,
                                                     plane.terms[t].mod, plane.terms[t].stride});
            fields.push_back({field.role,
                              field.encoding,
                              field.flags,
                              field.bits,
                              field.dtypes[0],
                              copy(field.tensor),
                              field.rows,
                              field.columns,
                              field.default_value,
                              {},
                              {}});
            fields.back().dtypes.assign(field.dtypes, field.dtypes + field.n_dtypes);
            for (uint32_t s = 0; s < field.n_shapes; ++s)
                fields.back().shapes.emplace_back(field.shapes[s].dims,
                                                  field.shapes[s].dims + field.shapes[s].rank);
        }
    }
};

struct ModuleOf {
    std::string name;
    uint64_t rows = 64, columns = 64;
    uint32_t kind = MORTISE_MODULE_LINEAR;
    bool bias = false;
    uint64_t experts = 1;
    std::vector<std::pair<std::string, uint64_t>> parts =
        {};  // of a matrix that is fused on disk: names and rows

    mortise_module abi() const {
        static const mortise_str linear{"Linear", 6}, embedding{"Embedding", 9};
        mortise_module m{};
        m.head.size = sizeof m;
        m.name = m.canonical = borrow(name);
        m.kind = kind;
        m.class_count = 1;
        m.classes = kind == MORTISE_MODULE_EMBEDDING ? &embedding : &linear;
        m.experts = experts;
        m.rows = rows;
        m.columns = columns;
        m.n_parts = 1;
        view_ = borrow(name);
        m.part_names = &view_;
        m.part_rows = &rows;
        m.has_bias = bias;
        if (parts.empty()) return m;
        names_.clear(), rows_.clear();
        for (const auto& [part, count] : parts) names_.push_back(borrow(part)), rows_.push_back(count);
        m.n_parts = parts.size();
        m.part_names = names_.data();
        m.part_rows = rows_.data();
        return m;
    }
    mutable mortise_str view_{};
    mutable std::vector<mortise_str> names_ = {};
    mutable std::vector<uint64_t> rows_ = {};
};

// Effect: verdict of scheme NAME on what the fake host holds; the reason in `reason`.
inline bool claims(const std::string& name, std::string* reason = nullptr) {
    mortise_match match{};
    match.head.size = sizeof match;
    EXPECT_EQ(scheme(name).match(FakeHost::instance().checkpoint(), &match), MORTISE_OK)
        << FakeHost::instance().error();
    if (reason) *reason = match.reason;
    return match.verdict == MORTISE_VERDICT_YES;
}

class Opened {
  public:
    explicit Opened(const std::string& name) : table_(scheme(name)) {
        status = table_.open(FakeHost::instance().checkpoint(), &model_);
        if (status != MORTISE_OK) error = FakeHost::instance().error();
    }
    ~Opened() {
        if (model_) table_.close(model_);
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

    Seen module(const ModuleOf& of) {
        mortise_answer answer{};
        answer.head.size = sizeof answer;
        const mortise_module m = of.abi();
        Seen out{.status = table_.module(model_, &m, &answer)};
        if (out.status != MORTISE_OK) return out.error = FakeHost::instance().error(), out;
        out.plain = answer.plain != 0;
        out.rule = copy(answer.rule);
        out.note = copy(answer.note);
        out.take(*answer.spec);
        return out;
    }
    // Effect: what the bytes of the fake host's tensors mean under the answer for a module.
    Result<std::vector<float>> weights(const ModuleOf& of) {
        mortise_answer answer{};
        answer.head.size = sizeof answer;
        const mortise_module m = of.abi();
        FakeHost& host = FakeHost::instance();
        if (table_.module(model_, &m, &answer) != MORTISE_OK) return fail(Code::internal, host.error());
        MORTISE_TRY(const quant::QuantSpec spec, quant::from_abi(*answer.spec));
        quant::Sources sources;
        for (const quant::Field& field : spec.fields)
            if (const auto bytes = host.bytes.find(field.tensor); bytes != host.bytes.end())
                sources[field.role] = {.bytes = bytes->second,
                                       .dtype = static_cast<DType>(host.tensors[field.tensor].dtype)};
        return quant::decode_all(spec, sources);
    }
    mortise_cache_answer cache(const std::string& attention, uint64_t kv_heads) {
        mortise_cache_answer answer{};
        answer.head.size = sizeof answer;
        EXPECT_EQ(table_.cache(model_, borrow(attention), kv_heads, 16, &answer), MORTISE_OK);
        return answer;
    }
    mortise_status status;
    std::string error;

  private:
    const mortise_scheme_v1& table_;
    void* model_ = nullptr;
};

// Effect: what NAME would write for `module`, which is now `current`; the config it would write in `config`,
// the files beside it in `files`.
inline Seen written(const std::string& name, const std::vector<mortise_option>& options,
                    const ModuleOf& module, const mortise_spec& current, mortise_quantizer* recipe = nullptr,
                    std::string* config = nullptr, std::map<std::string, std::string>* files = nullptr) {
    const mortise_scheme_v1& table = scheme(name);
    void* writer = nullptr;
    Seen out{.status = table.open_writer(FakeHost::instance().checkpoint(), options.data(), options.size(),
                                         &writer)};
    if (out.status != MORTISE_OK) return out.error = FakeHost::instance().error(), out;
    mortise_target target{};
    target.head.size = sizeof target;
    const mortise_module m = module.abi();
    out.status = table.target(writer, &m, &current, &target);
    if (out.status == MORTISE_OK) {
        out.plain = target.plain != 0;
        out.note = copy(target.reason);
        out.take(*target.spec);
        if (recipe) *recipe = target.quantizer;
    }
    if (config) {
        const auto keep = [](void* to, mortise_str text) { *static_cast<std::string*>(to) = copy(text); };
        EXPECT_EQ(table.write_config(writer, keep, config), MORTISE_OK);
    }
    if (files) {
        const auto keep = [](void* to, mortise_str file, mortise_str text) {
            (*static_cast<std::map<std::string, std::string>*>(to))[copy(file)] = copy(text);
        };
        EXPECT_EQ(table.write_files(writer, keep, files), MORTISE_OK);
    }
    table.close_writer(writer);
    return out;
}

}  // namespace mortise::test
