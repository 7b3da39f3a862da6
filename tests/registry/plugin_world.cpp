#include "registry/plugin_world.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "registry/plugin_call.h"

namespace mortise::registry::test {

namespace fs = std::filesystem;

ManifestText& ManifestText::scheme(const std::string& id, const std::string& method, int priority) {
    return provides("{interface: scheme, id: " + id + ", quant_method: [\"" + method +
                    "\"], priority: " + std::to_string(priority) + "}");
}

std::string ManifestText::text() const {
    const std::string entries =
        provides_.empty() ? "  - {interface: scheme, id: sample, quant_method: [sample]}\n" : provides_;
    return "manifest: mortise.plugin/v1\nplugin:\n  id: " + id_ + "\n  version: \"" + version_ +
           "\"\nlibrary:\n  path: " + library_ + "\n" +
           (sha256_.empty() ? "" : "  sha256: " + sha256_ + "\n") + "abi: \"" + abi_ + "\"\n" + more_ +
           "provides:\n" + entries;
}

World::World() {
    std::string pattern = fs::temp_directory_path() / "mortise-world-XXXXXX";
    root_ = fs::canonical(mkdtemp(pattern.data())).string();
    options.search.directories = {folder("plugins")};
    options.search.environment = [this](std::string_view name) -> std::optional<std::string> {
        const auto at = variables.find(name);
        return at == variables.end() ? std::nullopt : std::optional(at->second);
    };
    options.search.executable = folder("prefix/bin") + "/program";
    write(options.search.executable, "");
    options.search.admin_directory = root_ + "/etc";
}

World::~World() {
    std::error_code error;
    fs::remove_all(root_, error);
}

std::string World::folder(const std::string& name) {
    const std::string path = root_ + "/" + name;
    fs::create_directories(path);
    return path;
}

void World::write(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    chmod(path.c_str(), 0644);
}

std::string World::manifest(const std::string& folder_name, const std::string& name,
                            const ManifestText& text) {
    const std::string path = folder(folder_name) + "/" + name + ".yaml";
    write(path, text.text());
    return path;
}

std::string World::library(const std::string& folder_name, const std::string& sample,
                           const std::string& name) {
    const std::string path = folder(folder_name) + "/" + (name.empty() ? sample : name) + ".so";
    fs::copy_file(std::string(MORTISE_SAMPLES) + "/" + sample + ".so", path,
                  fs::copy_options::overwrite_existing);
    chmod(path.c_str(), 0755);
    return path;
}

void World::plugin(const std::string& folder_name, const std::string& sample, ManifestText text) {
    library(folder_name, sample);
    manifest(folder_name, sample, text.library(sample + ".so"));
}

Registry discover(const World& world) {
    auto registry = Registry::discover(world.options);
    if (!registry) throw std::runtime_error(text_of(registry));
    return std::move(*registry);
}

const Candidate* find(const Registry& registry, std::string_view id) {
    for (const Candidate& candidate : registry.candidates())
        if (candidate.manifest.id == id) return &candidate;
    return nullptr;
}

std::string& last_error() {
    static std::string text;
    return text;
}

const mortise_host& host() {
    static const mortise_host table = [] {
        mortise_host out{};
        out.head = {sizeof out, MORTISE_ABI_MINOR};
        out.set_error = [](const mortise_error* error) {
            last_error().assign(error->what.data, error->what.size);
        };
        return out;
    }();
    return table;
}

Result<Verdict> ask(const mortise_scheme_v1& table, std::string_view) {
    mortise_match answer{};
    answer.head = {sizeof answer, 0};
    const mortise_status status = PluginCall::call([&] { return table.match(nullptr, &answer); });
    if (status != MORTISE_OK) return fail(Code::plugin_failed, "match");
    return Verdict{answer.verdict == MORTISE_VERDICT_YES, answer.score, "the sample says yes"};
}

Result<Chosen<mortise_scheme_v1>> choose_scheme(Registry& registry, const std::string& method) {
    return registry.scheme(method, "", "", host(), ask);
}

std::string text_of(const Error& error) { return to_string(error); }

bool is_mapped(std::string_view path) {
    std::ifstream maps("/proc/self/maps");
    std::stringstream all;
    all << maps.rdbuf();
    return all.str().find(path) != std::string::npos;
}

}  // namespace mortise::registry::test
