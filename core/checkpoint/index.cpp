// Format: transformers, "model.safetensors.index.json": {"metadata": {...}, "weight_map": {tensor: file}}.
#include "checkpoint/index.h"

#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/text.h"

namespace mortise::checkpoint {
namespace {

using json::Event;
using Type = json::Event::Type;

constexpr size_t max_listed = 20;

class IndexSink {
  public:
    IndexSink(Index& out, const std::string& file) : out_(out), file_(file) {}

    Status take(const Event& event) {
        if (event.type == Type::end_object || event.type == Type::end_array) --depth_;
        Status status = here(event);
        if (event.type == Type::begin_object || event.type == Type::begin_array) ++depth_;
        return status;
    }
    bool found() const { return found_; }
    Problems& problems() { return problems_; }

  private:
    Status here(const Event& event);
    uint32_t number_of(std::string_view name);
    Status bad(std::string what) const {
        return fail(Problem{.code = Code::index_invalid, .what = std::move(what), .file = file_});
    }

    Index& out_;
    const std::string& file_;
    Problems problems_;
    std::map<std::string, uint32_t, std::less<>> numbers_;
    std::string tensor_, last_name_;
    uint32_t last_ = 0;
    int depth_ = 0;
    bool in_map_ = false, found_ = false;
};

Status IndexSink::here(const Event& event) {
    if (depth_ == 0) {
        if (event.type == Type::begin_object || event.type == Type::end_object) return {};
        return bad("index is no JSON object");
    }
    if (depth_ == 1) {
        if (event.type == Type::key) {
            in_map_ = event.text == "weight_map";
            return {};
        }
        if (!in_map_) return {};
        found_ = true;
        if (event.type == Type::begin_object || event.type == Type::end_object) return {};
        return bad("weight_map is no object");
    }
    if (!in_map_) return {};
    if (event.type == Type::key) {
        tensor_ = event.text;
        return {};
    }
    if (event.type != Type::string) return bad("weight_map of '" + tensor_ + "' is no string");
    out_.lines.push_back({std::move(tensor_), number_of(event.text)});
    return {};
}

uint32_t IndexSink::number_of(std::string_view name) {
    if (!numbers_.empty() && name == last_name_) return last_;
    auto [at, added] = numbers_.try_emplace(std::string(name), static_cast<uint32_t>(out_.files.size()));
    last_name_ = name;
    last_ = at->second;
    if (!added) return last_;
    out_.files.emplace_back(name);
    if (!plain_shard_name(name)) {
        problems_.add(Problem{.code = Code::index_file_name,
                              .what = "weight_map names something that is no plain file name",
                              .file = file_,
                              .tensor = tensor_,
                              .expected = "[A-Za-z0-9._-]+.safetensors",
                              .found = json::quote(name.substr(0, 200))});
    }
    return last_;
}

void sort_index(Index& index) {
    std::vector<uint32_t> order(index.files.size()), place(index.files.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return index.files[a] < index.files[b]; });
    std::vector<std::string> files;
    for (uint32_t i = 0; i < order.size(); ++i) {
        place[order[i]] = i;
        files.push_back(std::move(index.files[order[i]]));
    }
    index.files = std::move(files);
    for (Index::Line& line : index.lines) line.file = place[line.file];
    auto before = [](const Index::Line& a, const Index::Line& b) { return a.tensor < b.tensor; };
    if (!std::is_sorted(index.lines.begin(), index.lines.end(), before)) {
        std::sort(index.lines.begin(), index.lines.end(), before);
    }
}

}  // namespace

bool plain_shard_name(std::string_view name) {
    constexpr std::string_view suffix = ".safetensors";
    if (name.size() <= suffix.size() || name.size() > 255 || !ends(name, suffix) || name[0] == '.')
        return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '_' || c == '-';
    });
}

Result<Index> parse_index(std::string_view text, const std::string& name) {
    Index index;
    IndexSink sink(index, name);
    Status status = json::parse_events(text, name, [&](const Event& event) { return sink.take(event); });
    if (!status) {
        std::vector<Problem> list = status.error().problems();
        for (Problem& problem : list) problem.code = Code::index_invalid;
        return std::unexpected(Error(std::move(list)));
    }
    MORTISE_CHECK(std::move(sink.problems()).status());
    if (!sink.found() || index.lines.empty()) {
        return fail(Problem{.code = Code::index_invalid,
                            .what = sink.found() ? "weight_map is empty" : "index has no weight_map",
                            .file = name});
    }
    sort_index(index);
    return index;
}

Status compare(const Index& index, const Catalog& catalog, const std::string& index_name) {
    Problems problems;
    size_t wrong = 0;
    auto report = [&](Code code, std::string what, const std::string& file, const std::string& tensor) {
        if (++wrong > max_listed) return;
        problems.add(Problem{.code = code, .what = std::move(what), .file = file, .tensor = tensor});
    };
    auto entry = catalog.tensors().begin(), end = catalog.tensors().end();
    auto extra = [&] {
        report(Code::index_tensor_extra, "the index does not name this tensor", catalog.file_name(*entry),
               entry->name);
        ++entry;
    };
    for (const Index::Line& line : index.lines) {
        while (entry != end && entry->name < line.tensor) extra();
        const std::string& file = index.files[line.file];
        if (entry == end || entry->name != line.tensor) {
            report(Code::index_tensor_missing, "named by the index but not in '" + file + "'", index_name,
                   line.tensor);
            continue;
        }
        if (catalog.file_name(*entry) != file) {
            report(Code::index_tensor_missing,
                   "the index places it in '" + file + "', it lies in '" + catalog.file_name(*entry) + "'",
                   index_name, line.tensor);
        }
        ++entry;
    }
    while (entry != end) extra();
    Status status = std::move(problems).status();
    if (wrong > max_listed) {
        std::vector<Problem> list = status.error().problems();
        list.back().what += " (and " + std::to_string(wrong - max_listed) + " more tensors)";
        return std::unexpected(Error(std::move(list)));
    }
    return status;
}

}  // namespace mortise::checkpoint
