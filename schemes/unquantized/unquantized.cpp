// Float weights: every module is one tensor of F32, BF16 or F16, and perhaps a bias.

#include "mortise/sdk/quant.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

class Unquantized : public Scheme {
  public:
    explicit Unquantized(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

    static Match match(const Checkpoint& checkpoint) {
        const Config c = checkpoint.config();
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            if (c[key]) return {false, 0, std::string("config.json has ") + key};
        return {true, 100, "no quantization in config.json"};
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name)), weight = name + ".weight";
        const auto tensor = checkpoint_.tensor(weight);
        spec_ = plain(m.experts, m.rows, m.columns, weight, tensor ? tensor->dtype : uint32_t{MORTISE_DTYPE_BF16});
        if (m.kind != MORTISE_MODULE_EMBEDDING) add_bias(spec_, name + ".bias", m.rows, m.has_bias != 0);
        answer.plain = 1;
        answer.rule = str("the config has no quantization");
        answer.spec = &spec_.abi();
    }

  private:
    Checkpoint checkpoint_;
    Spec spec_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.unquantized", "0.1.0", scheme_entry<Unquantized>("unquantized"))
