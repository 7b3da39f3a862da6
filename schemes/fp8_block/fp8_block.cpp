// 8-bit float weights with one scale per block of rows and columns, inputs quantized per token and run of
// columns: quant_method "fp8" with weight_block_size (DeepSeek-V3, Qwen3-FP8, transformers). The scales,
// "weight_scale_inv", multiply; under scale_fmt "ue8m0" all are powers of two, kept as F32 or as exponents.

#include "mortise/sdk/float8_writer.h"
#include "mortise/sdk/groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

class Fp8Block : public Scheme {
  public:
    explicit Fp8Block(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.ignore({"quant_method", "dequantize"});
        q.one_of("expert_dtype", {"fp8"}, "fp8");
        ignore_tuning(q);
        // Tuners repeat here what the other keys and the tensors say.
        q.ignore({"act_bits", "act_data_type", "act_dynamic", "act_group_size", "act_sym", "bits",
                  "data_type", "extra_config", "group_size", "sym"});
        q.one_of("activation_scheme", {"dynamic"}, "dynamic");
        q.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
        exponents_ = q.one_of("scale_fmt", {"float", "ue8m0"}, "float") == "ue8m0";
        const Config size = q.require("weight_block_size");
        const std::vector<uint64_t> block = block_size(size);
        block_rows_ = block[0];
        block_columns_ = block[1];
        groups_.ignore = left_alone(q);
        groups_.groups.push_back({.everywhere = true, .name = "weight_block_size", .node = size});
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = quantization_of(checkpoint);
        if (q.get("quant_method", "") != "fp8") return not_matched("quant_method is not 'fp8'");
        return q["weight_block_size"] ? matched(800, "quant_method is 'fp8' with weight_block_size")
                                      : not_matched("there is no weight_block_size");
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const Float8Names names = float8_names(checkpoint(), m, "_scale_inv");
        const auto is = groups_.decide(m, is_coded(checkpoint(), names.weight));
        if (!is.coded) return say_plain(m, answer, is.rule, is.note, is.node);
        Spec spec = float8({.experts = m.experts,
                            .rows = m.rows,
                            .columns = m.columns,
                            .block_rows = block_rows_,
                            .block_columns = block_columns_},
                           names.weight, names.scale);
        accept_exponents(*spec.find(MORTISE_ROLE_SCALE));
        spec->activation = float8_groups(block_columns_, exponents_);
        if (m.has_bias != 0) add_bias(spec, names.bias, m.rows, m.experts);
        say(answer, std::move(spec), false, is.rule, is.note, is.node);
    }

    void rules(mortise_rule_visitor visit, void* context) override { groups_.report(visit, context); }

    // Writes what ModelOpt's FP8_2D_BLOCKWISE_WEIGHT_ONLY computes; with compute=, what llm-compressor's
    // preset FP8_BLOCK makes of a model that it loaded in that dtype; with ue8m0, what transformers does.
    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options)
            : LinearWriter(source),
              recipe_(float8_recipe(options)),
              block_(options.take_number('b', 0)),
              exponents_(options.take_flag("ue8m0")) {
            options.finish("b128 or another block size, ue8m0, compute=bf16, compute=f16 or compute=f32");
            if (exponents_) recipe_.exponents(MORTISE_EXPONENT_CEIL);
        }
        std::string config() override {
            const std::string size = std::to_string(block_), plain = json_list(plain_modules());
            return R"({"activation_scheme":"dynamic","fmt":"e4m3","modules_to_not_convert":)" + plain +
                   R"(,"quant_method":"fp8",)" + (exponents_ ? R"("scale_fmt":"ue8m0",)" : "") +
                   R"("weight_block_size":[)" + size + "," + size + "]}";
        }

      private:
        // What the options leave open is as in the source, so that its codes can stay as they are.
        void consider(const mortise_module& m, const mortise_spec& current) override {
            if (block_ != 0 || m.kind != MORTISE_MODULE_LINEAR) return;
            const mortise_level& level = current.levels[0];
            const bool blocks = current.encoding == MORTISE_ENCODING_E4M3 && current.n_levels == 1 &&
                                level.row_group > 1 && level.row_group == level.column_group;
            block_ = blocks ? level.row_group : 128;
            for (uint32_t f = 0; blocks && f < current.n_fields; ++f) {
                const auto scale = source().tensor(view(current.fields[f].tensor));
                exponents_ |= scale && scale->dtype == MORTISE_DTYPE_F8_E8M0;
            }
            if (exponents_) recipe_.exponents(MORTISE_EXPONENT_CEIL);
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const Float8 form{
                .rows = m.rows, .columns = m.columns, .block_rows = block_, .block_columns = block_};
            Spec spec = float8(form, name_of(m) + ".weight", name_of(m) + ".weight_scale_inv");
            store_scale(spec, current, recipe_);
            if (exponents_) store_as(*spec.find(MORTISE_ROLE_SCALE), MORTISE_DTYPE_F8_E8M0);
            keep_bias(spec, m, current);
            spec->activation = float8_groups(block_, exponents_);
            write(target, std::move(spec), recipe_);
        }
        Recipe recipe_;
        uint64_t block_;
        bool exponents_;
    };

  private:
    // Bytes without a dtype of their own are exponents only where the config says so.
    void accept_exponents(mortise_field& scale) const {
        const auto tensor = checkpoint().tensor(view(scale.tensor));
        if (tensor && tensor->dtype == MORTISE_DTYPE_U8 && exponents_) {
            scale.encoding = MORTISE_ENCODING_E8M0;
            scale.dtypes[scale.n_dtypes++] = MORTISE_DTYPE_U8;
        }
        scale.dtypes[scale.n_dtypes++] = MORTISE_DTYPE_F8_E8M0;
        if (exponents_) scale.flags |= MORTISE_FIELD_POWER_OF_TWO;
    }

    uint64_t block_rows_ = 0, block_columns_ = 0;
    bool exponents_ = false;
    ModuleGroups groups_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.fp8-block", "0.1.0", scheme_entry<Fp8Block>("fp8_block"))
