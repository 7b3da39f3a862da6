// Writing an architecture: derive nothing, write one function `void build(Builder&)`, register it with
// MORTISE_PLUGIN. The Builder turns C++ values into the border's tables; every call throws on failure.
//
// One thread. Shapes: x is [T][hidden]; weights are [output rows][input columns].
#pragma once

#include <string>
#include <vector>

#include "mortise/sdk/config.h"

namespace mortise::sdk {

using Value = uint32_t;   // of the graph
using Weight = uint32_t;  // linear, embedding or vector

struct Part {
    std::string name;  // canonical, without ".weight"
    uint64_t rows = 0;
    uint64_t units = 0;  // heads, where the rows must not be cut inside one
    bool bias = false;
};

// Rows of a part inside a fused module.
struct RowMap {
    uint64_t offset = 0;
    std::vector<mortise_digit> digits;  // empty: contiguous
};

struct Fusion {
    std::string name;
    std::vector<RowMap> maps;  // one per part; empty: the parts lie one after the other
    bool transposed = false;
};

struct LinearOptions {
    uint32_t partition = MORTISE_PARTITION_COLUMN;
    uint64_t column_units = 0;
    uint64_t experts = 1;
    bool head = false;
    std::vector<Fusion> fusions;
};

// Attributes of an op, built by chaining: Attributes().set(MORTISE_ATTR_EPS, 1e-5).
class Attributes {
  public:
    Attributes& set(uint32_t key, double real) { return add({key, 0, 0, real, nullptr}); }
    Attributes& set(uint32_t key, int64_t integer) { return add({key, 0, integer, 0, nullptr}); }
    Attributes& set(uint32_t key, uint64_t integer) { return set(key, static_cast<int64_t>(integer)); }
    Attributes& set(uint32_t key, int integer) { return set(key, int64_t{integer}); }
    // Requires: `array` outlives the op() call.
    Attributes& set(uint32_t key, const std::vector<float>& array) {
        return add({key, static_cast<uint32_t>(array.size()), 0, 0, array.data()});
    }
    const std::vector<mortise_attr>& list() const { return list_; }

  private:
    Attributes& add(mortise_attr attr) {
        list_.push_back(attr);
        return *this;
    }
    std::vector<mortise_attr> list_;
};

class Builder {
  public:
    Builder(mortise_builder* builder, const mortise_builder_api* api) : builder_(builder), api_(api) {}

    // The config object that governs the text model.
    Config config() const { return Config(api_->config(builder_)); }

    Weight linear(const std::vector<Part>& parts, uint64_t columns, const LinearOptions& options = {}) {
        std::vector<mortise_part> c_parts;
        uint64_t rows = 0;
        for (const Part& part : parts) {
            auto c = make<mortise_part>();
            c.name = str(part.name);
            c.rows = part.rows;
            c.units = part.units;
            c.bias = part.bias;
            c_parts.push_back(c);
            rows += part.rows;
        }
        std::vector<std::vector<mortise_row_map>> maps(options.fusions.size());
        std::vector<mortise_fusion> fusions;
        for (size_t f = 0; f < options.fusions.size(); ++f) {
            maps[f] = row_maps(options.fusions[f], parts);
            fusions.push_back(
                {str(options.fusions[f].name), rows, maps[f].data(), options.fusions[f].transposed, 0});
        }
        auto c = make<mortise_linear>();
        c.n_parts = static_cast<uint32_t>(c_parts.size());
        c.partition = options.partition;
        c.parts = c_parts.data();
        c.columns = columns;
        c.column_units = options.column_units;
        c.experts = options.experts;
        c.n_fusions = static_cast<uint32_t>(fusions.size());
        c.head_of_model = options.head;
        c.fusions = fusions.data();
        return checked(api_->linear(builder_, &c));
    }

    Weight embedding(std::string_view name, uint64_t rows, uint64_t columns) {
        auto c = make<mortise_embedding>();
        c.name = str(name);
        c.rows = rows;
        c.columns = columns;
        return checked(api_->embedding(builder_, &c));
    }

    // `name` is the full tensor name.
    Weight vector(std::string_view name, uint64_t columns, uint32_t partition = MORTISE_PARTITION_REPLICATED,
                  uint64_t units = 0) {
        auto c = make<mortise_vector>();
        c.name = str(name);
        c.rows = 1;
        c.columns = columns;
        c.partition = partition;
        c.units = units;
        return checked(api_->vector(builder_, &c));
    }

    std::vector<Value> op(uint32_t kind, std::string_view name, const std::vector<Value>& inputs,
                          const std::vector<Weight>& weights, const Attributes& attributes = {},
                          uint32_t outputs = 1) {
        auto c = make<mortise_op>();
        c.kind = kind;
        c.n_attrs = static_cast<uint32_t>(attributes.list().size());
        c.n_inputs = static_cast<uint32_t>(inputs.size());
        c.n_weights = static_cast<uint32_t>(weights.size());
        c.n_outputs = outputs;
        c.attrs = attributes.list().data();
        c.inputs = inputs.data();
        c.weights = weights.data();
        c.name = str(name);
        std::vector<Value> values(outputs);
        check(api_->op(builder_, &c, values.data()));
        return values;
    }
    Value op1(uint32_t kind, std::string_view name, const std::vector<Value>& inputs,
              const std::vector<Weight>& weights = {}, const Attributes& attributes = {}) {
        return op(kind, name, inputs, weights, attributes)[0];
    }

    Value add(Value a, Value b) { return op1(MORTISE_OP_ADD, "", {a, b}); }
    Value scale(Value x, double factor) {
        return op1(MORTISE_OP_SCALE, "", {x}, {}, Attributes().set(MORTISE_ATTR_FACTOR, factor));
    }

    void logits(Value value) { api_->logits(builder_, value); }
    void tie(Weight head, Weight embedding, bool tied) { api_->tie(builder_, head, embedding, tied); }
    void root(std::string_view canonical, std::string_view theirs) {
        api_->root(builder_, str(canonical), str(theirs));
    }
    void drop(uint32_t kind, std::string_view pattern, std::string_view rule, std::string_view reason) {
        api_->drop(builder_, kind, str(pattern), str(rule), str(reason));
    }
    void alias(std::string_view name_space, std::string_view canonical, std::string_view theirs,
               const RowMap* rows = nullptr) {
        auto c = make<mortise_alias>();
        c.name_space = str(name_space);
        c.canonical = str(canonical);
        c.theirs = str(theirs);
        const mortise_row_map map = rows ? c_map(*rows) : mortise_row_map{};
        c.rows = rows ? &map : nullptr;
        api_->alias(builder_, &c);
    }
    void limits(uint64_t vocabulary, uint64_t max_positions, uint32_t dtype) {
        api_->limits(builder_, vocabulary, max_positions, dtype);
    }

  private:
    static Weight checked(uint32_t id) {
        if (id == MORTISE_NONE) throw Reported{MORTISE_INTERNAL};
        return id;
    }
    static mortise_row_map c_map(const RowMap& map) {
        mortise_row_map c{map.offset, static_cast<uint32_t>(map.digits.size()), 0, {}};
        for (size_t d = 0; d < map.digits.size() && d < 4; ++d) c.digits[d] = map.digits[d];
        return c;
    }
    static std::vector<mortise_row_map> row_maps(const Fusion& fusion, const std::vector<Part>& parts) {
        std::vector<mortise_row_map> maps;
        uint64_t offset = 0;
        for (size_t p = 0; p < parts.size(); ++p) {
            maps.push_back(c_map(fusion.maps.empty() ? RowMap{offset, {}} : fusion.maps[p]));
            offset += parts[p].rows;
        }
        return maps;
    }

    mortise_builder* builder_;
    const mortise_builder_api* api_;
};

}  // namespace mortise::sdk
