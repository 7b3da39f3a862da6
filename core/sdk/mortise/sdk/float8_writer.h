// Writing 8-bit floats under float scales, inputs quantized per token from their data: what dialects of one
// scale per row or per matrix have in common. One thread.
#pragma once

#include "mortise/sdk/float8.h"
#include "mortise/sdk/linear_writer.h"

namespace mortise::sdk {

// Effect: 8-bit floats: scale = f32(amax) / 448, code = f32(weight / scale), scale 1 for zeros
// (Model-Optimizer, export/quant_utils.py); with "compute=" among the options all in that dtype, its epsilon
// for zeros (llm-compressor, observers/min_max.py).
inline Recipe float8_recipe(Options& options) {
    const uint32_t dtype = options.take_dtype("compute");
    if (dtype != 0) return symmetric_recipe(encoding_of(dtype), 448, -448, 448);
    return float8_recipe();
}

// Derive, answer weights() and config().
class Float8Writer : public LinearWriter {
  public:
    // Errors: an option that nobody took, besides "compute=". `known`: the others.
    Float8Writer(const Checkpoint& source, Options& options, const std::string& known = "")
        : LinearWriter(source), recipe_(float8_recipe(options)) {
        options.finish(known + "compute=bf16, compute=f16 or compute=f32");
    }

  protected:
    // Effect: codes and scales of this linear, under the dialect's names.
    virtual Spec weights(const mortise_module& module) const = 0;

  private:
    void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) final {
        Spec spec = weights(m);
        store_scale(spec, current, recipe_);
        keep_bias(spec, m, current);
        spec->activation = float8_tokens();
        write(target, std::move(spec), recipe_);
    }
    Recipe recipe_;
};

}  // namespace mortise::sdk
