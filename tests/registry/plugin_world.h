// A throw-away machine for tests of plugins: folders, manifests, libraries, environment. Nothing of the real
// machine is seen: no installed plugin, no administrator's folder, no variable.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "registry/registry.h"

namespace mortise::registry::test {

// Writes a manifest piece by piece; the defaults make a good one of the sample plugin.
class ManifestText {
  public:
    ManifestText& id(std::string text) { return set(id_, std::move(text)); }
    ManifestText& version(std::string text) { return set(version_, std::move(text)); }
    ManifestText& library(std::string text) { return set(library_, std::move(text)); }
    ManifestText& sha256(std::string text) { return set(sha256_, std::move(text)); }
    ManifestText& abi(std::string text) { return set(abi_, std::move(text)); }
    ManifestText& more(std::string lines) { return set(more_, more_ + lines + "\n"); }
    // Replaces the default entry. `lines`: the entry in flow style, "{interface: scheme, ...}".
    ManifestText& provides(const std::string& entry) {
        return set(provides_, provides_ + "  - " + entry + "\n");
    }
    ManifestText& scheme(const std::string& id, const std::string& method, int priority = default_priority);
    std::string text() const;

  private:
    ManifestText& set(std::string& member, std::string text) {
        member = std::move(text);
        return *this;
    }
    std::string id_ = "com.test.good", version_ = "1.0.0", library_ = "good.so", abi_ = "1.0";
    std::string sha256_, more_, provides_;
};

class World {
  public:
    World();
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    const std::string& root() const { return root_; }
    // Effect: the folder of that name below the root, made when it is not there.
    std::string folder(const std::string& name);
    // Effect: writes the manifest as <folder>/<name>.yaml; returns its path.
    std::string manifest(const std::string& folder_name, const std::string& name, const ManifestText& text);
    // Effect: copies sample `sample` to <folder>/<name or sample>.so; returns its path.
    std::string library(const std::string& folder_name, const std::string& sample,
                        const std::string& name = {});
    // Effect: both, under the name of the sample.
    void plugin(const std::string& folder_name, const std::string& sample, ManifestText text);
    void write(const std::string& path, std::string_view bytes);

    // Searches "plugins" through --plugin-dir, and the rest of this world.
    Options options;
    std::map<std::string, std::string, std::less<>> variables;

  private:
    std::string root_;
};

// Effect: a registry over the world. Requires: the search path is sound.
Registry discover(const World& world);
const Candidate* find(const Registry& registry, std::string_view id);
const mortise_host& host();
// Effect: the last message that a plugin left through host().set_error.
std::string& last_error();
// Effect: asks every candidate scheme itself, as the plan does.
Result<Verdict> ask(const mortise_scheme_v1& table, std::string_view id);
Result<Chosen<mortise_scheme_v1>> choose_scheme(Registry& registry, const std::string& method);
// Effect: the text of all problems, one per line.
std::string text_of(const Error& error);
template <class T>
std::string text_of(const Result<T>& result) {
    return result ? std::string("no error") : text_of(result.error());
}
// Effect: whether a file of that name is mapped into this process.
bool is_mapped(std::string_view path);

}  // namespace mortise::registry::test
