// Finds plugins through their manifests and opens those that a checkpoint selects.
//
// Discovery reads manifests only; a library is examined and opened when one of its entries is needed, and then
// stays. Every decision is recorded. One thread at a time.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "mortise/abi.h"
#include "registry/manifest.h"
#include "registry/search_path.h"

namespace mortise::registry {

struct Options {
    SearchOptions search;
    std::vector<std::string> deny, disable, allow;   // globs over plugin ids; deny, then disable, then allow
    std::map<std::string, std::string> pin_version;  // id -> exact version
    std::map<std::string, std::string> pin_sha256;   // id -> digest of the library
    std::map<std::string, std::string> prefer;       // "scheme:NAME" -> plugin id that wins a tie
};

enum class State : uint8_t { discovered, ready, disabled, failed, shadowed };
std::string_view name(State state);

struct Candidate {
    Manifest manifest;
    State state = State::discovered;
    std::string reason;  // of disabled, failed, shadowed
};

// One step of a selection, for `plugins why`.
struct Decision {
    std::string subject;   // "scheme for quant_method 'fp8'"
    std::string plugin, entry;
    std::string stage;     // "filter", "open", "match", "chosen"
    bool accepted = false;
    uint32_t score = 0;
    std::string reason;
};

struct Verdict {
    bool yes = false;
    uint32_t score = 0;  // 0 to 1000
    std::string reason;
};

template <class Table>
struct Chosen {
    std::string id;  // of the entry
    const Table* table = nullptr;
};

class Registry {
  public:
    // Effect: reads every manifest on the search path. A manifest that is wrong is recorded as a problem and
    // does not disturb the others. Errors: plugin_duplicate: one id in two files, which no pin settles.
    static Result<Registry> discover(const Options& options);

    const std::vector<Candidate>& candidates() const { return candidates_; }
    const std::vector<Place>& places() const { return places_; }
    const std::vector<Error>& broken_manifests() const { return broken_; }
    const std::vector<std::string>& warnings() const { return warnings_; }
    const std::vector<Decision>& decisions() const { return decisions_; }

    // The architecture plugin for config.architectures[0] (or model_type where that is empty).
    // Errors: unsupported_architecture, listing what is installed; plugin_ambiguous; and of opening.
    Result<Chosen<mortise_architecture_v1>> architecture(const std::string& name, const std::string& model_type, const mortise_host& host);

    using Match = std::function<Result<Verdict>(const mortise_scheme_v1&, std::string_view id)>;
    // The scheme whose manifest admits `method` ("" = nothing says quantized; a quant_method; the name of the
    // side file or key that announced it) and name space, and whose match() scores highest. `forced`: only this
    // one. Errors: unsupported_scheme with every reason; plugin_ambiguous; and of opening.
    Result<Chosen<mortise_scheme_v1>> scheme(const std::string& method, const std::string& name_space, const std::string& forced,
                                             const mortise_host& host, const Match& match);
    // The scheme called `id`, for writing. Errors: unsupported_scheme.
    Result<Chosen<mortise_scheme_v1>> scheme_by_id(const std::string& id, const mortise_host& host);

    // The container that claims a file; table is null when none does.
    Result<Chosen<mortise_container_v1>> container(const std::string& file_name, const std::string& first_bytes, const mortise_host& host);

    // All providers for `device` that are not forbidden; one that fails to open is recorded and left out.
    Result<std::vector<Chosen<mortise_kernels_v1>>> kernels(const std::string& device, const std::vector<std::string>& forbid,
                                                            const mortise_host& host);

    // Effect: opens one plugin wholly and checks its entries. For `plugins check`.
    Status open(size_t candidate, const mortise_host& host);

  private:
    struct Entry {
        size_t candidate;
        const Provides* provides;
    };
    std::vector<Entry> entries(Interface kind) const;
    Result<const void*> table(const Entry& entry, const mortise_host& host);
    void record(const std::string& subject, const Entry& entry, std::string stage, bool accepted, uint32_t score, std::string reason);
    Status settle_duplicates(const Options& options);
    void apply_filters(const Options& options);

    std::vector<Candidate> candidates_;
    std::vector<Place> places_;
    std::vector<Error> broken_;
    std::vector<std::string> warnings_;
    std::vector<Decision> decisions_;
    std::map<std::string, mortise_plugin> opened_;  // by library
    Options options_;
};

}  // namespace mortise::registry
