// The writing half of a scheme plugin: asked by conversion, and by plans that quantize while loading.
#pragma once

#include <map>
#include <string>

#include "mortise/abi_scheme.h"
#include "plan/load_plan.h"
#include "plan/names.h"
#include "quant/encode.h"

namespace mortise::plan {

// What a dialect wants written for one module.
struct Target {
    bool plain = false;
    quant::QuantSpec spec;
    quant::Quantizer quantizer;
    std::string reason;
    uint64_t slice = 0;  // mortise_target.slice
};

class DialectWriter {
  public:
    // `parameters`: "g64,compute=f32". Errors: unsupported_scheme when the scheme does not write; the
    // plugin's own.
    static Result<DialectWriter> open(const mortise_scheme_v1& table, const std::string& id,
                                      const mortise_checkpoint* source, const std::string& parameters);
    DialectWriter(DialectWriter&& other) noexcept;
    DialectWriter& operator=(DialectWriter&&) = delete;
    ~DialectWriter();

    // What becomes of a module, or of one expert of a stack: `experts` is 1 then, and `name` the expert's.
    // `stack`: see mortise_module. Errors: plugin_contract; the plugin's own.
    Result<Target> target(const Source& source, const std::string& name, uint64_t experts,
                          const StackPlace& stack = {});
    // The numbers of one attention's cache as the dialect spells them; `current` has one dtype and shape for
    // each. What has no place is missing in the answer, and its rule says why; so with all of a cache whose
    // coding the answer does not repeat. After the last target(). Errors: plugin_contract; the plugin's own.
    Result<CacheAnswer> cache(const std::string& attention, const CacheAnswer& current);
    // JSON of the quantization_config member; empty = none. After the last target() and cache().
    Result<std::string> config();
    // Name and text of files beside config.json. After config().
    Result<std::map<std::string, std::string>> files();
    // Another member of config.json that repeats it; empty = none.
    std::string config_copy() const;

  private:
    DialectWriter(const mortise_scheme_v1& table, std::string id) : table_(&table), id_(std::move(id)) {}
    const mortise_scheme_v1* table_;
    std::string id_;
    void* writer_ = nullptr;
};

}  // namespace mortise::plan
