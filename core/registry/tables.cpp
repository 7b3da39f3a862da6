#include "registry/tables.h"

#include <algorithm>

namespace mortise::registry {

namespace {

std::string copy(const mortise_str& text) {
    return text.data ? std::string(text.data, text.size) : std::string();
}

// True iff the entry lies within the table's size and is not null.
#define MORTISE_REQUIRED(TYPE, FIELD) (MORTISE_HAS(&table, TYPE, FIELD) && table.FIELD ? "" : #FIELD)

// The name of the first required entry that is missing; empty when all are there.
std::string first_missing(std::initializer_list<const char*> checked) {
    for (const char* missing : checked)
        if (*missing) return missing;
    return {};
}

std::string missing_in(const mortise_scheme_v1& table) {
    using T = mortise_scheme_v1;
    std::string missing = first_missing({MORTISE_REQUIRED(T, match), MORTISE_REQUIRED(T, open),
                                         MORTISE_REQUIRED(T, close), MORTISE_REQUIRED(T, module)});
    if (!missing.empty()) return missing;
    // Writing: all or none.
    const bool writes = MORTISE_HAS(&table, T, open_writer) && table.open_writer;
    if (!writes) return {};
    return first_missing(
        {MORTISE_REQUIRED(T, close_writer), MORTISE_REQUIRED(T, target), MORTISE_REQUIRED(T, write_config)});
}

std::string missing_in(const mortise_architecture_v1& table) {
    using T = mortise_architecture_v1;
    std::string missing = first_missing({MORTISE_REQUIRED(T, build)});
    if (!missing.empty()) return missing;
    return (table.n_names && !table.names) ? "names" : (table.n_types && !table.types) ? "types" : "";
}

std::string missing_in(const mortise_kernels_v1& table) {
    using T = mortise_kernels_v1;
    return first_missing({MORTISE_REQUIRED(T, devices), MORTISE_REQUIRED(T, alloc), MORTISE_REQUIRED(T, free),
                          MORTISE_REQUIRED(T, bid), MORTISE_REQUIRED(T, packed_bytes),
                          MORTISE_REQUIRED(T, create), MORTISE_REQUIRED(T, destroy),
                          MORTISE_REQUIRED(T, pack), MORTISE_REQUIRED(T, seal), MORTISE_REQUIRED(T, run)});
}

std::string missing_in(const mortise_container_v1& table) {
    using T = mortise_container_v1;
    return first_missing({MORTISE_REQUIRED(T, probe), MORTISE_REQUIRED(T, open)});
}

#undef MORTISE_REQUIRED

std::string missing_of(Interface kind, const void* table) {
    switch (kind) {
        case Interface::scheme: return missing_in(*static_cast<const mortise_scheme_v1*>(table));
        case Interface::architecture: return missing_in(*static_cast<const mortise_architecture_v1*>(table));
        case Interface::kernels: return missing_in(*static_cast<const mortise_kernels_v1*>(table));
        case Interface::container: return missing_in(*static_cast<const mortise_container_v1*>(table));
    }
    return "interface";
}

class Checker {
  public:
    explicit Checker(const Manifest& manifest) : manifest_(manifest) {}

    void problem(Code code, std::string what, std::string expected = {}, std::string found = {}) {
        problems_.add({.code = code,
                       .what = "plugin " + manifest_.id + ": " + std::move(what),
                       .file = manifest_.path,
                       .expected = std::move(expected),
                       .found = std::move(found)});
    }

    // Entries of another SDK may be larger than ours: the first one tells how far apart they lie.
    std::vector<Entry> entries_of(const mortise_plugin& plugin) {
        std::vector<Entry> out;
        if (plugin.n_entries == 0 || plugin.n_entries > 1024 || !plugin.entries) {
            problem(Code::plugin_contract, "its entries make no sense", "1 to 1024 entries",
                    std::to_string(plugin.n_entries));
            return out;
        }
        const uint32_t stride = plugin.entries->head.size;
        if (stride < sizeof(mortise_entry) || stride % alignof(mortise_entry) != 0 || stride > 4096) {
            problem(Code::plugin_contract, "its entries make no sense",
                    "entries of at least " + std::to_string(sizeof(mortise_entry)) + " bytes",
                    std::to_string(stride));
            return out;
        }
        const char* at = reinterpret_cast<const char*>(plugin.entries);
        for (uint64_t i = 0; i < plugin.n_entries; ++i, at += stride)
            add(*reinterpret_cast<const mortise_entry*>(at), out);
        return out;
    }

    void compare(const std::vector<Entry>& entries) {
        const auto has = [](const auto& list, const auto& wanted) {
            return std::ranges::any_of(
                list, [&](const auto& each) { return each.kind == wanted.kind && each.id == wanted.id; });
        };
        for (const Provides& provided : manifest_.provides)
            if (!has(entries, provided))
                problem(Code::plugin_mismatch, "the library lacks what the manifest provides",
                        std::string(name(provided.kind)) + " '" + provided.id + "'", "no such entry");
        for (const Entry& entry : entries)
            if (!has(manifest_.provides, entry))
                problem(Code::plugin_mismatch, "the library holds what the manifest does not name",
                        "it under 'provides'", std::string(name(entry.kind)) + " '" + entry.id + "'");
    }

    Status status() && { return std::move(problems_).status(); }

  private:
    void add(const mortise_entry& entry, std::vector<Entry>& out) {
        const std::string id = copy(entry.id);
        if (entry.interface_kind < MORTISE_INTERFACE_SCHEME ||
            entry.interface_kind > MORTISE_INTERFACE_CONTAINER)
            return problem(Code::plugin_contract, "entry '" + id + "' has an unknown interface", "1 to 4",
                           std::to_string(entry.interface_kind));
        const auto kind = static_cast<Interface>(entry.interface_kind);
        const std::string shown = std::string(name(kind)) + " '" + id + "'";
        if (entry.minor > MORTISE_ABI_MINOR)
            return problem(Code::plugin_abi, shown + " needs a newer core",
                           "at most 1." + std::to_string(MORTISE_ABI_MINOR),
                           "1." + std::to_string(entry.minor));
        if (!entry.table) return problem(Code::plugin_contract, shown + " has no table");
        const std::string missing = missing_of(kind, entry.table);
        if (!missing.empty())
            return problem(Code::plugin_contract, shown + " lacks a required function", missing,
                           "null, or a table too small");
        out.push_back({kind, id, entry.table});
    }

    const Manifest& manifest_;
    Problems problems_;
};

}  // namespace

Result<std::vector<Entry>> check_tables(const mortise_plugin& plugin, const Manifest& manifest) {
    Checker checker(manifest);
    std::vector<Entry> entries = checker.entries_of(plugin);
    MORTISE_CHECK(Checker(checker).status());  // broken entries would be named a second time as missing ones
    checker.compare(entries);
    MORTISE_CHECK(std::move(checker).status());
    return entries;
}

}  // namespace mortise::registry
