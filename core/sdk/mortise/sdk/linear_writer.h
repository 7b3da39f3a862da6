// Writing a dialect that quantizes linears: which modules it codes, and what the source left as floats on
// purpose.
//
// One thread.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "mortise/sdk/writer.h"

namespace mortise::sdk {

// What a dialect can code besides separate linears.
struct Reach {
    bool heads = false, embeddings = false, stacks = false;  // stacks: all experts in one tensor
};

// A dialect that quantizes linears: embeddings, heads, stacks of experts and linears that do not fit stay
// floats, unless the dialect reaches them and the source has them coded, or the user says "head" or
// "embedding". Derive, answer linear().
class LinearWriter : public SchemeWriter {
  public:
    explicit LinearWriter(const Checkpoint& source) : SchemeWriter(source) {}
    LinearWriter(const Checkpoint& source, Reach reach, Options& options)
        : SchemeWriter(source),
          reach_(reach),
          head_(reach.heads && options.take_flag("head")),
          embedding_(reach.embeddings && options.take_flag("embedding")) {}
    void target(const mortise_module& module, const mortise_spec& current, mortise_target& target) final {
        consider(module, current);
        const std::string why = why_float(module, current);
        const bool head = module.kind == MORTISE_MODULE_HEAD;
        if (why.empty()) {
            (head ? coded_heads_ : coded_linears_).push_back(name_of(module));
            return linear(module, current, target);
        }
        if (head) heads_.push_back(name_of(module));
        if (module.kind == MORTISE_MODULE_LINEAR) linears_.push_back(name_of(module));
        keep_plain(module, current, target, why);
    }

  protected:
    virtual void linear(const mortise_module& module, const mortise_spec& current,
                        mortise_target& target) = 0;
    // Effect: looks at a module before why_plain() is asked: to take over the source's group size, say.
    virtual void consider(const mortise_module& module, const mortise_spec& current) {
        (void)module, (void)current;
    }
    // Effect: why this linear cannot be written; "" = it can.
    virtual std::string why_plain(const mortise_module& module) const {
        (void)module;
        return {};
    }
    // Modules left as floats so far, and heads that were not.
    const std::vector<std::string>& plain_heads() const { return heads_; }
    const std::vector<std::string>& plain_linears() const { return linears_; }
    std::vector<std::string> plain_modules() const {
        std::vector<std::string> all = heads_;
        all.insert(all.end(), linears_.begin(), linears_.end());
        return all;
    }
    const std::vector<std::string>& coded_heads() const { return coded_heads_; }
    // Effect: the linears left as floats, for readers that look for an entry anywhere in a name below its
    // layer: so written wherever that leaves out no coded linear, else whole.
    std::vector<std::string> plain_below_layers() const {
        std::vector<std::string> out;
        for (const std::string& name : linears_) {
            const std::string below = below_layer(name);
            const bool alone = std::ranges::none_of(coded_linears_, [&](const std::string& coded) {
                return coded.find(below) != std::string::npos;
            });
            const std::string& entry = alone ? below : name;
            if (std::ranges::find(out, entry) == out.end()) out.push_back(entry);
        }
        return out;
    }

  private:
    std::string why_float(const mortise_module& module, const mortise_spec& current) const {
        const bool coded = !is_plain(current);
        if (module.kind == MORTISE_MODULE_HEAD && !(head_ || (reach_.heads && coded)))
            return "embedding and head stay floats";
        if (module.kind == MORTISE_MODULE_EMBEDDING && !(embedding_ || (reach_.embeddings && coded)))
            return "embedding and head stay floats";
        if (module.experts != 1 && !reach_.stacks) return "stacked experts stay floats";
        if (module.kind == MORTISE_MODULE_LINEAR && !coded && has_codes())
            return "it is a float in the source";
        return why_plain(module);
    }

    // Effect: what follows the first component that is a number; the whole name where there is none.
    static std::string below_layer(const std::string& name) {
        for (size_t dot = name.find('.'); dot != std::string::npos;) {
            const size_t end = name.find('.', dot + 1);
            const bool number = end != std::string::npos && end > dot + 1 &&
                                name.find_first_not_of("0123456789", dot + 1) == end;
            if (number) return name.substr(end + 1);
            dot = end;
        }
        return name;
    }
    // Effect: true iff the source says that it is quantized: then its floats were left out on purpose.
    bool has_codes() const {
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            if (source().config()[key]) return true;
        return source().document("quant_config.json") || source().document("quantize_config.json");
    }

    Reach reach_;
    bool head_ = false, embedding_ = false;
    std::vector<std::string> heads_, linears_, coded_linears_, coded_heads_;
};

}  // namespace mortise::sdk
