// Plugins: found through manifests, opened only when something selects them, every decision recorded.
//
// discover() reads manifests and no library. The choosing functions open the plugins whose manifest fits the
// question, check each file before it is mapped, and answer with the plugin's table, which stays valid until
// the process ends: libraries are never unloaded. One broken plugin never spoils another.
// Threads: one call at a time per Registry; tables may be used as the ABI says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mortise/abi.h"
#include "registry/manifest.h"
#include "registry/search_path.h"

namespace mortise::registry {

enum class Policy : uint8_t { deny, warn };

struct Options {
    SearchOptions search;
    std::vector<std::string> deny, disable;          // patterns of plugin ids
    std::optional<std::vector<std::string>> allow;   // set: all others are off
    std::map<std::string, std::string> pin_version;  // id -> exact version
    std::map<std::string, std::string> pin_sha256;   // id -> digest of the library
    std::map<std::string, std::string> prefer;  // "scheme", "scheme.METHOD", "architecture.NAME" -> plugin
                                                // id that wins a tie
    Policy trust = Policy::deny;                // of files that others may write or own
    bool require_hash = false;                  // only plugins with a pinned SHA-256 are opened
    std::string file;                           // the deployment, for messages
    // Text that a plugin left through mortise_host.set_error, when the caller's host keeps it.
    std::function<Error(mortise_status status, std::string_view plugin, std::string_view function)>
        take_error;
};

enum class State : uint8_t {
    discovered,  // not opened: nothing selected it
    ready,       // opened
    disabled,    // filters, a variable, a missing requirement or a conflict
    failed,      // selected, and could not be opened
    shadowed,    // the same plugin was found earlier on the path
    duplicate,   // another one has the same id, and nothing decides
    invalid      // the manifest is wrong
};
std::string_view name(State state);

struct Candidate {
    Manifest manifest;       // of an invalid one only `path`
    bool installed = false;  // lies in the program's own plugin folder
    State state = State::discovered;
    std::string reason;          // why it is in that state; names file and line where one decides
    std::optional<Error> error;  // invalid, duplicate, failed
    std::vector<std::string> warnings;
};

// Why a plugin was taken for something, or not.
struct Decision {
    Interface kind{};
    std::string subject;  // "quantization 'abc'", "architecture 'Abc'", "file 'x.abc'", "device 'abc'"
    std::string plugin, entry;
    std::string stage;  // state, manifest, open, match, chosen
    bool accepted = false;
    uint32_t score = 0;
    int priority = 0;
    std::string reason;
    std::string where;  // file:line that decided
};

struct Verdict {
    bool yes = false;
    uint32_t score = 0;
    std::string reason;
};

template <class Table>
struct Chosen {
    std::string id;                // of the entry
    const Table* table = nullptr;  // null: nothing chosen
    std::string plugin;            // id of the plugin
};

class Registry {
  public:
    // Effect: reads every manifest on the search path. Problems of single plugins are kept with their
    // candidates. Errors: usage, for a search path that cannot be meant.
    static Result<Registry> discover(const Options& options);

    // Effect: the architecture whose manifest names `architecture` (config.architectures[0]); `model_type`
    // decides when that is empty.
    // Errors: unsupported_architecture with what is installed; plugin_ambiguous; those of opening.
    Result<Chosen<mortise_architecture_v1>> architecture(const std::string& architecture,
                                                         const std::string& model_type,
                                                         const mortise_host& host);

    // Effect: the scheme that reads this checkpoint: `match` is asked of every one whose manifest fits, and
    // the best (score, then priority) wins. `method`: "" when nothing says quantized; else the quant_method,
    // or the key or side file that announced it. `forced`: id of the scheme to take; it must match as well.
    // Errors: unsupported_scheme with every reason; plugin_ambiguous; those of opening and of `match`.
    using Match = std::function<Result<Verdict>(const mortise_scheme_v1& table, std::string_view id)>;
    Result<Chosen<mortise_scheme_v1>> scheme(const std::string& method, const std::string& name_space,
                                             const std::string& forced, const mortise_host& host,
                                             const Match& match);
    // Effect: the scheme of that id, whatever the checkpoint: for writing. Errors: unsupported_scheme.
    Result<Chosen<mortise_scheme_v1>> scheme_by_id(const std::string& id, const mortise_host& host);

    // Effect: the container that claims the file; table null when none does.
    Result<Chosen<mortise_container_v1>> container(const std::string& file_name,
                                                   const std::string& first_bytes, const mortise_host& host);

    // Effect: every usable provider for that kind of device whose id matches no pattern of `forbid` (ids of
    // entries or plugins), by falling priority. One that cannot be opened is recorded and left out.
    Result<std::vector<Chosen<mortise_kernels_v1>>> kernels(const std::string& device,
                                                            const std::vector<std::string>& forbid,
                                                            const mortise_host& host);

    // Effect: opens candidates()[index] with all checks, as if selected. Errors: plugin_*.
    Status open(size_t index, const mortise_host& host);

    const std::vector<Candidate>& candidates() const;  // in path order
    const std::vector<Place>& places() const;          // in path order
    std::vector<Error> broken_manifests() const;       // of the invalid candidates
    const std::vector<Decision>& decisions() const;    // as made
    const std::vector<std::string>& warnings() const;  // filters that match nothing, ignored variables, ...

    Registry(Registry&&) noexcept;
    Registry& operator=(Registry&&) noexcept;
    ~Registry();
    struct Rep;

  private:
    explicit Registry(std::unique_ptr<Rep> rep);
    std::unique_ptr<Rep> rep_;
};

}  // namespace mortise::registry
