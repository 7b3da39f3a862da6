// inspect: what is this checkpoint? Headers and config.json only; no plugin decides anything.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"

namespace mortise::tool {

namespace {

struct Sum {
    uint64_t tensors = 0, elements = 0, bytes = 0;
    void add(const checkpoint::TensorEntry& entry) {
        ++tensors;
        elements += mortise::elements(entry.shape).value_or(0);
        bytes += entry.bytes;
    }
};
using Sums = std::map<std::string, Sum, std::less<>>;

std::string type_of(const checkpoint::TensorEntry& entry) {
    return entry.encoding.empty() ? std::string(name(entry.dtype)) : entry.encoding;
}

// A fact of the checkpoint's own words, and where it says so.
struct Fact {
    std::string text, where;
};

struct Report {
    std::string path, container;
    Fact architecture, quantization;
    Sums by_type, by_ending;
    Sum all;
    std::vector<std::pair<std::string, Sum>> files;
};

// Text of the key at `path` in a side file; empty when there is none.
Fact fact(const checkpoint::Checkpoint& checkpoint, std::string_view file,
          const std::vector<std::string_view>& path) {
    auto document = checkpoint.document(file);
    if (!document || !*document) return {};
    const json::Node* node = &(*document)->root();
    for (std::string_view key : path) {
        node = node->find_value(key);
        if (!node) return {};
    }
    if (node->kind() == json::Kind::array && node->size() > 0) node = node->items()[0].get();
    return {node->text(), fmt::format("{}:{} {}", checkpoint.file_origin(file), node->line(), node->path())};
}

Fact first_of(std::vector<Fact> facts) {
    for (Fact& each : facts) {
        if (!each.text.empty()) return std::move(each);
    }
    return {};
}

Report make_report(const checkpoint::Checkpoint& checkpoint) {
    Report out;
    out.path = checkpoint.path;
    out.container = checkpoint.name_space;
    out.architecture = first_of({fact(checkpoint, "config.json", {"architectures"}),
                                 fact(checkpoint, "config.json", {"model_type"})});
    out.quantization =
        first_of({fact(checkpoint, "config.json", {"quantization_config", "quant_method"}),
                  fact(checkpoint, "config.json", {"compression_config", "quant_method"}),
                  fact(checkpoint, "config.json", {"text_config", "quantization_config", "quant_method"}),
                  fact(checkpoint, "hf_quant_config.json", {"quantization", "quant_algo"}),
                  fact(checkpoint, "config.json", {"quantization", "bits"})});
    for (const auto& file : checkpoint.catalog.files()) out.files.emplace_back(file.name, Sum{});
    for (const checkpoint::TensorEntry& entry : checkpoint.catalog.tensors()) {
        std::string_view tensor = entry.name;
        std::string_view ending = tensor.substr(tensor.rfind('.') + 1);
        out.all.add(entry);
        out.by_type[type_of(entry)].add(entry);
        auto place = out.by_ending.find(ending);
        if (place == out.by_ending.end()) place = out.by_ending.emplace(std::string(ending), Sum{}).first;
        place->second.add(entry);
        out.files[entry.file].second.add(entry);
    }
    return out;
}

void add_rows(Table& table, const Sums& sums) {
    for (const auto& [key, sum] : sums) {
        table.add({key, with_commas(sum.tensors), with_commas(sum.elements), human_bytes(sum.bytes)});
    }
}

std::string describe(const Fact& fact, std::string_view otherwise) {
    return fact.text.empty() ? std::string(otherwise) : fmt::format("{}  ({})", fact.text, fact.where);
}

void print_text(const Report& report, const checkpoint::Checkpoint& checkpoint, bool all_files) {
    auto row = [](std::string_view key, const std::string& value) {
        line(fmt::format("{:14}{}", key, value));
    };
    row("checkpoint", report.path);
    row("container", report.container.empty() ? "safetensors" : report.container);
    row("architecture", describe(report.architecture, "not said"));
    row("quantization", describe(report.quantization, "none said by a config file"));
    row("tensors", fmt::format("{} in {} files, {} elements, {}", with_commas(report.all.tensors),
                               with_commas(report.files.size()), with_commas(report.all.elements),
                               human_bytes(report.all.bytes)));
    Table types("lrrr");
    types.add({"type", "tensors", "elements", "bytes"});
    add_rows(types, report.by_type);
    print("\n" + types.text());
    Table endings("lrrr");
    endings.add({"name ends in", "tensors", "elements", "bytes"});
    add_rows(endings, report.by_ending);
    print("\n" + endings.text());
    Table files("lrr");
    files.add({"file", "tensors", "bytes"});
    size_t shown = all_files ? report.files.size() : std::min<size_t>(report.files.size(), 8);
    for (size_t i = 0; i < shown; ++i) {
        const auto& [file, sum] = report.files[i];
        files.add({file, with_commas(sum.tensors), human_bytes(sum.bytes)});
    }
    print("\n" + files.text());
    if (shown < report.files.size())
        line(fmt::format("... {} more (--files shows all)", report.files.size() - shown));
    for (const auto& ignored : checkpoint.ignored_files)
        line(fmt::format("not used: {} ({})", ignored.name, ignored.reason));
}

void write_sums(json::Writer& out, const char* key, const Sums& sums) {
    out.key(key).begin_object();
    for (const auto& [name, sum] : sums) {
        out.key(name).begin_object().entry("tensors", sum.tensors).entry("elements", sum.elements);
        out.entry("bytes", sum.bytes).end_object();
    }
    out.end_object();
}

void write_tensors(json::Writer& out, const checkpoint::Catalog& catalog) {
    out.key("tensor_list").begin_array();
    for (const checkpoint::TensorEntry& entry : catalog.tensors()) {
        out.begin_object().entry("name", entry.name).entry("type", type_of(entry)).key("shape").begin_array();
        for (int64_t extent : entry.shape) out.value(extent);
        out.end_array().entry("file", catalog.file_name(entry)).entry("offset", entry.offset);
        out.entry("bytes", entry.bytes).end_object();
    }
    out.end_array();
}

void print_json(const Report& report, const checkpoint::Checkpoint& checkpoint, bool tensors) {
    json::Writer out(2);
    out.begin_object().entry("schema", "mortise.inspect/v1").entry("checkpoint", report.path);
    out.entry("container", report.container.empty() ? "safetensors" : report.container);
    auto text = [&out](const char* key, const Fact& fact) {
        out.key(key);
        if (fact.text.empty())
            out.null();
        else
            out.value(fact.text);
    };
    text("architecture", report.architecture);
    text("quantization", report.quantization);
    out.entry("tensors", report.all.tensors).entry("elements", report.all.elements);
    out.entry("bytes", report.all.bytes);
    write_sums(out, "types", report.by_type);
    write_sums(out, "endings", report.by_ending);
    out.key("files").begin_array();
    for (const auto& [file, sum] : report.files) {
        out.begin_object().entry("name", file).entry("tensors", sum.tensors);
        out.entry("bytes", sum.bytes).end_object();
    }
    out.end_array().key("ignored_files").begin_array();
    for (const auto& ignored : checkpoint.ignored_files) {
        out.begin_object().entry("name", ignored.name).entry("reason", ignored.reason).end_object();
    }
    out.end_array();
    if (tensors) write_tensors(out, checkpoint.catalog);
    out.end_object();
    line(out.take());
}

class Inspect : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_flag("--tensors", tensors_, "list every tensor");
        app.add_flag("--files", files_, "list every file");
    }

    Result<int> run(Session& session) override {
        MORTISE_TRY(std::string model, session.model());
        MORTISE_TRY(checkpoint::Checkpoint checkpoint, session.open_checkpoint(model));
        Report report = make_report(checkpoint);
        if (session.json()) {
            print_json(report, checkpoint, tensors_);
            return 0;
        }
        print_text(report, checkpoint, files_);
        if (tensors_) list_tensors(checkpoint.catalog);
        return 0;
    }

  private:
    static void list_tensors(const checkpoint::Catalog& catalog) {
        line("");
        for (const checkpoint::TensorEntry& entry : catalog.tensors()) {
            line(fmt::format("{:10} {:20} {:>12}  {}  {}", type_of(entry), to_string(entry.shape),
                             with_commas(entry.bytes), entry.name, catalog.file_name(entry)));
        }
    }

    bool tensors_ = false, files_ = false;
};

const Registration registration({.name = "inspect",
                                 .summary = "what is this checkpoint? reads headers only",
                                 .examples = "  mortise inspect models/my-checkpoint\n"
                                             "  mortise inspect org/name --tensors\n"
                                             "  mortise inspect models/my-checkpoint --json\n",
                                 .uses = Uses::nothing,
                                 .takes_model = true},
                                make_command<Inspect>);

}  // namespace

}  // namespace mortise::tool
