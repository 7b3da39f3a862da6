// Weights as bitsandbytes keeps them: 8-bit integers with one scale per row, or 4-bit codes of a table that
// is in the file ("nf4", "fp4"), the high nibble first, with one scale for each run of the weight in
// row-major order. Scales may be codes of a second table ("double quantization"). What a 4-bit weight is says
// a JSON text kept as a tensor. Outlier columns of the 8-bit form are a rule of its run time, not of the
// file. Facts: bitsandbytes.functional.QuantState and int8_vectorwise_dequant of bitsandbytes 0.50.

#include <charconv>
#include <cmath>
#include <map>

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr uint64_t nested_codes = 256;

// A flat JSON object: names, and the text of each value without quotes or brackets. Strict: no name twice, no
// escapes, nothing behind the object, and finish() refuses members that nobody took.
class FlatJson {
  public:
    // Effect: reads the object; errors name `subject`. Errors: Refused, as all of them here.
    FlatJson(std::string_view text, std::string subject) : left_(text), subject_(std::move(subject)) {
        take('{');
        while (next() != '}') {
            const std::string name = quoted();
            take(':');
            if (!members_.emplace(name, value()).second) fail("'" + name + "' twice");
            if (next() != '}') take(',');
        }
        take('}');
        if (next() != 0) fail("text behind the object");
    }
    bool has(const std::string& name) const { return members_.contains(name); }
    // Effect: the text of a value, taken.
    std::string text(const std::string& name) {
        const auto found = members_.find(name);
        if (found == members_.end()) fail("no '" + name + "'");
        std::string out = found->second;
        members_.erase(found);
        return out;
    }
    // Effect: a value as a number, taken.
    template <class Number>
    Number number(const std::string& name) {
        return parse<Number>(text(name));
    }
    // Effect: the number that `text` is, for items of a list.
    template <class Number>
    Number parse(std::string_view text) const {
        while (text.starts_with(' ')) text.remove_prefix(1);
        Number out{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
        if (error != std::errc() || end != text.data() + text.size()) fail("no number: " + std::string(text));
        return out;
    }
    // Errors: Refused, naming a member that nobody took.
    void finish() const {
        if (!members_.empty()) fail("unknown member '" + members_.begin()->first + "'");
    }
    [[noreturn]] void fail(const std::string& found) const {
        throw Refused(
            {.what = "JSON text in a tensor is not understood", .subject = subject_, .found = found});
    }

  private:
    char next() {
        const size_t at = left_.find_first_not_of(" \t\r\n");
        left_.remove_prefix(at == std::string_view::npos ? left_.size() : at);
        return left_.empty() ? '\0' : left_.front();
    }
    void take(char mark) {
        if (next() != mark) fail("no '" + std::string(1, mark) + "'");
        left_.remove_prefix(1);
    }
    std::string until(std::string_view marks) {
        const size_t end = left_.find_first_of(marks);
        if (end == std::string_view::npos) fail("an unfinished text");
        std::string out(left_.substr(0, end));
        left_.remove_prefix(end);
        return out;
    }
    std::string quoted() {
        take('"');
        std::string out = until("\"\\");
        take('"');
        return out;
    }
    std::string value() {
        const char first = next();
        if (first == '"') return quoted();
        if (first != '[') return until(",} \t\r\n");
        take('[');
        std::string out = until("]");
        take(']');
        return out;
    }

    std::string_view left_;
    std::string subject_;
    std::map<std::string, std::string> members_;
};

// What a 4-bit weight is.
struct State {
    std::string kind;  // "nf4", "fp4"
    uint64_t rows = 0, columns = 0;
    uint64_t run = 0;          // codes that share a scale
    uint64_t nested_run = 0;   // scales that share a second scale; 0: scales are floats
    double nested_offset = 0;  // added to a nested scale
};

// Errors: Refused for a text that is not such an object, naming `subject`.
State parse_state(std::string_view text, const std::string& subject) {
    FlatJson object(text, subject);
    State state{.kind = object.text("quant_type")};
    if (state.kind != "nf4" && state.kind != "fp4") object.fail("quant_type " + state.kind);
    state.run = object.number<uint64_t>("blocksize");
    object.text("dtype");  // of the weight before; means nothing for the codes
    const std::string shape = object.text("shape");
    const size_t comma = shape.find(',');
    if (comma == std::string::npos) object.fail("shape [" + shape + "]");
    state.rows = object.parse<uint64_t>(std::string_view(shape).substr(0, comma));
    state.columns = object.parse<uint64_t>(std::string_view(shape).substr(comma + 1));
    if (object.has("nested_blocksize")) {
        state.nested_run = object.number<uint64_t>("nested_blocksize");
        state.nested_offset = object.number<double>("nested_offset");
        if (object.text("nested_dtype") != "float32") object.fail("a nested_dtype other than float32");
        if (state.nested_run == 0) object.fail("nested_blocksize 0");
    }
    object.finish();
    constexpr uint64_t most = uint64_t{1} << 31;
    if (state.run == 0 || state.run > most || state.nested_run > most || !std::isfinite(state.nested_offset))
        object.fail("a number out of range");
    return state;
}

void put_flat(Spec& spec, mortise_field& field, uint64_t run) {
    mortise_level& level = spec->levels[spec->n_levels - 1];
    level.flat = 1;
    level.row_group = 0;
    level.column_group = run;
    field.rows = 1;
    field.columns = (spec->rows * spec->columns + run - 1) / run;
    field.n_shapes = 1;
    field.shapes[0] = shape_of({field.columns});
    field.flags = MORTISE_FIELD_FINITE;
}
void add_table(Spec& spec, uint32_t role, const std::string& tensor, uint64_t values) {
    mortise_field& table = spec.field(role, tensor, {MORTISE_DTYPE_F32}, {shape_of({values})});
    table.columns = values;
    table.flags = MORTISE_FIELD_FINITE;
}

class BitsAndBytes : public Scheme {
  public:
    explicit BitsAndBytes(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.ignore({"quant_method", "_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype",
                  "bnb_4bit_quant_storage", "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight",
                  "llm_int8_threshold"});
        eight_ = q.get<bool>("load_in_8bit", false);
        const bool four = q.get<bool>("load_in_4bit", !eight_);
        if (eight_ && four)
            throw Refused({.what = "'load_in_4bit' and 'load_in_8bit' are both set", .node = q.node()});
        kind_ = q.one_of("bnb_4bit_quant_type", {"fp4", "nf4"}, "fp4");
        nested_ = q.get<bool>("bnb_4bit_use_double_quant", false);
        skip_ = Rules(q["llm_int8_skip_modules"], "llm_int8_skip_modules", any_component);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = quantization_of(checkpoint);
        if (!q) return not_matched("there is no quantization config");
        if (!q["quant_method"] && (q.get<bool>("load_in_4bit", false) || q.get<bool>("load_in_8bit", false)))
            return matched(700, "quantization_config says load_in_4bit or load_in_8bit, and no quant_method");
        const std::string method = q.get("quant_method", "");
        return method == "bitsandbytes" ? matched(800, "quant_method is 'bitsandbytes'")
                                        : not_matched("quant_method is '" + method + "'");
    }

    // The tensors say whether, and whether in 4 or 8 bits.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name)), weight = name + ".weight";
        const Rule* skipped = skip_.find(m);
        const auto tensor = checkpoint().tensor(weight);
        const bool eight = checkpoint().has(name + ".SCB") || (tensor && tensor->dtype == MORTISE_DTYPE_I8);
        const bool four =
            checkpoint().has(weight + ".absmax") || (tensor && tensor->dtype == MORTISE_DTYPE_U8);
        if (!eight && !four)
            return say_plain(m, answer, skipped != nullptr ? skipped->text : "it has no scales");
        if (m.experts != 1) throw Unsupported({.what = "stacked experts are not supported", .subject = name});
        std::string note = skipped != nullptr ? "listed by " + skipped->text + ", and quantized" : "";
        Spec spec = eight ? of_8_bits(m, name) : of_4_bits(m, weight, tensor, note);
        if (eight != eight_ && note.empty())
            note =
                std::string("the config says ") + (eight_ ? "8" : "4") + " bits, the tensors another width";
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        say(answer, std::move(spec), false, "quant_method bitsandbytes", note);
    }
    void rules(mortise_rule_visitor visit, void* context) override { skip_.report(visit, context); }

  private:
    // w = code * (SCB / 127). The library multiplies by SCB first and then by 1/127: a last bit may differ.
    static Spec of_8_bits(const mortise_module& m, const std::string& name) {
        Spec spec(1, m.rows, m.columns);
        spec.codes(name + ".weight", MORTISE_ENCODING_TWOS, 8, {MORTISE_DTYPE_I8},
                   {shape_of({m.rows, m.columns})});
        spec.level(MORTISE_ROLE_SCALE, name + ".SCB", 1, 0, {MORTISE_DTYPE_F32}, {shape_of({m.rows})}).flags =
            MORTISE_FIELD_FINITE;
        mortise_level& divisor = spec->levels[spec->n_levels++];
        divisor.divide = 1;
        divisor.constant = 127;
        mortise_field& order =
            spec.field(MORTISE_ROLE_UNUSED, name + ".weight_format", {MORTISE_DTYPE_U8}, {shape_of({})});
        order.encoding = MORTISE_ENCODING_UNSIGNED;
        order.bits = 8;
        order.flags = MORTISE_FIELD_CONSTANT | MORTISE_FIELD_OPTIONAL;  // 0: rows as they are
        order.drop_rule = str("row_major_order");
        return spec;
    }

    Spec of_4_bits(const mortise_module& m, const std::string& weight, const std::optional<Tensor>& tensor,
                   std::string& note) const {
        const std::string blob = state_name(weight);
        const State state = read_state(blob, m);
        const bool nested = state.nested_run != 0;
        if (note.empty() && (state.kind != kind_ || nested != nested_))
            note = "the config says " + std::string(nested_ ? "nested " : "") + kind_ + ", its own state " +
                   (nested ? "nested " : "") + state.kind;
        // The library may view the bytes of the codes as another dtype.
        const uint32_t dtype = tensor && is_float(tensor->dtype) ? tensor->dtype : uint32_t{MORTISE_DTYPE_U8};
        const uint64_t bytes = (m.rows * m.columns + 1) / 2, words = bytes * 8 / bits_of(dtype);
        Spec spec(1, m.rows, m.columns);
        spec.codes(weight, MORTISE_ENCODING_LOOKUP, 4, {dtype}, {shape_of({words, 1})}).layout = one_plane(
            4, {term(MORTISE_SOURCE_FLAT, 1, 2, -4), term(MORTISE_SOURCE_FLAT, 2, 0, 8), by_bit()}, 4);
        add_table(spec, MORTISE_ROLE_TABLE, weight + ".quant_map", 16);
        mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, weight + ".absmax", 0, 0,
                                          {nested ? MORTISE_DTYPE_U8 : MORTISE_DTYPE_F32}, {shape_of({})});
        put_flat(spec, scale, state.run);
        if (nested) {
            scale.encoding = MORTISE_ENCODING_LOOKUP;
            scale.bits = 8;
            add_table(spec, MORTISE_ROLE_SCALE_TABLE, weight + ".nested_quant_map", nested_codes);
            put_flat(spec,
                     spec.level(MORTISE_ROLE_SCALE2, weight + ".nested_absmax", 0, 0, {MORTISE_DTYPE_F32},
                                {shape_of({})}),
                     state.run * state.nested_run);
            spec->scale_addend = state.nested_offset;
        }
        const auto stored = checkpoint().tensor(blob);
        mortise_field& text = spec.field(MORTISE_ROLE_UNUSED, blob, {MORTISE_DTYPE_U8},
                                         {shape_of({stored ? stored->elements() : 1})});
        text.columns = stored ? stored->elements() : 1;
        text.flags = MORTISE_FIELD_PROBE;
        text.drop_rule = str("quantization_state");
        return spec;
    }

    // Effect: the tensor that says what the codes are; its name ends in the kind.
    std::string state_name(const std::string& weight) const {
        const std::string prefix = weight + ".quant_state.bitsandbytes__";
        for (const char* kind : {"nf4", "fp4"})
            if (checkpoint().has(prefix + kind)) return prefix + kind;
        throw Refused({.what = "a 4-bit weight has no quantization state",
                       .subject = weight,
                       .expected = prefix + "nf4 or fp4",
                       .found = "no such tensor",
                       .fix = "the download is incomplete or another library wrote it"});
    }
    State read_state(const std::string& name, const mortise_module& m) const {
        const auto stored = checkpoint().tensor(name);
        const std::vector<char> text =
            checkpoint().probe<char>(name, stored ? stored->elements() : uint64_t{0});
        const State state = parse_state({text.data(), text.size()}, name);
        if (state.kind != name.substr(name.size() - state.kind.size()))
            throw Refused({.what = "a quantization state contradicts its name",
                           .subject = name,
                           .found = "quant_type " + state.kind});
        if (state.rows != m.rows || state.columns != m.columns)
            throw Refused({.what = "a quantization state describes another shape",
                           .subject = name,
                           .expected = std::to_string(m.rows) + " x " + std::to_string(m.columns),
                           .found = std::to_string(state.rows) + " x " + std::to_string(state.columns)});
        return state;
    }

    bool eight_ = false, nested_ = false;
    std::string kind_;
    Rules skip_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.bitsandbytes", "0.1.0", scheme_entry<BitsAndBytes>("bitsandbytes"))
