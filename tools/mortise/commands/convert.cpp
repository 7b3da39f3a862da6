// convert: the same weights in another dialect, proven equal, or changed only when asked.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <map>
#include <optional>

#include "base/codes.h"
#include "base/json.h"
#include "base/text.h"
#include "load/convert.h"
#include "load/convert_table.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"

namespace mortise::tool {

namespace {

class Convert : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_option("OUT", out_, "folder to create");
        app.add_option("--to", to_,
                       "dialect, with options: unquantized:bf16, fp8_channel:compute=f32, awq:g64");
        app.add_flag("--table", table_, "print what converts losslessly to what, and convert nothing");
        app.add_option("--with", with_, "with --table: one more dialect with options (repeatable)");
        app.add_flag("--requantize", requantize_, "decoded weights may change; report by how much");
    }

    Result<int> run(Session& session) override {
        if (table_) return print_table(session);
        if (out_.empty() || to_.empty())
            return fail(Problem{.code = Code::usage,
                                .what = "convert needs a folder to create and a dialect",
                                .expected = "MODEL OUT --to DIALECT"});
        MORTISE_TRY(const auto planned, session.plan(false));
        MORTISE_TRY(registry::Registry * plugins, session.registry());
        const size_t colon = to_.find(':');
        load::ConvertOptions options{.dialect = to_.substr(0, colon),
                                     .parameters = colon == std::string::npos ? "" : to_.substr(colon + 1),
                                     .requantize = requantize_};
        std::optional<mortise::Progress> bar;  // its total is known once the output is laid out
        MORTISE_TRY(const auto report, load::convert(*planned, *plugins, out_, options, session.team(),
                                                     [&](uint64_t done, uint64_t total) {
                                                         if (!bar)
                                                             bar.emplace("convert", total,
                                                                         session.progress());
                                                         bar->update(done);
                                                     }));
        bar.reset();
        if (session.json())
            line(to_json(report));
        else
            print_text(report);
        return 0;
    }

  private:
    Result<int> print_table(Session& session) const {
        MORTISE_TRY(registry::Registry * plugins, session.registry());
        MORTISE_TRY(const auto table, load::convert_table(*plugins, with_));
        if (session.json()) {
            line(to_json(table));
            return 0;
        }
        const size_t n = table.dialects.size();
        Table text("rll" + std::string(n, 'r'));
        std::vector<std::string> head{"", "from \\ to", ""};
        for (size_t to = 0; to < n; ++to) head.push_back(std::to_string(to + 1));
        text.add(head);
        for (size_t from = 0; from < n; ++from) {
            std::vector<std::string> row{std::to_string(from + 1), table.dialects[from], table.specs[from]};
            for (const load::TableCell& cell : table.cells[from])
                row.push_back(
                    cell.lossless ? "yes"
                    : !cell.reason.empty()
                        ? "-"
                        : fmt::format("{:.0f}%", std::ceil(100.0 * static_cast<double>(cell.changed) /
                                                           static_cast<double>(table.rows * table.columns))));
            text.add(row);
        }
        print(text.text());
        line(
            fmt::format("yes: every weight of a random {} x {} matrix stays bit-equal; n%: so many change; "
                        "-: has no form there",
                        table.rows, table.columns));
        return 0;
    }

    static std::string to_json(const load::ConvertTable& table) {
        json::Writer w(1);
        w.begin_object()
            .entry("schema", "mortise.convert_table/v1")
            .entry("weights", table.rows * table.columns);
        w.key("dialects").begin_array();
        for (size_t d = 0; d < table.dialects.size(); ++d)
            w.begin_object().entry("dialect", table.dialects[d]).entry("spec", table.specs[d]).end_object();
        w.end_array().key("conversions").begin_array();
        for (size_t from = 0; from < table.dialects.size(); ++from)
            for (size_t to = 0; to < table.dialects.size(); ++to) {
                const load::TableCell& cell = table.cells[from][to];
                w.begin_object().entry("from", table.dialects[from]).entry("to", table.dialects[to]);
                w.entry("lossless", cell.lossless)
                    .entry("changed", cell.changed)
                    .entry("reason", cell.reason)
                    .end_object();
            }
        w.end_array().end_object();
        return w.take();
    }

    void print_text(const load::ConvertReport& report) const {
        if (report.total.changed > 0) {
            Table table("lllrrr");
            table.add({"module", "from", "to", "max error", "rms error", "SQNR dB"});
            for (const auto& module : report.modules)
                table.add(
                    {module.name, module.from,
                     module.to + (module.reason.empty() ? "" : " (" + module.reason + ")"),
                     fmt::format("{:.3g}", module.change.max_error),
                     fmt::format("{:.3g}", module.change.rms()),
                     module.change.changed ? fmt::format("{:.1f}", module.change.sqnr_db()) : "lossless"});
            print(table.text());
        }
        std::map<std::string, uint64_t> kept;  // why -> modules
        for (const auto& module : report.modules)
            if (!module.reason.empty()) ++kept[module.to + ": " + module.reason];
        for (const auto& [why, count] : kept)
            line(fmt::format("{} {} {}", count, count == 1 ? "module stays" : "modules stay", why));
        for (const std::string& note : report.notes) line("note: " + note);
        line(fmt::format(
            "{}: {} modules, {}; {}", out_, report.modules.size(), human_bytes(report.bytes),
            report.total.changed == 0
                ? "lossless: every decoded weight is bit-equal"
                : fmt::format("{} of {} weights changed, SQNR {:.1f} dB", with_commas(report.total.changed),
                              with_commas(report.total.weights), report.total.sqnr_db())));
    }

    std::string to_json(const load::ConvertReport& report) const {
        json::Writer w(1);
        w.begin_object()
            .entry("schema", "mortise.convert/v1")
            .entry("out", out_)
            .entry("lossless", report.total.changed == 0);
        w.entry("weights", report.total.weights)
            .entry("changed", report.total.changed)
            .entry("bytes", report.bytes);
        w.key("modules").begin_array();
        for (const auto& module : report.modules)
            w.begin_object()
                .entry("name", module.name)
                .entry("from", module.from)
                .entry("to", module.to)
                .entry("reason", module.reason)
                .entry("changed", module.change.changed)
                .entry("max_error", module.change.max_error)
                .entry("rms_error", module.change.rms())
                .entry("sqnr_db", module.change.sqnr_db())
                .end_object();
        w.end_array().key("files").begin_array();
        for (const std::string& file : report.files) w.value(file);
        w.end_array().end_object();
        return w.take();
    }

    std::string out_, to_;
    std::vector<std::string> with_;
    bool requantize_ = false, table_ = false;
};

const Registration registration(
    {.name = "convert",
     .summary = "write the checkpoint in another dialect, losslessly or not at all",
     .examples = "  mortise convert models/gguf/model.gguf models/bf16 --to unquantized:bf16 --requantize\n"
                 "  mortise convert models/bf16 models/fp8 --to fp8_channel --requantize\n"
                 "  mortise convert --table --with awq:g64\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Convert>);

}  // namespace

}  // namespace mortise::tool
