// The one user of Boost.DLL. With the standard file system it is headers only.
#define BOOST_DLL_USE_STD_FS
#include "registry/loaded_library.h"

#include <dlfcn.h>

#include <boost/dll/shared_library.hpp>
#include <mutex>
#include <vector>

#include "registry/plugin_call.h"

namespace mortise::registry {

namespace {

namespace dll = boost::dll;

// Everything opened, for the life of the process. The file stays open as well: a descriptor's number that
// is used again would make the linker take the next library for this one, because it compares names first.
struct Kept {
    dll::shared_library library;
    File file;
};

std::mutex& kept_mutex() {
    static std::mutex mutex;
    return mutex;
}

std::vector<Kept>& kept() {
    static auto& all = *new std::vector<Kept>();  // no destructor at exit: plugin code may still be called
    return all;
}

// The linker's own words, without Boost's frame and the unrelated text of the error number.
std::string words_of(const std::system_error& error) {
    std::string text = error.what();
    if (const std::string tail = ": " + error.code().message(); text.ends_with(tail))
        text.resize(text.size() - tail.size());
    constexpr std::string_view frame = "boost::dll::shared_library::load() failed";
    if (text.starts_with(frame)) text.erase(0, frame.size());
    const size_t start = text.find_first_not_of(": (");
    if (start != std::string::npos) text.erase(0, start);
    if (text.ends_with(')')) text.pop_back();
    return text;
}

// RTLD_NOW: a missing symbol is found here and not in the middle of a run. RTLD_LOCAL: plugins do not see
// each other. Not RTLD_DEEPBIND: it breaks replaced allocators and sanitizers.
constexpr auto mode = static_cast<dll::load_mode::type>(
    dll::load_mode::rtld_now | dll::load_mode::rtld_local | static_cast<dll::load_mode::type>(RTLD_NODELETE));

}  // namespace

Result<LoadedLibrary> LoadedLibrary::open(File file, bool through_descriptor) {
    const std::scoped_lock lock(kept_mutex());
    const PluginCall::Guard guard;  // constructors of the library may change the mode
    const std::string path =
        through_descriptor ? "/proc/self/fd/" + std::to_string(file.descriptor()) : file.path();
    Problem problem{.code = Code::plugin_open, .what = "cannot open the library", .file = file.path()};
    try {
        dll::shared_library library(path, mode);
        if (!library.has(MORTISE_PLUGIN_SYMBOL)) {
            problem.what = "the library does not export its entry point";
            problem.expected = MORTISE_PLUGIN_SYMBOL;
            problem.fix = "build it with mortise_add_plugin()";
            return fail(std::move(problem));
        }
        const mortise_plugin_fn entry =
            &library.get<mortise_status(const mortise_host*, mortise_plugin*)>(MORTISE_PLUGIN_SYMBOL);
        kept().push_back({std::move(library), std::move(file)});
        return LoadedLibrary(entry);
    } catch (const std::system_error& error) {
        problem.found = words_of(error);
        problem.fix = "install what is missing, or a build of the plugin for this system";
    } catch (const std::exception& error) {
        problem.found = error.what();
    }
    return fail(std::move(problem));
}

}  // namespace mortise::registry
