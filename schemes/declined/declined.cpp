// Dialects that are known and not read: each is refused by its name, with the reason and what reading it
// would need. A scheme that reads one of them goes before this one, which claims them with the lowest score.
// Facts: the libraries' own writers and transformers.integrations of transformers 5.

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

struct Known {
    std::string_view method;
    const char* reason;  // what its files hold
    const char* needed;  // to read them
};
constexpr const char* vectors = "a code kind whose table entries are vectors of weights";
constexpr const char* scheme_only =
    "a scheme: its arithmetic is known here, no file of its producer was tried";
constexpr Known dialects[] = {
    {"aqlm", "a code stands for 8 weights at once, summed from several learned tables", vectors},
    {"bitnet", "ternary weights packed along the rows, and inputs quantized per token to 8 bits",
     scheme_only},
    {"eetq", "8-bit weights in the interleaved order of a GPU kernel, which is not published as a layout",
     "the order of its bytes as a layout"},
    {"exl2", "bit widths that change within a matrix, row group by row group",
     "specs that are split along the columns"},
    {"exl3", "weights coded by a trellis: a weight depends on the bits of its neighbours",
     "a decoder for trellis codes"},
    {"fouroversix", "4-bit floats in groups with a Hadamard transform that files may leave to the run time",
     scheme_only},
    {"fp_quant", "4-bit floats in groups behind a Hadamard transform of the inputs", scheme_only},
    {"gemma", "integer weights with settings per module by regular expression", scheme_only},
    {"higgs", "a code stands for a point of a grid of several weights, behind a Hadamard transform", vectors},
    {"hqq", "integer codes less a zero point that is a float, in packings of its own, with nested scales",
     "float zero points that are subtracted before scaling"},
    {"metal", "unsigned integers with float addends kept under the name 'qbiases'", scheme_only},
    {"mxfp8", "8-bit floats under an exponent for each 32 columns, in the names of 8-bit floats by block",
     scheme_only},
    {"nvfp4",
     "4-bit floats that are made while loading, their scales in the interleaved order of a GPU kernel",
     "the order of its scales as a layout"},
    {"qqq", "4-bit weights in the interleaved order of a GPU kernel, and 8-bit inputs",
     "the order of its bytes as a layout"},
    {"quanto", "weights kept as parts of Python objects ('_data', '_scale') beside a map file", scheme_only},
    {"quark", "configs with a schema of its own for weights, inputs and outputs", scheme_only},
    {"quip", "codes of the E8 lattice behind random Hadamard transforms of both sides", vectors},
    {"quip_sharp", "codes of the E8 lattice behind random Hadamard transforms of both sides", vectors},
    {"sinq", "a second scale for each column, and zero points that are floats",
     "a scale level along the columns of the whole matrix"},
    {"spqr", "3-bit codes with scales that are quantized themselves, and outliers in a sparse matrix",
     "a sparse addend of the weight"},
    {"squeezellm", "a table of values for each row, and outliers in a sparse matrix",
     "tables per row and a sparse addend of the weight"},
    {"torchao", "weights kept as pickled Python objects, which are never opened",
     "files that keep codes and scales as plain tensors"},
    {"vptq", "a code stands for several weights, with a residual table and permuted columns", vectors},
};

std::string method_of(const Checkpoint& checkpoint) {
    const Config q = quantization_of(checkpoint);
    const Config method = q["quant_method"];
    return method.is_string() ? lower(method.as<std::string>()) : "";
}
const Known* find(const std::string& method) {
    for (const Known& each : dialects)
        if (each.method == method) return &each;
    return nullptr;
}

class Refusal : public Scheme {
  public:
    explicit Refusal(const Checkpoint& checkpoint) : Scheme(checkpoint) { refuse(); }
    static Match match(const Checkpoint& checkpoint) {
        const std::string method = method_of(checkpoint);
        return find(method) != nullptr
                   ? matched(1, "quant_method '" + method + "' is known and not read")
                   : not_matched("quant_method '" + method + "' is none of those refused");
    }
    void module(const mortise_module&, mortise_answer&) override { refuse(); }

  private:
    void refuse() const {
        const std::string method = method_of(checkpoint());
        const Known* known = find(method);
        if (known == nullptr)
            throw Refused({.what = "this checkpoint's quant_method is not in the list of refusals"});
        throw Unsupported(
            {.what = "quantization '" + method + "' is not supported: " + known->reason,
             .found = "quant_method '" + method + "'",
             .fix = std::string("reading it would need ") + known->needed +
                    "; take the model in another quantization, or install a scheme that reads it",
             .node = quantization_of(checkpoint())["quant_method"].node()});
    }
};

}  // namespace

MORTISE_PLUGIN("org.mortise.declined", "0.1.0", scheme_entry<Refusal>("declined"))
