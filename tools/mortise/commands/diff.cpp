// diff: two checkpoints, part by part: specs, decoded weights, and where they differ most.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>

#include "base/json.h"
#include "load/diff.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"

namespace mortise::tool {

namespace {

// JSON has no infinity and no NaN.
void number(json::Writer& w, double value) {
    if (std::isfinite(value))
        w.value(value);
    else
        w.value(fmt::format("{}", value));
}

std::string to_json(const load::DiffReport& report, const std::string& a, const std::string& b) {
    json::Writer w(1);
    w.begin_object().entry("schema", "mortise.diff/v1").entry("a", a).entry("b", b);
    w.entry("same", report.same()).entry("same_values", report.same_values());
    w.entry("parts", report.parts).entry("vectors", report.vectors).key("differences").begin_array();
    for (const load::Difference& d : report.differences) {
        w.begin_object().entry("name", d.name);
        w.key("a");
        d.in_a ? w.value(d.a) : w.null();
        w.key("b");
        d.in_b ? w.value(d.b) : w.null();
        w.entry("values_differ", d.values).entry("spec_differs", d.spec).entry("act_differs", d.act);
        w.entry("weights", d.weights).entry("changed", d.changed);
        if (d.changed > 0) {
            w.key("max_error");
            number(w, d.max_error);
            w.key("rms_error");
            number(w, d.rms);
            w.entry("row", d.row).entry("column", d.column).key("value_a");
            number(w, d.value_a);
            w.key("value_b");
            number(w, d.value_b);
        }
        w.end_object();
    }
    w.end_array().end_object();
    return w.take();
}

std::string words(const load::Difference& d) {
    if (!d.in_a) return "only in the second: " + d.b;
    if (!d.in_b) return "only in the first: " + d.a;
    std::string out = d.a == d.b ? d.a : d.a + " against " + d.b;
    if (d.changed > 0)
        out += fmt::format(
            "; {} of {} weights differ, at most by {:.3g} at ({}, {}): {:.9g} and {:.9g}; rms {:.3g}",
            with_commas(d.changed), with_commas(d.weights), d.max_error, d.row, d.column, d.value_a,
            d.value_b, d.rms);
    else if (d.values)
        out += "; another extent";
    else
        out += "; every weight is bit-equal";
    if (d.spec && !d.values) out += ", codes or scales differ";
    if (d.act)
        out += d.spec || d.values ? ", inputs are quantized by another rule"
                                  : ", and so is the spec; inputs are quantized by another rule";
    return out;
}

class Diff : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_option("OTHER", other_, "checkpoint to compare with")->required();
        app.add_flag("--values-only", values_only_, "specs may differ, decoded weights may not");
    }

    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto a, session.plan(false));
        MORTISE_TRY(const auto b, session.plan(other_, false));
        mortise::Progress bar("diff", a->checkpoint().catalog.total_bytes(), session.progress());
        MORTISE_TRY(const auto report,
                    load::diff(*a, *b, session.team(), [&](uint64_t done, uint64_t) { bar.update(done); }));
        bar.finish();
        if (session.json())
            line(to_json(report, a->plan().path, b->plan().path));
        else
            print_text(report);
        return (values_only_ ? report.same_values() : report.same()) ? 0 : 1;
    }

  private:
    static void print_text(const load::DiffReport& report) {
        for (const load::Difference& d : report.differences) line(d.name + ": " + words(d));
        line(fmt::format("{} parts, {} vectors: {}", report.parts, report.vectors,
                         report.same()          ? "the same weights, codes and scales"
                         : report.same_values() ? "the same weights from other codes or scales"
                                                : "weights differ"));
    }

    std::string other_;
    bool values_only_ = false;
};

const Registration registration(
    {.name = "diff",
     .summary = "compare two checkpoints part by part, whatever their dialects",
     .examples = "  mortise diff models/awq models/gptq\n"
                 "  mortise diff models/bf16 models/fp8 --json\n"
                 "  mortise diff models/gguf/model.gguf models/f32 --values-only\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Diff>);

}  // namespace

}  // namespace mortise::tool
