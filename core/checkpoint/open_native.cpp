#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/folder.h"
#include "checkpoint/index.h"
#include "checkpoint/safetensors.h"

namespace mortise::checkpoint {
namespace {

constexpr std::string_view shard_suffix = ".safetensors";
constexpr std::string_view index_suffix = ".safetensors.index.json";

bool is_folder(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The files of a folder by what they are to the native reader.
struct Inventory {
    std::vector<std::string> shards, indexes;
    std::vector<IgnoredFile> ignored;
};

Inventory take_inventory(const std::vector<std::string>& names) {
    Inventory inventory;
    auto weights = [](std::string_view name) { return ends(name, shard_suffix) || ends(name, index_suffix); };
    bool others = std::any_of(names.begin(), names.end(),
                              [&](const auto& n) { return weights(n) && !starts(n, "consolidated"); });
    for (const std::string& name : names) {
        if (weights(name) && others && starts(name, "consolidated")) {
            // Publishers ship the same weights a second time in their own naming.
            inventory.ignored.push_back({name, "another spelling of the same weights"});
        } else if (ends(name, index_suffix)) {
            inventory.indexes.push_back(name);
        } else if (ends(name, shard_suffix)) {
            inventory.shards.push_back(name);
        } else if (auto reason = reason_to_ignore(name); !reason.empty()) {
            inventory.ignored.push_back({name, std::string(reason)});
        }
    }
    return inventory;
}

// "model-00002-of-00005.safetensors" taken apart.
struct Numbered {
    std::string stem;
    uint32_t number = 0, total = 0;
};

std::optional<Numbered> parse_numbered(std::string_view name) {
    name.remove_suffix(shard_suffix.size());
    size_t of = name.rfind("-of-");
    if (of == std::string_view::npos) return std::nullopt;
    size_t dash = name.rfind('-', of == 0 ? 0 : of - 1);
    if (dash == std::string_view::npos || of == 0) return std::nullopt;
    auto number = [](std::string_view text, uint32_t& out) {
        auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
        return !text.empty() && error == std::errc() && end == text.data() + text.size();
    };
    Numbered out{std::string(name.substr(0, dash))};
    if (!number(name.substr(dash + 1, of - dash - 1), out.number)) return std::nullopt;
    if (!number(name.substr(of + 4), out.total)) return std::nullopt;
    return out;
}

// Several files without an index: only a complete numbered set leaves no doubt.
Status check_without_index(const std::vector<std::string>& shards, const std::string& folder) {
    if (shards.size() == 1) return {};
    std::set<uint32_t> numbers;
    std::optional<Numbered> first;
    for (const std::string& shard : shards) {
        auto parts = parse_numbered(shard);
        if (!first) first = parts;
        if (!parts || parts->stem != first->stem || parts->total != first->total) {
            return fail(
                Problem{.code = Code::folder_ambiguous,
                        .what = "more than one weights file and no index",
                        .file = folder,
                        .found = join(std::span(shards).first(std::min<size_t>(shards.size(), 8)), ", "),
                        .fix = "name the file, or add model.safetensors.index.json"});
        }
        numbers.insert(parts->number);
    }
    bool complete =
        numbers.size() == first->total && *numbers.begin() == 1 && *numbers.rbegin() == first->total;
    if (complete) return {};
    return fail(Problem{.code = Code::index_shard_missing,
                        .what = "numbered weights files are incomplete",
                        .file = folder,
                        .expected = std::to_string(first->total) + " files",
                        .found = std::to_string(numbers.size()),
                        .fix = "fetch the missing files"});
}

Status no_weights(const Inventory& inventory, const std::string& folder) {
    Problem problem{.code = Code::folder_no_weights, .what = "no weights in this folder", .file = folder};
    problem.expected = "*.safetensors";
    for (const IgnoredFile& file : inventory.ignored) {
        if (problem.found.size() > 300) break;
        problem.found += (problem.found.empty() ? "" : ", ") + file.name + " (" + file.reason + ")";
    }
    if (!problem.found.empty()) problem.fix = "save the model as safetensors";
    return fail(std::move(problem));
}

Result<Index> read_index(const Inventory& inventory, const std::string& folder) {
    if (inventory.indexes.size() > 1) {
        return fail(Problem{.code = Code::folder_ambiguous,
                            .what = "more than one index file",
                            .file = folder,
                            .found = join(inventory.indexes, ", "),
                            .fix = "remove all but one"});
    }
    const std::string& name = inventory.indexes.front();
    MORTISE_TRY(std::string real, resolve_inside(folder, name));
    MORTISE_TRY(std::string text, read_file(real));
    MORTISE_TRY(Index index, parse_index(text, name));
    Problems problems;
    for (const std::string& file : index.files) {
        if (std::binary_search(inventory.shards.begin(), inventory.shards.end(), file)) continue;
        problems.add(Problem{.code = Code::index_shard_missing,
                             .what = "file named by the index is missing",
                             .file = folder + '/' + file,
                             .fix = "fetch it"});
    }
    for (const std::string& shard : inventory.shards) {
        if (std::binary_search(index.files.begin(), index.files.end(), shard)) continue;
        problems.add(Problem{.code = Code::folder_ambiguous,
                             .what = "weights file that the index does not name",
                             .file = folder + '/' + shard,
                             .fix = "remove it, or name it in " + name});
    }
    MORTISE_CHECK(std::move(problems).status());
    return index;
}

// Opens the named files of `folder` and merges their headers into `checkpoint`.
Status read_headers(const std::vector<std::string>& names, const std::vector<std::string>& paths,
                    Checkpoint& checkpoint) {
    CatalogBuilder builder;
    Problems problems;
    for (size_t i = 0; i < names.size(); ++i) {
        auto file = File::open(paths[i]);
        if (!file) {
            problems.add(file.error());
            continue;
        }
        uint32_t number = builder.add_file(names[i], std::move(*file));
        auto header = read_safetensors_header(builder.file(number), names[i]);
        if (!header) {
            problems.add(header.error());
            continue;
        }
        for (TensorEntry& entry : header->tensors) {
            entry.file = number;
            builder.add(std::move(entry));
        }
        checkpoint.metadata.merge(header->metadata);
    }
    MORTISE_CHECK(std::move(problems).status());
    MORTISE_TRY(checkpoint.catalog, std::move(builder).finish());
    return {};
}

Result<Checkpoint> open_folder(const std::string& path, const std::string& located) {
    Checkpoint checkpoint;
    checkpoint.path = path;
    MORTISE_TRY(checkpoint.folder, real_path(located));
    const std::string& folder = checkpoint.folder;
    MORTISE_TRY(auto names, list_files(folder));
    Inventory inventory = take_inventory(names);
    checkpoint.ignored_files = inventory.ignored;
    std::optional<Index> index;
    if (!inventory.indexes.empty()) {
        MORTISE_TRY(index, read_index(inventory, folder));
        inventory.shards = index->files;
    } else if (inventory.shards.empty()) {
        return std::unexpected(no_weights(inventory, folder).error());
    } else {
        MORTISE_CHECK(check_without_index(inventory.shards, folder));
    }
    Problems problems;
    std::vector<std::string> paths;
    for (const std::string& shard : inventory.shards) {
        auto real = resolve_inside(folder, shard);
        if (real) paths.push_back(std::move(*real));
        if (!real) problems.add(real.error());
    }
    MORTISE_CHECK(std::move(problems).status());
    MORTISE_CHECK(read_headers(inventory.shards, paths, checkpoint));
    if (index) MORTISE_CHECK(compare(*index, checkpoint.catalog, inventory.indexes.front()));
    return checkpoint;
}

Result<Checkpoint> open_single(const std::string& path) {
    std::filesystem::path whole(path);
    std::string name = whole.filename().string();
    if (!ends(name, shard_suffix)) {
        Problem problem{
            .code = Code::unsupported_container, .what = "not a native weights file", .file = path};
        problem.expected = "*.safetensors or a folder";
        if (auto reason = reason_to_ignore(name); !reason.empty()) problem.found = reason;
        return fail(std::move(problem));
    }
    Checkpoint checkpoint;
    checkpoint.path = path;
    // The side files lie beside the name that the user gave, wherever a link may lead.
    MORTISE_TRY(checkpoint.folder, real_path(whole.has_parent_path() ? whole.parent_path().string() : "."));
    MORTISE_CHECK(read_headers({name}, {path}, checkpoint));
    return checkpoint;
}

}  // namespace

Result<Checkpoint> open_native(const std::string& path) {
    MORTISE_TRY(std::string located, locate(path));
    return is_folder(located) ? open_folder(path, located) : open_single(located);
}

Result<std::vector<Candidate>> candidates(const std::string& path) {
    MORTISE_TRY(std::string located, locate(path));
    std::vector<Candidate> found;
    std::vector<std::string> paths;
    if (!is_folder(located)) {
        std::string name = std::filesystem::path(located).filename().string();
        if (!ends(name, shard_suffix) && reason_to_ignore(name).empty()) paths.push_back(located);
    } else {
        MORTISE_TRY(std::string folder, real_path(located));
        MORTISE_TRY(auto names, list_files(folder));
        Inventory inventory = take_inventory(names);
        if (!inventory.shards.empty() || !inventory.indexes.empty()) return found;
        for (const std::string& name : names) {
            if (!may_hold_tensors(name)) continue;
            MORTISE_TRY(std::string real, resolve_inside(folder, name));
            paths.push_back(folder + '/' + name);
        }
    }
    for (const std::string& each : paths) {
        MORTISE_TRY(File file, File::open(each));
        std::string first(std::min<uint64_t>(file.size(), 64), '\0');
        MORTISE_CHECK(file.read(0, std::as_writable_bytes(std::span(first.data(), first.size()))));
        found.push_back({each, std::filesystem::path(each).filename().string(), std::move(first)});
    }
    return found;
}

}  // namespace mortise::checkpoint
