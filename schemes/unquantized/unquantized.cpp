// Float weights: every module is one tensor of F32, BF16 or F16, and perhaps a bias.

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

bool is_small_float(uint32_t dtype) {
    return dtype >= MORTISE_DTYPE_F8_E4M3 && dtype <= MORTISE_DTYPE_F6_E3M2;
}

class Unquantized : public Scheme {
  public:
    using Scheme::Scheme;

    static Match match(const Checkpoint& checkpoint) {
        const Config c = checkpoint.config();
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            if (c[key]) return not_matched(std::string("config.json has ") + key);
        std::string coded;
        checkpoint.each_below("", [&](const mortise_tensor& tensor) {
            if (coded.empty() && is_small_float(tensor.dtype)) coded = view(tensor.name);
        });
        if (!coded.empty()) return not_matched("'" + coded + "' is no plain float");
        return matched(100, "no quantization in config.json, and float tensors");
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        say_plain(m, answer, "the config has no quantization");
    }

    class Writer : public SchemeWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : SchemeWriter(source) {
            for (const auto& [word, dtype] : {std::pair{"bf16", MORTISE_DTYPE_BF16},
                                              {"f16", MORTISE_DTYPE_F16},
                                              {"f32", MORTISE_DTYPE_F32}})
                if (options.take_flag(word)) dtype_ = dtype;
            options.finish("bf16, f16 or f32");
        }
        void target(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            if (dtype_ == 0) return keep_plain(m, current, target, "");
            write_plain(m, current, target, dtype_, "");
        }

      private:
        uint32_t dtype_ = 0;  // 0: as the source
    };
};

}  // namespace

MORTISE_PLUGIN("org.mortise.unquantized", "0.1.0", scheme_entry<Unquantized>("unquantized"))
