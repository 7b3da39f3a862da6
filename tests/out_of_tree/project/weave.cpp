// ACME weave, a made-up format. Each linear is NAME.weave, U8 [rows][columns * 6 / 8], and NAME.weave_scale,
// F32 [rows][columns / 16]. A row holds first the low four bits of its codes, then the high two:
//   byte j of the first part: column j in its low half, column j + columns / 2 in its high half;
//   byte j of the second part: columns j, j + columns / 4, j + columns / 2, j + 3 * columns / 4, from low to
//   high. weight = (code - 32) * scale
// Modules that quantization_config.keep names are plain.
#include <algorithm>

#include "mortise/sdk/quant.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr uint64_t bits = 6, group = 16;

// `take` columns side by side in each byte, `width` bits of each.
mortise_plane plane_of(uint32_t width, uint64_t first_bit, uint64_t columns, uint64_t take) {
    mortise_plane plane{};
    plane.bits = width;
    plane.offset = first_bit;
    plane.n_terms = 4;
    plane.terms[0] = {MORTISE_SOURCE_ROW, 0, 1, 0, columns * bits};
    plane.terms[1] = {MORTISE_SOURCE_COLUMN, 0, 1, columns / take, 8};
    plane.terms[2] = {MORTISE_SOURCE_COLUMN, 0, columns / take, 0, width};
    plane.terms[3] = {MORTISE_SOURCE_BIT, 0, 1, 0, 1};
    return plane;
}

class Weave : public Scheme {
  public:
    explicit Weave(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config config = checkpoint.config()["quantization_config"];
        config.ignore({"quant_method"});
        keep_ = config["keep"].list<std::string>();
    }

    static Match match(const Checkpoint& checkpoint) {
        const std::string method =
            checkpoint.config()["quantization_config"].get<std::string>("quant_method", "");
        return {method == "acme_weave", 700, "quant_method is '" + method + "'"};
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const bool kept = m.kind == MORTISE_MODULE_EMBEDDING || std::ranges::find(keep_, name) != keep_.end();
        if (kept) return say_plain(m, answer, "quantization_config.keep");
        say(answer, woven(name, m.rows, m.columns), false, "quantization_config.quant_method");
    }

  private:
    static Spec woven(const std::string& name, uint64_t rows, uint64_t columns) {
        Spec spec(1, rows, columns);
        spec->encoding = MORTISE_ENCODING_OFFSET;
        spec->bits = bits;
        mortise_field& codes = spec.field(MORTISE_ROLE_CODES, name + ".weave", {MORTISE_DTYPE_U8},
                                          {shape_of({rows, columns * bits / 8})});
        codes.encoding = MORTISE_ENCODING_OFFSET;
        codes.bits = bits;
        codes.rows = rows;
        codes.columns = columns;
        codes.layout.n_planes = 2;
        codes.layout.planes[0] = plane_of(4, 0, columns, 2);
        codes.layout.planes[1] = plane_of(2, columns * 4, columns, 4);
        mortise_field& scale = spec.field(MORTISE_ROLE_SCALE, name + ".weave_scale", {MORTISE_DTYPE_F32},
                                          {shape_of({rows, columns / group})});
        scale.rows = rows;
        scale.columns = columns / group;
        scale.flags = MORTISE_FIELD_FINITE;
        spec->n_levels = 1;
        spec->levels[0].role = MORTISE_ROLE_SCALE;
        spec->levels[0].row_group = 1;
        spec->levels[0].column_group = group;
        return spec;
    }

    std::vector<std::string> keep_;
};

}  // namespace

MORTISE_PLUGIN(MORTISE_PLUGIN_ID, MORTISE_PLUGIN_VERSION, scheme_entry<Weave>("weave"))
