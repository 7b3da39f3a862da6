// Stacked experts of 4-bit floats, as gpt-oss is published: `<stack>_blocks` [experts][rows][columns /
// 32][16] with the lower nibble first, `<stack>_scales` [experts][rows][columns / 32], `<stack>_bias`.
// Everything else is a plain float. Facts: transformers.integrations.mxfp4 of transformers 5.

#include "mortise/sdk/float_groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr uint64_t block = 32;

// Effect: a stack in blocks; the rows lie outermost, whatever the orientation of the float stack.
Spec in_blocks(uint64_t experts, uint64_t rows, uint64_t columns, const std::string& name) {
    const FloatGroups form{.experts = experts, .rows = rows, .columns = columns, .in_blocks = true};
    if (!form.fits())
        throw Refused({.what = "an expert has columns that are no whole blocks",
                       .subject = name,
                       .expected = "a multiple of " + std::to_string(block),
                       .found = std::to_string(columns)});
    Spec spec = float_groups(form, name + "_blocks", name + "_scales");
    // The experts are an axis of the file even where there is one.
    spec.find(MORTISE_ROLE_CODES)->shapes[0] = shape_of({experts, rows, form.groups(), block / 2});
    spec.find(MORTISE_ROLE_SCALE)->shapes[0] = shape_of({experts, rows, form.groups()});
    return spec;
}

class Mxfp4 : public Scheme {
  public:
    explicit Mxfp4(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.one_of("quant_method", {"mxfp4"});
        q.refuse_if_set("dequantize");
        // The library matches from the start of a name on, with no end.
        const auto from_start = [](const std::string& text) { return Pattern{MORTISE_PATTERN_REGEX, text}; };
        left_out_ = Rules(q["modules_to_not_convert"], "modules_to_not_convert", from_start);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config method = quantization_of(checkpoint)["quant_method"];
        if (!method.is_string() || method.as<std::string>() != "mxfp4")
            return not_matched("quant_method is not mxfp4");
        return matched(900, "quant_method is mxfp4");
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* rule = left_out_.find(m);
        const bool coded = checkpoint().has(name + "_blocks");
        if (!coded)
            return say_plain(m, answer,
                             rule != nullptr ? rule->text : "no _blocks: only stacks of experts are coded",
                             "", rule != nullptr ? rule->node : Config());
        Spec spec = in_blocks(m.experts, m.rows, m.columns, name);
        if (m.has_bias != 0) add_bias(spec, name + "_bias", m.rows, m.experts);
        say(answer, std::move(spec), false, "its tensor ends in _blocks",
            rule != nullptr ? "the config leaves it out (" + rule->text + "), and it is coded" : "");
    }

    void rules(mortise_rule_visitor visit, void* context) override { left_out_.report(visit, context); }

    // Writes stacks as Triton's downcast_to_mxfp codes them: 2^ceil(log2(amax / 6)).
    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : LinearWriter(source, {.stacks = true}, options) {
            options.finish("none");
        }
        std::string config() override {
            if (!coded_) return {};
            return json_object({{"modules_to_not_convert", json_list(plain_modules())},
                                {"quant_method", json_text("mxfp4")}});
        }

      private:
        std::string why_plain(const mortise_module& m) const override {
            if (m.experts == 1) return "only stacks of experts are coded";
            return m.columns % block == 0 ? "" : "the columns are no whole blocks";
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            coded_ = true;
            Spec spec = in_blocks(m.experts, m.rows, m.columns, name_of(m));
            store_as(*spec.find(MORTISE_ROLE_SCALE), MORTISE_DTYPE_U8);
            keep_bias(spec, m, current);
            write(target, std::move(spec),
                  symmetric_recipe(MORTISE_ENCODING_F32, 6, -6, 6)
                      .zero_scale(0x1p-127)
                      .exponents(MORTISE_EXPONENT_CEIL));
        }
        bool coded_ = false;
    };

  private:
    Rules left_out_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.mxfp4", "0.1.0", scheme_entry<Mxfp4>("mxfp4"))
